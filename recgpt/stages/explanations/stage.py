"""(interest, item) -> a short line, made once, kept, and shared by every user whom it fits.

Only pairs that some recommendation of the night needs are asked for: the first `explain.top` of each user. A pair that
fails every try has no explanation, and its unit says why; there is no template pretending.

`short` asks a small model once. `full` asks a real one twice (RecGPT-V2, arXiv 2512.14503): first for a style guide,
then for the text in that style. A guide is made for a group (people whose interest is lasting or passing, a category, a
season), not for a pair: its request is the same for the whole group, so it is asked once and replayed for the others,
and its cost grows with the catalogue's categories and not with the pairs.

A pair is made of the interest's name and what the catalogue says of the item, not of the season: a new season gives the
next lines its own style and leaves the others as they are. That is why no line may name a season.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

import prompts
from recgpt.engine import embedded
from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply, Request
from recgpt.rendering.clean import clean
from recgpt.rendering.environment import environment, occasions
from recgpt.stages.answers import read_text
from recgpt.stages.explanations import gates, pairs
from recgpt.stages.explanations.brands import Brands
from recgpt.stages.explanations.pairs import Pair
from recgpt.stages.explanations.vocabulary import Vocabulary, common_words
from recgpt.stages.night import Night
from recgpt.stages.texts import product
from recgpt.stages.work import Kept, Question, Settled, Tally, Work, digest, plan, work_through
from recgpt.store.tables import Explanation
from recgpt.words import Horizon, Outcome, Stage, State

READERS: Final = {
    Horizon.LONG_TERM: "people who have cared about such things for months and know their way around",
    Horizon.SHORT_TERM: "people whom such things have caught lately, for an occasion or a while",
}


async def run(night: Night, model: LanguageModel, run_id: int) -> Tally:
    stale = pairs.retire_stale(night)
    total = pairs.count(night)
    tally = await work_through(night, Stage.EXPLAIN, model, units(night, model), run_id=run_id, total=total)
    served = pairs.count_served(night)
    tally.notes.update(stale=stale, explanations=served.explanations, users=served.users)
    tally.means["users_per_explanation"] = served.mean
    return tally


def dry_run(night: Night, model: LanguageModel) -> Tally:
    return plan(night, Stage.EXPLAIN, model, units(night, model))


def units(night: Night, model: LanguageModel) -> Iterator[Work]:
    """A unit a pair that tonight's recommendations need."""
    strategy: Strategy = (Full if night.config.explain.strategy == "full" else Short)(night, model, rules(night))
    for pair in pairs.wanted(night):
        row = night.logs.catalogue.row_of(pair.item_id)
        if row is not None:  # else it is no longer sold since the recommendation was made
            yield strategy.unit(pair, row)


def rules(night: Night) -> gates.Rules:
    """What tonight's lines are held against."""
    config, catalogue = night.config, night.logs.catalogue
    tokenizers = [night.encoder.folder / "tokenizer.json"]
    makes_words_up = config.explain.strategy == "short" and config.engine.kind == "embedded"
    if makes_words_up:
        tokenizers.append(embedded.prepare().tokenizer)
    common = common_words(*tokenizers)
    return gates.Rules(
        shortest=config.explain.min_chars,
        longest=config.explain.max_chars,
        sensitive=config.interests.sensitive,
        occasions=tuple(occasions(config, night.day)),
        brands=Brands(catalogue.brands, common),
        vocabulary=Vocabulary(common, catalogue) if makes_words_up else None,
    )


class Strategy(Protocol):
    """How a pair's line is asked for."""

    def unit(self, pair: Pair, row: int) -> Work:
        """A pair as a unit of work; `row` is the item's in the catalogue."""
        ...


class Short:
    """One short question: a small model begins with the interest and the product, and goes on with what that does."""

    def __init__(self, night: Night, model: LanguageModel, rules: gates.Rules) -> None:
        self.night, self.model, self.rules = night, model, rules
        self.prompt = night.serving.prompt("explanation_short")

    def unit(self, pair: Pair, row: int) -> Work:
        name = product(self.night.logs.catalogue, row)
        opening = prompts.opening(pair.interest, name)
        schema = prompts.begins(self.prompt.schema, "explanation", opening)
        asked = _attempts(self.night, self.model, self.prompt, {"interest": pair.interest, "product": name}, schema)
        question = Question(asked, partial(_check, about=_about(self.night, pair, row, opening), rules=self.rules))
        return _work(self.night, pair, row, question, [request.hash for request in asked])


