"""Prompts that evolve: GEPA's search, with our stages as the system, our judges as the metric and their reasons as what
is reflected on.

A candidate is a whole prompt file. Its score for a user is the share of what it made that no judge and no gate found
wrong, but for gates that refuse because of what else the user has. What it leaves out and the first prompt gets right
counts as wrong. A user of whom the first prompt has no score says nothing, and one whom a candidate got no answer for
counts as under the first.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import prompts
from prompts import Prompt
from recgpt.errors import BudgetSpent, EngineError
from recgpt.stages.answers import Refused
from recgpt.stages.night import Night, Progress
from recgpt.tuning import reflection
from recgpt.tuning.graded import NOT_ITS_FAULT
from recgpt.tuning.table import Table
from recgpt.tuning.trial import Inputs, Turn, share, turns
from recgpt.words import Outcome

PART: Final = "prompt"  # the one component of a candidate
PERFECT: Final = 1.0
RESERVE: Final = 2.5  # versions: two are measured, and the new one is likely to be longer
STAGE: Final = "tune"  # as progress calls it
T = TypeVar("T")
Scored = tuple[float, Turn]


@dataclass
class Evolution:
    """A search, and the adapter by which GEPA drives it. What a call of it raises ends the search.

    Args:
        night: the inputs'; `progress` hears of each reflection.
        held: how many held-out users are to be measured afterwards, by two versions: what that is likely to take is
            kept back from the purse.
    """

    table: Table
    night: Night
    first: Prompt
    given: Inputs
    train: Sequence[str]  # keys of `given`
    validation: Sequence[str]
    aim: str
    held: int
    best: Prompt = field(init=False)
    scores: list[float] = field(default_factory=list)  # on validation, of each prompt that came so far
    rounds: int = 0
    stopped: str = ""  # why it ended before all rounds

    def __post_init__(self) -> None:
        self.best = self.first
        self.propose_new_texts = self._propose  # the name by which GEPA looks for it
        self._quiet = self.night.like(progress=lambda _: None)
        self._settings = self.night.config.tuning
        self._turns: dict[tuple[str, str], Turn | None] = {}
        self._tried: set[str] = set()
        self._error: BaseException | None = None
        self._reflected = 0

    def run(self) -> None:
        """Search until the rounds are over or the budget is spent.

        Raises:
            EngineError: a model is not there.
        """
        import gepa  # noqa: PLC0415 (only with the extra `tune`)

        before, reserve = self.table.purse.spent, 0
        rules = self._settings.prompts
        try:
            self._score(self.first, self.validation)
            cost = (self.table.purse.spent - before) / len(self.validation)
            reserve = math.ceil(RESERVE * cost * self.held)
            self.table.purse.limit -= reserve
            gepa.optimize(
                seed_candidate={PART: self.first.text},
                trainset=list(self.train),
                valset=list(self.validation),
                adapter=self,
                reflection_minibatch_size=min(rules.minibatch, len(self.train)),
                perfect_score=PERFECT,
                stop_callbacks=self._over,
                callbacks=[self],
                logger=_Silence(),
                track_best_outputs=False,
                seed=self._settings.seed,
            )
        except BudgetSpent as error:
            self._error = error
        if isinstance(self._error, BudgetSpent):
            kept = f", but for {reserve:,} that the held-out users are likely to take" if reserve else ""
            self.stopped = f"the tokens are spent{kept}"
        elif self._error is not None:
            raise self._error

    def failures(self) -> dict[str, int]:
        """What was wrong with the rows of the first prompt, as far as it was tried."""
        return reflection.failures(
            turn for (version, _), turn in self._turns.items() if turn is not None and version == self.first.version
        )

    # What GEPA calls.

    def evaluate(self, batch: list[str], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        from gepa import EvaluationBatch  # noqa: PLC0415

        scored = self._guarded(lambda: self._score(self._read(candidate), batch))
        scores = [score for score, _ in scored]
        return EvaluationBatch([None] * len(batch), scores, scored if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        prompt = self._read(candidate)
        worst_first = sorted(eval_batch.trajectories, key=lambda scored: scored[0])
        return {PART: [{"case": reflection.case(prompt, turn, score)} for score, turn in worst_first]}

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        """The first prompt comes first, then each that was better on the users that it was written by."""
        if not self.scores or event["average_score"] > max(self.scores):
            self.best = self._read(event["candidate"])
        self.scores.append(float(event["average_score"]))

    def _over(self, state: Any) -> bool:
        self.rounds = state.i + 1
        rounds = self._settings.prompts.rounds
        said = f"passing {100 * max(self.scores, default=0):.1f} %, {len(self.scores)} prompts tried on all"
        self.night.progress(Progress(STAGE, self.rounds, rounds, said))
        return self._error is not None or self.rounds >= rounds

    def _propose(
        self, candidate: dict[str, str], dataset: Mapping[str, Sequence[Mapping[str, Any]]], _: list[str]
    ) -> dict[str, str]:
        cases = [str(one["case"]) for one in dataset[PART]]
        written = self._guarded(lambda: self._reflect(self._read(candidate), cases))
        return {} if written is None else {PART: written.text}

    def _guarded(self, work: Callable[[], T]) -> T:
        """GEPA passes over some exceptions: the first one is kept, and nothing is asked after it."""
        if self._error is not None:
            raise self._error
        try:
            return work()
        except BaseException as error:
            self._error = error
            raise

    # What is done then.

    def _read(self, candidate: Mapping[str, str]) -> Prompt:
        return prompts.parse(self.first.task, candidate[PART], "a candidate")

    def _reflect(self, prompt: Prompt, cases: Sequence[str]) -> Prompt | None:
        """Ask for a better prompt; None where no try made one."""
        rules, model, refused = self._settings.prompts, self.table.reflector, ""
        for _ in range(rules.tries):
            filled = reflection.variables(prompt, self.table.bench.criteria, cases, rules.shown, refused)
            request = model.request(
                prompts.load("reflection"),
                filled,
                schema=reflection.schema(prompt),
                temperature=rules.temperature,
                seed=self._settings.seed + self._reflected,
            )
            self._reflected += 1
            reply = self.table.run(model.ask(request))
            if reply.outcome is Outcome.UNAVAILABLE:
                # To go on without it would be another search than the one that is gone on with tomorrow.
                raise EngineError(
                    f"the model that reflects gave no answer ({reply.reason}): run the same command again to go on"
                )
            try:
                if reply.outcome is Outcome.INVALID:
                    raise Refused("answer", reply.content, reply.reason)
                written = reflection.written(prompt, self.first, reply, filled["shown"])
                if written.version in self._tried:
                    raise Refused("same", written.text, "that was tried before: change something else")
            except Refused as error:
                refused = error.detail or str(error)
                continue
            self._tried.add(written.version)
            return written
        return None

    def _score(self, prompt: Prompt, keys: Sequence[str]) -> list[Scored]:
        own, first = self._made(prompt, keys), self._made(self.first, keys)
        names = list(self.table.bench.criteria)

        def one(turn: Turn | None, other: Turn | None) -> float:
            failed = sum(one.gate not in NOT_ITS_FAULT for one, _ in turn.refusals) if turn else 0
            return share(turn, other, self.aim, names, failed=failed)

        scored = []
        for mine, theirs in zip(own, first, strict=True):
            known = one(theirs, theirs)
            score = PERFECT if math.isnan(known) else one(mine, theirs)
            scored.append((known if math.isnan(score) else score, mine or Turn()))
        return scored

    def _made(self, prompt: Prompt, keys: Sequence[str]) -> list[Turn | None]:
        missing = [key for key in dict.fromkeys(keys) if (prompt.version, key) not in self._turns]
        if missing:
            table, served = self.table, self._quiet.serving.with_prompt(prompt)
            given = self.given.only(missing)
            found = table.run(turns(self._quiet, given, served, table.model, table.bench.verdicts))
            self._turns.update({(prompt.version, key): found.get(key) for key in missing})
        return [self._turns[prompt.version, key] for key in keys]


class _Silence:
    """GEPA's log says at length what the record and the ledger hold."""

    def log(self, message: str) -> None:
        pass
