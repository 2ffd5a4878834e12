"""Leave-one-out on a log: each user's last event is asked for, the one before it is the validation.

Events count in the order given. Every item of the catalogue is ranked, what the user had before left out; settings are
chosen on the validation. Two ways to the test:

- strict: weights read neither the test nor the validation event; the latter is in the history, as it would be live;
- refitted: with the settings chosen, weights are fitted again with the validation events too.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from recgpt.evaluation.contender import part
from recgpt.evaluation.ranking import Array, Log, Questions, places
from recgpt.evaluation.splits import leave_one_out as split_by_user
from towers.data import TrainingData


class Way(StrEnum):
    STRICT = "strict"
    REFITTED = "refitted"


@dataclass(frozen=True)
class LeaveOneOut:
    """The three questions; both tests have the same users and answers."""

    validation: Questions
    strict: Questions
    refitted: Questions

    def test(self, way: Way) -> Questions:
        return self.strict if way is Way.STRICT else self.refitted


def questions(users: Array, items: Array, n_users: int, n_items: int) -> LeaveOneOut:
    """Of events (E,), each user's own from the oldest to the newest. A user with one or two is learnt from only."""
    split = split_by_user(users)

    def log(part: Array) -> Log:
        return Log(users[part], items[part], places(users[part]), n_users, n_items)

    train, live = log(split.train), log(~split.test)
    asked, wanted = users[split.test], items[split.test]
    return LeaveOneOut(
        Questions(train, train, users[split.validation], items[split.validation]),
        Questions(train, live, asked, wanted),
        Questions(live, live, asked, wanted),
    )


def for_training(data: TrainingData, way: Way = Way.STRICT) -> TrainingData:
    """The whole log with its test events unused, and strictly its validation events held out."""
    split = split_by_user(data.users)
    held_out = split.validation if way is Way.STRICT else np.zeros_like(split.validation)
    return replace(data, held_out=held_out, unused=split.test)


def for_histories(data: TrainingData) -> tuple[TrainingData, Array]:
    """The log as it is known when the test is asked, and the moments (U,) of asking in seconds: of each test event."""
    split = split_by_user(data.users)
    seconds = np.asarray(data.times).astype("datetime64[s]").astype(np.int64)
    moments = np.full(len(data.user_ids), seconds.max())
    moments[data.users[split.test]] = seconds[split.test]
    return part(data, ~split.test), moments