class Full:
    """Two questions to a real model: the style that fits the group and the season, then the line in that style."""

    def __init__(self, night: Night, model: LanguageModel, rules: gates.Rules) -> None:
        self.night, self.model, self.rules = night, model, rules
        self.style, self.text = night.serving.prompt("explanation_style"), night.serving.prompt("explanation")
        self.environment = environment(night.config, night.day)

    def unit(self, pair: Pair, row: int) -> Work:
        variables = {
            "readers": READERS[pair.horizon],
            "category": clean(self.night.logs.catalogue.categories[row], 120) or "of any kind",
            "environment": self.environment,
        }
        asked = _attempts(self.night, self.model, self.style, variables)
        question = Question(asked, partial(_check_style, rules=self.rules))
        # Not the requests: they hold the season, and a new one must not make every line anew.
        answering = self.model.answering(self.text.task)
        made_of = [self.style.version, self.text.version, *answering, str(len(asked))]
        return _work(self.night, pair, row, question, made_of, then=partial(self._then, pair=pair, row=row))

    def _then(self, settled: Sequence[Settled], *, pair: Pair, row: int) -> Sequence[Question]:
        if len(settled) > 1 or settled[0].value is None:
            return ()
        check = partial(_check, about=_about(self.night, pair, row), rules=self.rules)
        return [Question(self._ask_text(pair, row, settled[0].value), check)]

    def _ask_text(self, pair: Pair, row: int, style: str) -> tuple[Request, ...]:
        item = pairs.item_record(self.night.logs.catalogue, row)
        longest = str(self.night.config.explain.max_chars)
        variables = {"interest": pair.interest, "item": item, "style": style, "max_chars": longest}
        return _attempts(self.night, self.model, self.text, variables)


def _attempts(
    night: Night, model: LanguageModel, prompt: prompts.Prompt, variables: dict[str, str], schema: Any = None
) -> tuple[Request, ...]:
    """The first try is the likeliest answer; a further one must be able to differ from it."""
    return tuple(
        model.request(prompt, variables, schema=schema, temperature=0.7 if number else 0.0, seed=number)
        for number in range(night.config.explain.tries)
    )


def _about(night: Night, pair: Pair, row: int, opening: str = "") -> gates.About:
    catalogue = night.logs.catalogue
    return gates.About(pair.interest, catalogue.titles[row], pairs.item_record(catalogue, row), opening)


def _work(night: Night, pair: Pair, row: int, first: Question, made_of: Sequence[str], **then: Any) -> Work:
    config, record = night.config, pairs.record_hash(pair.interest, pairs.item_record(night.logs.catalogue, row))
    ruled = [config.explain.min_chars, config.explain.max_chars, config.interests.sensitive]
    keep = partial(_keep, pair=pair, input_hash=record, night=night.day)
    return Work(pairs.key(pair.interest, pair.item_id), digest(made_of, record, ruled), (first,), keep, **then)


def _check_style(reply: Reply, *, rules: gates.Rules) -> str:
    return gates.style(read_text(reply, "style"), rules)


def _check(reply: Reply, *, about: gates.About, rules: gates.Rules) -> str:
    return gates.passed(read_text(reply, "explanation"), about, rules)


def _keep(
    session: Session, settled: Sequence[Settled], run_id: int, *, pair: Pair, input_hash: str, night: date
) -> Kept:
    """Put the line in the place of the one that the pair had; the very same line stays as it is."""
    *guides, line = settled
    query = select(Explanation).where(
        Explanation.interest == pair.interest, Explanation.item_id == pair.item_id, Explanation.state == State.ACTIVE
    )
    for old in session.scalars(query):
        if (old.text, old.input_hash, old.request_hash) == (line.value, input_hash, line.request_hash):
            return Kept(Outcome.OK)
        old.state, old.retired_night = State.RETIRED, night
    if line.value is None:  # the line itself, or the style guide that should have come before it
        asked = line.reply.request.task if line.reply else ""
        return Kept(Outcome.INVALID, f"{asked}: " + "; ".join(str(refused) for refused, _ in line.refusals))
    session.add(
        Explanation(
            interest=pair.interest,
            item_id=pair.item_id,
            text=line.value,
            style=guides[0].value if guides else "",
            style_request_hash=guides[0].request_hash if guides else None,
            input_hash=input_hash,
            state=State.ACTIVE,
            since_night=night,
            request_hash=line.request_hash,
            run_id=run_id,
        )
    )
    return Kept(Outcome.OK)
