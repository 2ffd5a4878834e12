"""A tuned judge beside the one that serves: which of the two says more often what people say.

Both are asked what held-out users' rows were labelled by people, and a criterion's value is the balanced accuracy: yes
and no weigh the same, so that "always yes" has one half, whatever is labelled. A user's value is the weight of what is
right about their rows; the aim `all` gives each criterion the same weight. A question that a judge gives no verdict on
is not answered rightly. The judge that serves (of a panel, the first) is asked in its own form, the tuned one in the
form `verdict`, and each is held against its own thresholds. A criterion that only one of them is asked, or whose
held-out labels are all yes or all no, is left out.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recgpt.engine.open import open_engine
from recgpt.errors import DataError
from recgpt.labels.judging import Asked, Judge
from recgpt.labels.targets import Target
from recgpt.serving import Serving
from recgpt.settings import Seat
from recgpt.stages.night import Night
from recgpt.stages.verdicts import criteria
from recgpt.tuning import judge_model
from recgpt.tuning.gate import AIM, Values
from recgpt.tuning.judge_model import Case
from recgpt.tuning.split import held_out
from recgpt.words import Task

Answers = Mapping[str, bool | None]  # by the case's identity; None: no verdict


@dataclass(frozen=True)
class Trial:
    """What both judges are worth, in the same order of users."""

    new: Values
    old: Values
    keys: tuple[str, ...]
    given: Mapping[str, int]  # verdicts that each of both gave
    judge: str  # whose word is the truth


async def tried(night: Night, task: Task, served: Serving, most: int, *, force: bool = False) -> Trial:
    """Ask both.

    Args:
        served: what serves, but for the judge on trial.
        most: users, or names of interests, at most.
        force: believe imported labels without a passport.

    Raises:
        DataError: people labelled too little of held-out users.
    """
    rules = night.config.tuning
    found, _ = judge_model.cases(night.store, night.logs, night.config, task, force=force)
    seat = night.config.seats[0]
    known = {one.name for one in criteria(night.config, seat, task)}
    held = [one for one in found if held_out(one.key, rules) and one.criterion.name in known]
    keys = tuple(sorted({one.key for one in held}))[:most]
    cases = _both([one for one in held if one.key in keys])
    if not cases:
        raise DataError(
            f"no criterion of {task} has a yes and a no by people on rows of held-out users: label more "
            f"('recgpt judge label {task}')"
        )
    new = await _answers(night, task, served, replace(seat, engine=night.config.engine, form="verdict"), cases)
    own = seat.engine == night.config.engine  # what is promoted is for the config's own engine
    old = await _answers(night, task, night.serving if own else Serving(), seat, cases)
    given = {name: sum(one is not None for one in said.values()) for name, said in (("new", new), ("old", old))}
    judges = sorted({name for one in cases for name in one.source["judges"]})
    return Trial(worth(cases, new, keys), worth(cases, old, keys), keys, given, ", ".join(judges))


def worth(cases: Sequence[Case], said: Answers, keys: Sequence[str]) -> Values:
    """By criterion, and for all, (U,): the mean over users is the balanced accuracy. NaN: the user has no case."""
    columns = {}
    for name in (*sorted({one.criterion.name for one in cases}), AIM):
        mine = [one for one in cases if name in (one.criterion.name, AIM)]
        sizes = Counter((one.criterion.name, one.verdict) for one in mine)
        users = sorted({one.key for one in mine})
        total = dict.fromkeys(users, 0.0)
        for one in mine:
            weight = 1.0 / (len(sizes) * sizes[one.criterion.name, one.verdict])
            total[one.key] += weight * (said.get(one.identity) is one.verdict)
        columns[name] = np.array([total[key] * len(users) if key in total else np.nan for key in keys])
    return columns


def _both(cases: Sequence[Case]) -> list[Case]:
    """Those of criteria with cases of either answer."""
    answers = {(one.criterion.name, one.verdict) for one in cases}
    names = {name for name, _ in answers if {(name, True), (name, False)} <= answers}
    return [one for one in cases if one.criterion.name in names]


async def _answers(night: Night, task: Task, served: Serving, seat: Seat, cases: Sequence[Case]) -> Answers:
    config = night.config.model_copy(update={"engine": seat.engine})
    async with open_engine(config, night.store, night.parent_run, served=served) as model:
        judge = Judge(model, seat)
        wanted = {one.criterion.name for one in cases}
        asked = [one for one in criteria(night.config, seat, task) if one.name in wanted]
        ready = {one.criterion.name: one for one in await judge.ready(night.store, task, asked)}

        async def one(case: Case, how: Asked) -> bool | None:
            target = Target(task, int(case.source["target"]), case.given, case.claim)
            found = await judge.verdicts(target, [how])
            return found[case.criterion.name].verdict if found else None

        said = await asyncio.gather(*(one(case, ready[case.criterion.name]) for case in cases))
    return {case.identity: verdict for case, verdict in zip(cases, said, strict=True)}
