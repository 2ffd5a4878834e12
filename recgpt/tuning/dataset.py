"""What tuning learns from: examples with the source of each, split by user, with a hash over all of them.

An example's prompt is that of the very request in the ledger, so training sees what serving sends. SFT learns answers
that were graded S or A; where no answer to a question is, and its entries have given places, one that is put together
of their good entries. DPO learns pairs of an S or A and one graded B to the same question. No category has more
than `tuning.balance` times the rows of the median one, and of a file of the user's a share of general instructions is
mixed in, without which a model forgets what else it could do.

Nobody who is held out is learnt from (`split`). A question that a held-out user was asked in the very same words is
left out of training too, unless `tuning.shared` keeps it; then held-out results hold for new users, and not for new
questions.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, TypeVar

from recgpt.errors import ConfigError, DataError
from recgpt.tuning.asked import Message, folded
from recgpt.tuning.graded import GOOD, Answers, Graded
from recgpt.tuning.settings import Tuning

TRAIN, HELD_OUT, FACTS = "train.jsonl", "held_out.jsonl", "data.json"
PAIRS: Final = 2  # the most that one question gives
Kind = Literal["sft", "dpo"]
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """An example: a prompt and its answer, or a prompt and two of them. `source` is where it comes from."""

    messages: tuple[Message, ...]
    source: Mapping[str, Any]
    completion: str = ""
    chosen: str = ""
    rejected: str = ""

    def as_dict(self) -> dict[str, Any]:
        answers = {name: getattr(self, name) for name in ("completion", "chosen", "rejected") if getattr(self, name)}
        return {"messages": list(self.messages), **answers, "source": dict(self.source)}


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from and rows to measure on; `counts` says what was left out and why."""

    train: tuple[Row, ...]
    held_out: tuple[Row, ...]
    counts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        digest = hashlib.sha256()
        for name, rows in ((TRAIN, self.train), (HELD_OUT, self.held_out)):
            digest.update(f"{name}\n".encode())
            for line in _lines(rows):
                digest.update(line.encode("utf-8", "replace"))
        return "sha256:" + digest.hexdigest()

    def write(self, folder: Path) -> None:
        """One JSON object a line; `data.json`, with hash and counts, comes last, so that with it all is there."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in ((TRAIN, self.train), (HELD_OUT, self.held_out)):
            with (folder / name).open("w", encoding="utf-8", errors="replace") as file:
                file.writelines(_lines(rows))
        facts = {"hash": self.hash, "counts": dict(self.counts)}
        part = folder / (FACTS + ".part")
        part.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", "utf-8")
        part.replace(folder / FACTS)


def read(folder: Path) -> Dataset | None:
    """What `write` wrote; None if it did not come to its end, or the files were changed since."""
    try:
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        rows = [
            tuple(_row(json.loads(line)) for line in (folder / name).read_text("utf-8").splitlines())
            for name in (TRAIN, HELD_OUT)
        ]
    except (OSError, ValueError, KeyError):
        return None
    data = Dataset(rows[0], rows[1], facts["counts"])
    return data if data.hash == facts["hash"] else None


def build(answers: Answers, kind: Kind, rules: Tuning, *, general: Path | None = None) -> Dataset:
    """The data set for SFT or DPO of answers that were graded.

    Raises:
        DataError: there is nothing to learn from; the message says what was left out.
        ConfigError: the file of general instructions can't be read.
    """
    learnt = [one for one in answers.listed if not one.held_out]
    measured = [one for one in answers.listed if one.held_out]
    shared = [one for one in learnt if one.prompt_hash in answers.held_prompts]
    if rules.shared == "drop":
        learnt = [one for one in learnt if one.prompt_hash not in answers.held_prompts]
    else:
        seen = {one.prompt_hash for one in learnt}
        measured = [one for one in measured if one.prompt_hash not in seen]
    make = _examples if kind == "sft" else lambda found: _pairs(found, rules)
    found = make(learnt)
    kept = balanced(found, lambda one: one[0], rules)
    train = [row for _, row in kept]
    held_out = [row for _, row in make(measured)]
    counts: dict[str, Any] = {
        "answers": len(answers.listed),
        "by_grade": dict(sorted(Counter(one.grade for one in answers.listed).items())),
        "judges_refused": list(answers.refused),
        "shared_with_held_out": len(shared),
        "unbalanced_left_out": len(found) - len(kept),
        "rows": len(train),
        "held_out": len(held_out),
    }
    if not train:
        raise DataError(f"there is nothing to learn from: {_why(kind, counts, rules)}")
    mixed = _general(general, kind, len(train), rules) if general else []
    counts |= {"general": len(mixed), "general_share": round(len(mixed) / (len(mixed) + len(train)), 4)}
    return Dataset(tuple(shuffled([*train, *mixed], rules.seed, _row_key)), tuple(held_out), counts)


def balanced(found: Sequence[T], category: Callable[[T], str], rules: Tuning) -> list[T]:
    """At most `balance` times the median category's number of each, the first ones; in their order."""
    sizes = Counter(map(category, found))
    if not rules.balance or not sizes:
        return list(found)
    most = math.ceil(rules.balance * median(sizes.values()))
    seen: Counter[str] = Counter()
    kept = []
    for one in found:
        seen[category(one)] += 1
        if seen[category(one)] <= most:
            kept.append(one)
    return kept


