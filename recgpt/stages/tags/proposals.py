"""How tags are asked for: what a strategy asks of the model about one user, and how its answers are read as proposals.

`each` asks a short question per interest, in which the model chooses between phrases that code found in the titles near
the interest; what a small model can do well. `single` asks for all of a user's interests in one call, with the night's
environment; for a real model. (`experts`, for a real model too, has a module of its own.)

An interest is shown as its row was made: evidence that later nights only add to it changes nothing that is asked.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

import prompts
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply, Request
from recgpt.rendering.clean import clean
from recgpt.rendering.environment import environment
from recgpt.stages.answers import Refused, read_list
from recgpt.stages.night import Night
from recgpt.stages.texts import evidence_rows, item_line, product
from recgpt.stages.work import Question, Settled, Then
from recgpt.store.tables import Interest
from recgpt.vectors import Vectors

LOOKED_AT = 60  # nearest items that phrases are taken from
NEAR = 0.7  # of the nearest item's likeness: what is farther is not offered
SHOWN = 4  # items of an interest that the model is shown


@dataclass(frozen=True)
class ProposedTag:
    """A tag as the model wrote it, before any gate. No interest: it named none of those asked about."""

    interest: Interest | None
    text: str
    rationale: str = ""
    persona: str = ""
    request_hash: str | None = None


@dataclass
class Proposed:
    """What came of one user's questions: proposals, best first, and whatever was refused while reading them.

    `answered` are the ids of the interests that a whole answer spoke about, even if it gave no tag for them.
    """

    listed: list[ProposedTag] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    refusals: list[tuple[Refused, str | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Inquiry:
    """A strategy's questions about one user. `made_of` is what later rounds are made of beside the answers."""

    questions: Sequence[Question]
    read: Callable[[Sequence[Settled]], Proposed]
    then: Then | None = None
    made_of: Sequence[str] = ()


def each(night: Night, model: LanguageModel, interests: Sequence[Interest]) -> Inquiry:
    prompt = night.serving.prompt("interest_tags")
    names = night.encoder.encode([interest.name for interest in interests])
    questions = []
    for interest, name in zip(interests, names, strict=True):
        offered = _offered(night, interest, name)
        schema = prompts.one_of(prompt.schema, "tags", offered) if offered else None
        variables = {"interest": clean(interest.name, 80)}
        questions.append(Question((request(night, model, prompt, variables, schema),), _check_phrases))
    return Inquiry(questions, partial(_read_each, interests=interests))


def single(night: Night, model: LanguageModel, interests: Sequence[Interest]) -> Inquiry:
    numbered = dict(enumerate(interests, 1))
    variables = {
        "interests": listing(night, numbered),
        "environment": environment(night.config, night.day),
        "per_interest": str(night.config.tags.per_interest),
    }
    question = Question((request(night, model, night.serving.prompt("tags_single"), variables),), check_entries)
    return Inquiry([question], partial(_read_single, numbered=numbered))


def request(
    night: Night,
    model: LanguageModel,
    prompt: prompts.Prompt,
    variables: dict[str, str],
    schema: dict[str, Any] | None = None,
) -> Request:
    """Resolved with the sampling that the config sets for tags."""
    rules = night.config.tags
    return model.request(prompt, variables, schema=schema, temperature=rules.temperature, seed=rules.seed)


def listing(night: Night, numbered: Mapping[int, Interest]) -> str:
    """Interests as a real model reads them: number, name, horizon, what was done, and some of the items.

    [1] trail running (long_term; bought x3, viewed x12)
    - Fellrunner waterproof trail running shoes (Trail running)
    """
    catalogue, words = night.logs.catalogue, night.config.rendering.title_words
    lines = []
    for number, interest in numbered.items():
        evidence = as_made(interest)
        done = ", ".join(f"{word} x{count}" for word, count in _doings(night, evidence).most_common())
        lines.append(f"[{number}] {clean(interest.name, 80)} ({interest.horizon}{'; ' if done else ''}{done})")
        lines += [item_line(catalogue, row, words) for row in evidence_rows(catalogue, evidence)[:SHOWN]]
    return "\n".join(lines)


def as_made(interest: Interest) -> list[dict[str, Any]]:
    """The evidence that the interest had when its row was made, oldest first."""
    made = interest.since_night.isoformat()
    return [event for event in interest.evidence if event["night"] <= made]


def check_entries(reply: Reply) -> list[dict[str, Any]]:
    """The entries of a list of tags, each {interest, tag, rationale}; a bare text is a tag of no interest."""
    return [entry if isinstance(entry, dict) else {"tag": entry} for entry in read_list(reply, "tags")]


def proposals_of(settled: Settled, numbered: Mapping[int, Interest], persona: str = "") -> list[ProposedTag]:
    """The entries of an answer that passed `check_entries`, each with the interest that it names by number."""
    by_number = {str(number): interest for number, interest in numbered.items()}
    return [
        ProposedTag(
            by_number.get(str(entry.get("interest"))),
            str(entry.get("tag", "")),
            str(entry.get("rationale", "")),
            persona,
            settled.request_hash,
        )
        for entry in settled.value or ()
    ]


def _read_single(settled: Sequence[Settled], *, numbered: Mapping[int, Interest]) -> Proposed:
    (answer,) = settled
    answered = set() if answer.value is None else {interest.id for interest in numbered.values()}
    return Proposed(proposals_of(answer, numbered), answered)


def _read_each(settled: Sequence[Settled], *, interests: Sequence[Interest]) -> Proposed:
    read = Proposed()
    for interest, answer in zip(interests, settled, strict=True):
        if answer.value is not None:
            read.answered.add(interest.id)
            read.listed += [ProposedTag(interest, text, request_hash=answer.request_hash) for text in answer.value]
    return read


def _check_phrases(reply: Reply) -> list[str]:
    return list(dict.fromkeys(map(str, read_list(reply, "tags"))))


def _offered(night: Night, interest: Interest, name: Vectors) -> list[list[str]]:
    """Phrases of the catalogue's items that are nearest to the interest, dealt into a few lists to choose one from."""
    catalogue, evidence = night.logs.catalogue, as_made(interest)
    rows = evidence_rows(catalogue, evidence)
    wanted = name + night.vectors[rows].mean(0) if rows else name
    likeness = night.vectors @ wanted
    nearest = np.argsort(-likeness, kind="stable")[:LOOKED_AT]
    near = nearest[likeness[nearest] >= NEAR * likeness[nearest[0]]].tolist() if len(nearest) else []
    bought = [product(catalogue, row) for row in evidence_rows(catalogue, _not_fresh(night, evidence))]
    return prompts.deal((product(catalogue, row) for row in near), night.config.tags.per_interest, not_again=bought)


def _not_fresh(night: Night, evidence: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was bought in the last days of the evidence: of its own kind nothing need be offered again."""
    rules = night.config.tags
    moments = [datetime.fromisoformat(event["timestamp"]) for event in evidence]
    since = max(moments, default=night.until) - timedelta(days=rules.fresh_days)
    return [
        event
        for event, moment in zip(evidence, moments, strict=True)
        if event["behaviour"] in rules.fresh_behaviours and moment >= since
    ]


def _doings(night: Night, evidence: Sequence[dict[str, Any]]) -> Counter[str]:
    known = night.config.behaviours
    return Counter(known[event["behaviour"]].word for event in evidence if event["behaviour"] in known)
