"""Answers of the ledger and what judges said of them.

A row that a stage made was judged; what a model learns from is the answer that the row was read out of, which may hold
several such entries. So an answer is graded by its entries: B if one of them is B or was refused by a gate, else as the
worst of those that were graded. An entry that nobody judged is neither good nor bad. An answer that a gate refused as a
whole is B beside one to the same question that was graded.

Whom to believe about a row, where several judged it: people, else a panel, else imported labels, else models; among
equals the majority, and where they are evenly divided nobody. Labels of a judge whose passport is below the bar are
left out, unless forced.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from judges import Verdict
from judges.reviewer import REVIEWER, Grade, confidence, grade
from recgpt.audit.passport import Bar, trusted
from recgpt.labels.store import LabelRow, each
from recgpt.sources.logs import Catalogue
from recgpt.stages.texts import evidence_rows
from recgpt.store.tables import Explanation, Interest, JudgeThreshold, Rejection, Tag
from recgpt.tuning.asked import CHUNK, Message, Said, asked, folded, prompt_hash
from recgpt.tuning.settings import Tuning
from recgpt.tuning.split import held_out, key_of
from recgpt.words import JudgeKind, Stage, Task

GOOD: Final[tuple[Grade, ...]] = ("S", "A")
# Gates that refuse because of what else the user has, which the question need not have said.
NOT_ITS_FAULT: Final = frozenset({"duplicate", "not_fresh"})
STAGES: Final = {Task.INTERESTS: Stage.INTERESTS, Task.TAGS: Stage.TAGS, Task.EXPLANATIONS: Stage.EXPLAIN}
MOST_GRADED: Final = 0.5  # of an answer's entries must have been graded, for it to be learnt from as it stands
BELIEVED: Final = (JudgeKind.HUMAN, JudgeKind.PANEL, JudgeKind.IMPORT, JudgeKind.MODEL)


@dataclass(frozen=True)
class Made:
    """A row that a stage made: whose it is, what it claims, and which request's answer it was read out of."""

    id: int
    request_hash: str
    claim: str
    key: str  # of the split
    category: str = ""
    user_id: str | None = None


@dataclass(frozen=True)
class Graded:
    """An answer of the ledger, graded by rows of learners alone, or of held-out users alone."""

    request_hash: str
    messages: tuple[Message, ...]
    content: str
    claims: tuple[str, ...]
    grade: Grade
    score: float  # mean P(yes) of its entries, 0 for one that a gate refused
    whole: bool  # no bad entry, and enough that were graded
    accepted: str  # what is left of it to be learnt from: only good entries; "" if nothing
    kept: Grade  # of what is left
    category: str
    held_out: bool
    source: Mapping[str, Any]
    said: Said
    entries: tuple[float | None, ...]  # the mean P(yes) of each good entry
    prompt_hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt_hash", prompt_hash(self.messages))


@dataclass(frozen=True)
class Answers:
    """What there is to build data sets from."""

    listed: tuple[Graded, ...]
    held_prompts: frozenset[str] = frozenset()  # hashes of all prompts that held-out users were asked with
    refused: tuple[str, ...] = ()  # why labels of a judge were left out, a sentence each


@dataclass(frozen=True)
class _Mark:
    """What is known of a row: its grade and its mean P(yes)."""

    grade: Grade
    score: float


def answers(
    store: Engine, catalogue: Catalogue, task: Task, rules: Tuning, bar: Bar, *, force: bool = False
) -> Answers:
    """The answers behind the rows that were judged. force: believe judges below the bar too."""
    said, refused = verdicts(store, task, bar, force=force)
    rows = made(store, catalogue, task)
    held = {row.request_hash for row in rows if held_out(row.key, rules)}
    gates = _refusals(store, {row.request_hash for row in rows if row.id in said})
    listed = assembled(store, rows, said, gates, rules, reviewing(store, task))
    listed += _turned_down(store, task, listed, {row.request_hash for row in rows})
    prompts = frozenset(prompt_hash(messages) for _, messages, _ in asked(store, held))
    return Answers(tuple(listed), prompts, tuple(refused))