def shuffled(found: Iterable[T], seed: int, key: Callable[[T], str]) -> list[T]:
    """In an order that depends on the seed and on what each is, not on where it stood."""
    return sorted(found, key=lambda one: hashlib.sha256(f"{seed}\n{key(one)}".encode("utf-8", "replace")).hexdigest())


def _examples(answers: Sequence[Graded]) -> list[tuple[str, Row]]:
    """The good answers with their categories, each once, S before A; then those that are put together."""
    good = sorted((one for one in answers if one.accepted), key=lambda one: (GOOD.index(one.kept), one.request_hash))
    rows: dict[tuple[str, str], tuple[str, Row]] = {}
    for one in good:
        row = Row(one.messages, one.source, completion=one.accepted)
        rows.setdefault((one.prompt_hash, one.accepted), (one.category, row))
    answered = {name for name, _ in rows}
    by_prompt: dict[tuple[str, int], list[Graded]] = defaultdict(list)
    for one in answers:
        if one.said.placed and one.prompt_hash not in answered:
            by_prompt[one.prompt_hash, len(one.entries)].append(one)
    together = (_together(group) for _, group in sorted(by_prompt.items()))
    return [*rows.values(), *(found for found in together if found is not None)]


def _together(group: Sequence[Graded]) -> tuple[str, Row] | None:
    """One good answer out of several to a question whose list has given places: the best good entry at each, none of
    them twice. None where a place has no good entry."""
    group = sorted(group, key=lambda one: one.request_hash)
    entries: list[Any] = []
    sources: list[Graded] = []
    taken: set[str] = set()
    for place in range(len(group[0].entries)):
        good = [one for one in group if one.entries[place] is not None and folded(one.claims[place]) not in taken]
        if not good:
            return None
        best = max(good, key=lambda one: one.entries[place] or 0.0)
        taken.add(folded(best.claims[place]))
        entries.append(best.said.entries[place])
        sources.append(best)
    first = sources[0]
    source = {**first.source, "places": [one.request_hash for one in sources], "grade": "A"}
    scores = [one.entries[place] or 0.0 for place, one in enumerate(sources)]
    source["score"] = round(sum(scores) / len(scores), 6)
    source["targets"] = sorted({target for one in sources for target in one.source["targets"]})
    return first.category, Row(first.messages, source, completion=first.said.listing(entries))


