"""A purse: what counts, once, and that a batch cut short leaves the same behind whatever of it came first."""

import pytest

from recgpt.engine.requests import Reply, resolve
from recgpt.errors import BudgetSpent
from recgpt.tuning.table import Purse
from recgpt.words import Outcome


def reply(name: str, tokens: int, outcome: Outcome = Outcome.OK) -> Reply:
    request = resolve(
        task="t", prompt_version="", model="m", revision="r", messages=[{"role": "user", "content": name}], schema={},
        max_tokens=1,
    )  # fmt: skip
    return Reply(request, outcome, "x", tokens_in=tokens - 1, tokens_out=1, replayed=name.startswith("old"))


def hear(purse: Purse, *replies: Reply) -> None:
    for one in replies:
        purse.hear(one)


def test_each_answer_counts_once_replayed_or_not() -> None:
    purse = Purse()
    for name in ("a", "a", "old b", "c"):
        purse.hear(reply(name, 10))
    purse.hear(reply("d", 10, Outcome.UNAVAILABLE))
    assert purse.spent == 30


def test_it_is_spent_with_the_answer_that_reaches_the_limit_and_stays_so() -> None:
    purse = Purse(25)
    purse.hear(reply("a", 10))
    purse.hear(reply("b", 10))
    for name in ("c", "a"):
        with pytest.raises(BudgetSpent, match="the 25 tokens"):
            purse.hear(reply(name, 10))


@pytest.mark.parametrize("order", ["abcd", "dcba", "cadb"])
def test_a_batch_cut_short_leaves_the_same_behind(order: str) -> None:
    sizes = {"a": 5, "b": 10, "c": 20, "d": 40}
    purse = Purse(45)
    purse.hear(reply("first", 10))
    purse.begin()
    with pytest.raises(BudgetSpent):
        hear(purse, *(reply(name, sizes[name]) for name in order))
    purse.end()
    assert purse.spent == 45
    purse.limit = 200
    hear(purse, *(reply(name, size) for name, size in sizes.items()))
    assert purse.spent == 45 + 75  # all of the batch counts when it is asked again


def test_what_was_spent_before_the_limit_fell_stays_spent() -> None:
    purse = Purse(100)
    purse.hear(reply("a", 60))
    purse.begin()
    purse.limit = -20  # more is kept back than there is
    with pytest.raises(BudgetSpent):
        purse.hear(reply("b", 10))
    purse.end()
    assert purse.spent == 60