def verdicts(store: Engine, task: Task, bar: Bar, *, force: bool) -> tuple[dict[int, dict[str, Verdict]], list[str]]:
    """What is believed of each row, by criterion; and why which judges are not."""
    found: dict[tuple[int, str], dict[str, LabelRow]] = defaultdict(dict)
    for row in each(store, task):
        found[row.target_id, row.criterion][row.judge] = row  # the newest version of the criterion stands
    judges = sorted({name for group in found.values() for name in group})
    refusals = {} if force else {name: trusted(store, name, task, bar) for name in judges}
    said: dict[int, dict[str, Verdict]] = defaultdict(dict)
    for (target, criterion), group in found.items():
        verdict = believed([row for name, row in group.items() if refusals.get(name) is None])
        if verdict is not None:
            said[target][criterion] = verdict
    return dict(said), [str(refusal) for refusal in refusals.values() if refusal is not None]


def believed(rows: Sequence[LabelRow]) -> Verdict | None:
    """One verdict of several judges' on one criterion of one row."""
    for kind in BELIEVED:
        group = [row for row in rows if row.kind == kind]
        if not group:
            continue
        yes = sum(row.verdict for row in group)
        if 2 * yes == len(group):
            return None
        p_yes = sum(float(row.verdict) if row.p_yes is None else row.p_yes for row in group) / len(group)
        return Verdict(2 * yes > len(group), p_yes, None)
    return None


def made(store: Engine, catalogue: Catalogue, task: Task) -> list[Made]:
    """Every row of a task that a model's answer made, retired ones too."""
    with Session(store) as session:
        match task:
            case Task.INTERESTS:
                rows = session.scalars(select(Interest).where(Interest.request_hash.is_not(None)).order_by(Interest.id))
                return [
                    Made(row.id, str(row.request_hash), row.name, row.user_id, _category(catalogue, row), row.user_id)
                    for row in rows.yield_per(CHUNK)
                ]
            case Task.TAGS:
                categories = {
                    row.id: _category(catalogue, row) for row in session.scalars(select(Interest)).yield_per(CHUNK)
                }
                tags = session.scalars(select(Tag).where(Tag.request_hash.is_not(None)).order_by(Tag.id))
                return [
                    Made(tag.id, str(tag.request_hash), tag.tag, tag.user_id, categories[tag.interest_id], tag.user_id)
                    for tag in tags.yield_per(CHUNK)
                ]
            case Task.EXPLANATIONS:
                query = select(Explanation).where(Explanation.request_hash.is_not(None)).order_by(Explanation.id)
                return [
                    Made(line.id, str(line.request_hash), line.text, key_of(None, line.interest),
                         _item_category(catalogue, line.item_id))
                    for line in session.scalars(query).yield_per(CHUNK)
                ]  # fmt: skip


def assembled(
    store: Engine,
    rows: Iterable[Made],
    said: Mapping[int, Mapping[str, Verdict]],
    gates: Mapping[str, Collection[str]],
    rules: Tuning,
    thresholds: Mapping[str, float],
) -> list[Graded]:
    """The answers that rows with verdicts were read out of, each graded.

    Args:
        said: verdicts by criterion, by row.
        gates: the texts that gates refused, by request.
        thresholds: the reviewer's.
    """
    criteria = {name for verdicts in said.values() for name in verdicts}
    by_request: dict[tuple[str, bool], list[Made]] = defaultdict(list)
    for row in rows:
        by_request[row.request_hash, held_out(row.key, rules)].append(row)
    wanted = {key: group for key, group in by_request.items() if any(row.id in said for row in group)}
    contents = {key: (messages, answer) for key, messages, answer in asked(store, {key for key, _ in wanted})}
    listed = []
    for (request_hash, held), group in sorted(wanted.items()):
        if request_hash not in contents:
            continue
        messages, answer = contents[request_hash]
        marks = {
            folded(row.claim): mark for row in group if (mark := _mark(said.get(row.id, {}), criteria, thresholds))
        }
        bad = {folded(text) for text in gates.get(request_hash, ())}
        one = _graded(request_hash, messages, answer, marks, bad, group, held=held)
        if one is not None:
            listed.append(one)
    return listed


def reviewing(store: Engine, task: Task) -> dict[str, float]:
    """The reviewer's threshold for S as it was fitted last, if it was."""
    newest = (
        select(JudgeThreshold.value)
        .where(JudgeThreshold.task == task, JudgeThreshold.criterion == REVIEWER)
        .order_by(JudgeThreshold.id.desc())
        .limit(1)
    )
    with Session(store) as session:
        value = session.scalar(newest)
    return {} if value is None else {REVIEWER: value}


def _mark(verdicts: Mapping[str, Verdict], criteria: Collection[str], thresholds: Mapping[str, float]) -> _Mark | None:
    """One defect is enough for B; for a better grade every criterion must have been asked about."""
    if not verdicts:
        return None
    got = grade(verdicts, thresholds)
    if got != "B" and not set(criteria) <= verdicts.keys():
        return None
    return _Mark(got, confidence(verdicts))