def _pairs(answers: Sequence[Graded], rules: Tuning) -> list[tuple[str, Row]]:
    """The widest pairs of a good and a bad answer to the same question, each answer in one of them at most."""
    by_prompt: dict[str, list[Graded]] = defaultdict(list)
    for one in answers:
        by_prompt[one.prompt_hash].append(one)
    rows = []
    for _, group in sorted(by_prompt.items()):
        better = [one for one in group if one.whole and one.grade in GOOD]
        worse = [one for one in group if one.grade == "B"]
        wide = [
            (good.score - bad.score, good, bad)
            for good in better
            for bad in worse
            if good.score - bad.score >= rules.dpo.margin and likeness(good, bad) < rules.dpo.alike
        ]
        used: set[str] = set()
        for margin, good, bad in sorted(wide, key=lambda one: (-one[0], one[1].request_hash, one[2].request_hash)):
            if len(used) < 2 * PAIRS and not used & {good.request_hash, bad.request_hash}:
                used |= {good.request_hash, bad.request_hash}
                source = {"margin": round(margin, 4), "chosen": dict(good.source), "rejected": dict(bad.source)}
                row = Row(good.messages, source, chosen=good.content, rejected=bad.content)
                rows.append((good.category, row))
    return rows


def likeness(one: Graded, other: Graded) -> float:
    """How alike the words of two answers are, 0 to 1; what frames them (JSON, the keys) says nothing."""
    first, second = (" ".join(answer.claims).casefold().split() for answer in (one, other))
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def _general(file: Path, kind: Kind, rows: int, rules: Tuning) -> list[Row]:
    """Enough of the user's own rows that they are `general_share` of the whole, or all there are."""
    wanted = round(rows * rules.general_share / (1 - rules.general_share))
    found = shuffled(_general_rows(file, kind), rules.seed, _row_key)
    return found[:wanted]


def _general_rows(file: Path, kind: Kind) -> Iterator[Row]:
    """{"messages": [... {"role": "assistant"}]}, or {"prompt", "completion"}; {"prompt", "chosen", "rejected"} for DPO.

    A prompt is a text or a list of messages. Lines of the other kind are passed over.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"tuning.general: {file} can't be read ({error}): it is a file of JSON Lines") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _general_row(json.loads(line), kind, {"general": file.name, "line": number})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f'tuning.general: line {number} of {file} is no example ({error}): {{"messages": [...]}} that ends '
                'with the assistant\'s, {"prompt", "completion"}, or {"prompt", "chosen", "rejected"}'
            ) from None
        if row is not None:
            yield row


def _general_row(raw: Any, kind: Kind, source: dict[str, Any]) -> Row | None:
    if "messages" in raw:
        *asked, said = raw["messages"]
        if said["role"] != "assistant":
            raise ValueError("the last message is not the assistant's")
        return Row(_messages(asked), source, completion=_text(said["content"])) if kind == "sft" else None
    prompt = raw["prompt"]
    messages = _messages([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt)
    if "chosen" in raw:
        chosen, rejected = _text(raw["chosen"]), _text(raw["rejected"])
        return Row(messages, source, chosen=chosen, rejected=rejected) if kind == "dpo" else None
    return Row(messages, source, completion=_text(raw["completion"])) if kind == "sft" else None


def _messages(raw: Any) -> tuple[Message, ...]:
    if not raw:
        raise ValueError("no prompt")
    return tuple({"role": str(one["role"]), "content": _text(one["content"])} for one in raw)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text is wanted")
    return value


def _why(kind: Kind, counts: Mapping[str, Any], rules: Tuning) -> str:
    said = f"of {counts['answers']} graded answers ({counts['by_grade']}) "
    said += f"{counts['shared_with_held_out']} were to questions that held-out users were asked too"
    if counts["shared_with_held_out"] and rules.shared == "drop":
        said += " (tuning.shared = 'keep' learns from them)"
    if counts["judges_refused"]:
        said += "; " + "; ".join(counts["judges_refused"])
    if kind == "dpo":
        said += (
            f", and of the others no S or A is {rules.dpo.margin:g} above a B to the same question: take more answers "
            "to each ('--samples'), or lower tuning.dpo.margin"
        )
    else:
        said += ": judge more ('recgpt judge run', 'recgpt judge label'), or take more answers ('--samples')"
    return said


def _row_key(row: Row) -> str:
    return json.dumps(row.as_dict(), sort_keys=True)


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    return (json.dumps(row.as_dict(), sort_keys=True, ensure_ascii=False) + "\n" for row in rows)


def _row(raw: Mapping[str, Any]) -> Row:
    return Row(tuple(raw["messages"]), **{name: value for name, value in raw.items() if name != "messages"})
