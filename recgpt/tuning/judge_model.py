"""What a judge is tuned on: people's answers, put as the judge itself is asked and is to answer.

An example's messages are those that `recgpt judge run` sends about the row in the form `verdict`, and its completion is
the answer, {"evidence": QUOTE, "verdict": "yes" | "no"}. The quote is the person's, where they gave one that stands in
what is judged; else it is the claim, which always does. Imported labels count like people's where their passport is
above the bar; where several answered, the majority does, and a tie says nothing.

Most of what is labelled is good, so a judge that learnt all of it would learn to say yes. Of each criterion the rarer
answer is brought to the share `tuning.judge.minority`: all of its cases are kept, however old, and repeated; of the
others a part is drawn, in which one that is `half_life_days` older is half as likely to be. A criterion with hardly a
case of one answer is left out. Held-out cases stay as they are.

A row belongs to its user (a line of explanation to its interest), and the split is by that; a question that a held-out
row asks in the very same words is left out of training too.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine

from judges import Criterion, CriterionError, is_quoted, load_criteria
from judges.criterion import QUOTE_CHARS, shown
from recgpt.audit.passport import Bar, trusted
from recgpt.config import Config
from recgpt.errors import ConfigError, DataError
from recgpt.labels.store import LabelRow, each
from recgpt.labels.targets import load_targets
from recgpt.sources.logs import Logs
from recgpt.tuning.asked import prompt_hash
from recgpt.tuning.dataset import Dataset, Row, shuffled
from recgpt.tuning.graded import believed
from recgpt.tuning.settings import Judging, Tuning
from recgpt.tuning.split import held_out, key_of
from recgpt.words import JudgeKind, Task

TRUTHS: Final = (JudgeKind.HUMAN, JudgeKind.IMPORT)
LEAST_OF_EACH: Final = 3  # cases of either answer; with fewer a criterion teaches only what to say always
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
REPEATS: Final = 4  # the most that a case of the rarer answer is shown in an epoch


@dataclass(frozen=True)
class Case:
    """One criterion of one row, and the right answer."""

    criterion: Criterion  # in the form `verdict`
    given: str
    claim: str
    verdict: bool
    evidence: str = ""
    at: datetime = LONG_AGO
    key: str = ""  # of the split
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.criterion.task}.{self.criterion.name}"

    @property
    def identity(self) -> str:
        return json.dumps([self.name, self.given, self.claim, self.key, self.source], sort_keys=True, default=str)


def example(case: Case) -> Row | None:
    """The case as it is learnt; None where nothing in it can be quoted."""
    texts = shown(case.given), shown(case.claim)
    quotes = (one.strip()[:QUOTE_CHARS].strip() for one in (case.evidence, texts[1]))
    quote = next((one for one in quotes if is_quoted(one, texts)), "")
    if not quote:
        return None
    answer = {"evidence": quote, "verdict": "yes" if case.verdict else "no"}
    messages = tuple(case.criterion.messages(given=case.given, claim=case.claim))
    return Row(messages, case.source, completion=json.dumps(answer, ensure_ascii=False))


def cases(
    store: Engine, logs: Logs, config: Config, task: Task, *, force: bool = False
) -> tuple[list[Case], list[str]]:
    """What people said of a task's rows by the criteria that are asked; and why whose word is refused.

    Args:
        force: believe imported labels without a passport too.

    Raises:
        ConfigError: the config names a criterion that there is not.
    """
    criteria = _criteria(config, task)
    found: dict[tuple[int, str], dict[str, LabelRow]] = defaultdict(dict)
    for row in each(store, task, criteria=list(criteria)):
        if row.kind in TRUTHS:
            found[row.target_id, row.criterion][row.judge] = row  # the newest version of the criterion stands
    refusals = _refusals(store, task, {name for said in found.values() for name in said}, config.judge, force=force)
    targets = {one.id: one for one in load_targets(store, logs, config, task, {target for target, _ in found})}
    listed = []
    for (target_id, name), said in found.items():
        rows = [row for judge, row in said.items() if judge not in refusals]
        verdict, target = believed(rows), targets.get(target_id)
        if verdict is None or target is None:
            continue
        agreed = sorted((row for row in rows if row.verdict == verdict.verdict), key=lambda row: row.created_at)
        source = {
            "task": task.value,
            "target": target_id,
            "criterion": name,
            "user": target.user_id,
            "judges": sorted(row.judge for row in agreed),
            "at": agreed[-1].created_at.isoformat(timespec="seconds"),
        }
        listed.append(
            Case(
                criterion=criteria[name],
                given=target.given_for(criteria[name]),
                claim=target.claim,
                verdict=verdict.verdict,
                evidence=next((row.evidence for row in reversed(agreed) if row.evidence), ""),
                at=agreed[-1].created_at,
                key=key_of(target.user_id, target.interest),
                source=source,
            )
        )
    return listed, list(refusals.values())


def build(found: Sequence[Case], rules: Tuning, refused: Sequence[str] = ()) -> Dataset:
    """The data set of cases.

    Raises:
        DataError: no criterion has enough cases of both answers; the message says what there is.
    """
    found = sorted(found, key=lambda one: (one.at, one.identity))
    measured = [one for one in found if held_out(one.key, rules)]
    learnt = [one for one in found if not held_out(one.key, rules)]
    both = {_question(one) for one in measured} & {_question(one) for one in learnt}
    kept = learnt
    if rules.shared == "drop":
        kept = [one for one in learnt if _question(one) not in both]
    else:
        measured = [one for one in measured if _question(one) not in both]
    groups: dict[str, list[Case]] = defaultdict(list)
    for one in kept:
        groups[one.name].append(one)
    train: list[Row] = []
    criteria: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, group in sorted(groups.items()):
        yes = sum(one.verdict for one in group)
        if min(yes, len(group) - yes) < LEAST_OF_EACH:
            left_out[name] = f"{yes} yes and {len(group) - yes} no: {LEAST_OF_EACH} of either are needed"
            continue
        rows = _rows(levelled(group, rules.judge, rules.seed))
        said = Counter(str(row.source["verdict"]) for row in rows)
        criteria[name] = {"yes": yes, "no": len(group) - yes, "rows_yes": said["yes"], "rows_no": said["no"]}
        train += rows
    held = _rows([one for one in measured if one.name in criteria])
    counts: dict[str, Any] = {
        "cases": len(found),
        "by_criterion": criteria,
        "criteria_left_out": left_out,
        "judges_refused": list(refused),
        "shared_with_held_out": sum(_question(one) in both for one in learnt),
        "rows": len(train),
        "held_out": len(held),
    }
    if not train:
        why = [f"{len(found)} verdicts by people", *(f"{name}: {said}" for name, said in left_out.items()), *refused]
        if counts["shared_with_held_out"] and rules.shared == "drop":
            why.append(
                f"{counts['shared_with_held_out']} of them on what held-out users have too (tuning.shared = 'keep' "
                "learns from them)"
            )
        raise DataError(
            f"there is nothing to tune a judge on ({'; '.join(why)}): label more with 'recgpt judge label', or import "
            "labels"
        )
    return Dataset(tuple(shuffled(train, rules.seed, _row_key)), tuple(held), counts)


def levelled(found: Sequence[Case], rules: Judging, seed: int) -> list[Case]:
    """Cases of one criterion with the rarer answer brought to its share.

    How much is lacking is made up in even parts by repeating what is rare (each case REPEATS times at most) and by
    thinning what is common.
    """
    yes, no = [one for one in found if one.verdict], [one for one in found if not one.verdict]
    rare, common = sorted((yes, no), key=len)
    most = len(rare) * (1 - rules.minority) / rules.minority if rules.minority else math.inf
    if len(common) <= most or not rare:
        return list(found)
    times = min(REPEATS, round(math.sqrt(len(common) / most)) or 1)
    repeated = [replace(one, source={**one.source, "time": time}) for time in range(times) for one in rare]
    return [*repeated, *thinned(common, round(most * times), rules.half_life_days, seed)]


def thinned(found: Sequence[Case], wanted: int, half_life_days: float, seed: int) -> list[Case]:
    """A part of the cases, drawn without putting back; one twice as old as the half-life is a quarter as likely as a
    new one to come first (Efraimidis and Spirakis 2006)."""
    if wanted >= len(found):
        return list(found)
    newest = max(one.at for one in found)

    def place(case: Case) -> float:
        digest = hashlib.sha256(f"{seed}\n{case.identity}".encode("utf-8", "replace")).digest()
        chance = (int.from_bytes(digest[:7]) + 0.5) / 2**56
        age = (newest - case.at).total_seconds() / 86400.0
        return math.log(-math.log(chance)) + age / half_life_days * math.log(2.0)

    chosen = {one.identity for one in sorted(found, key=place)[:wanted]}
    return [one for one in found if one.identity in chosen]


def _rows(found: Iterable[Case]) -> list[Row]:
    rows = []
    for one in found:
        row = example(one)
        if row is not None:
            rows.append(replace(row, source={**one.source, "verdict": "yes" if one.verdict else "no"}))
    return rows


def _criteria(config: Config, task: Task) -> dict[str, Criterion]:
    try:
        return {one.name: one for one in load_criteria(task, config.judge.criteria.get(task))}
    except CriterionError as error:
        raise ConfigError(f"[judge]: {error}") from error


def _refusals(store: Engine, task: Task, judges: Iterable[str], bar: Bar, *, force: bool) -> dict[str, str]:
    if force:
        return {}
    refused = ((name, trusted(store, name, task, bar)) for name in sorted(judges))
    return {name: str(refusal) for name, refusal in refused if refusal is not None}


def _question(case: Case) -> str:
    return prompt_hash(case.criterion.messages(given=case.given, claim=case.claim))


def _row_key(row: Row) -> str:
    return json.dumps(row.as_dict(), sort_keys=True)