def _graded(
    request_hash: str,
    messages: tuple[Message, ...],
    answer: Said,
    marks: Mapping[str, _Mark],
    bad: Collection[str],
    rows: Sequence[Made],
    *,
    held: bool,
) -> Graded | None:
    found = [_Mark("B", 0.0) if claim in bad else marks.get(claim) for claim in map(folded, answer.claims)]
    known = [mark for mark in found if mark is not None]
    if not known:
        return None
    whole = all(mark.grade in GOOD for mark in known) and len(known) >= MOST_GRADED * len(found)
    kept = [mark is not None and mark.grade in GOOD for mark in found]
    accepted = answer.content if whole and (answer.fixed or all(kept)) else answer.only(kept)
    left = [mark for mark, keep in zip(found, kept, strict=True) if mark is not None and keep]
    score = sum(mark.score for mark in known) / len(known)
    user = rows[0].user_id if len({row.user_id for row in rows}) == 1 else None
    source = {
        "request": request_hash,
        "task": answer.task,
        "prompt_version": answer.prompt_version,
        "targets": sorted(row.id for row in rows),
        "user": user,
        "grade": _worst(known),
        "score": round(score, 6),
    }
    category = Counter(row.category for row in rows).most_common(1)[0][0]
    return Graded(
        request_hash=request_hash,
        messages=messages,
        content=answer.content,
        claims=answer.claims,
        grade=_worst(known),
        score=score,
        whole=whole,
        accepted=accepted,
        kept=_worst(left or known),
        category=category,
        held_out=held,
        source=source,
        said=answer,
        entries=tuple(
            mark.score if mark is not None and keep else None for mark, keep in zip(found, kept, strict=True)
        ),
    )


def _turned_down(store: Engine, task: Task, listed: Sequence[Graded], kept: Collection[str]) -> list[Graded]:
    """Answers of which no row came, since a gate refused what they say, to questions that were answered better too.

    Args:
        kept: the requests that rows came of.
    """
    gates: dict[str, set[tuple[str, str]]] = defaultdict(set)
    query = select(Rejection.request_hash, Rejection.gate, Rejection.text).where(
        Rejection.stage == STAGES[task], Rejection.request_hash.is_not(None), Rejection.gate.not_in(NOT_ITS_FAULT)
    )
    with Session(store) as session:
        for name, gate, text in session.execute(query):
            if name not in kept:
                gates[str(name)].add((gate, folded(text)))
    beside = {one.prompt_hash: one for one in listed}
    found = []
    for name, messages, said in asked(store, gates):
        twin = beside.get(prompt_hash(messages))
        names = sorted(gate for gate, text in gates[name] if text in map(folded, said.claims))
        if twin is None or not names:
            continue
        own = {"request": name, "targets": [], "grade": "B", "score": 0.0, "gates": names}
        found.append(
            replace(
                twin, request_hash=name, content=said.content, claims=said.claims, grade="B", score=0.0, whole=False,
                accepted="", kept="B", source={**twin.source, **own}, said=said, entries=(None,) * len(said.claims),
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: one.request_hash)


def _worst(marks: Sequence[_Mark]) -> Grade:
    return max((mark.grade for mark in marks), key=("S", "A", "B").index)


def _refusals(store: Engine, hashes: Collection[str]) -> dict[str, set[str]]:
    """The texts that gates refused, by the request whose answer had them."""
    found: dict[str, set[str]] = defaultdict(set)
    ordered = sorted(hashes)
    with Session(store) as session:
        for start in range(0, len(ordered), CHUNK):
            query = select(Rejection.request_hash, Rejection.gate, Rejection.text)
            for key, gate, text in session.execute(
                query.where(Rejection.request_hash.in_(ordered[start : start + CHUNK]))
            ):
                if gate not in NOT_ITS_FAULT:
                    found[str(key)].add(text)
    return found


def _category(catalogue: Catalogue, interest: Interest) -> str:
    """The category that most items of the evidence are of."""
    counts = Counter(catalogue.categories[row] or "" for row in evidence_rows(catalogue, interest.evidence))
    return min(counts, key=lambda name: (-counts[name], name), default="")


def _item_category(catalogue: Catalogue, item_id: str) -> str:
    row = catalogue.row_of(item_id)
    return (catalogue.categories[row] or "") if row is not None else ""
