"""Choices between two texts, counted by hand."""

import pytest

from recgpt.audit.swaps import Swapped, measure_pairs

# pair                               stands   chose the first shown, of the choices      right
PAIRS = [
    Swapped("a", "specific", "left", "left", "left"),  # yes   1 of 2 (left, shown first; left, shown second)   yes
    Swapped("a", "specific", "right", "right", "left"),  # yes   1 of 2                                          no
    Swapped("b", "specific", "left", "right", "left"),  # no    2 of 2                                     not counted
    Swapped("c", "specific", "right", "left", "left"),  # no    0 of 2                                     not counted
    Swapped("d", "specific", "left", "tie", "left"),  # no    1 of 1                                       not counted
    Swapped("e", "specific", "tie", "tie", "left"),  # yes   0 of 0                                        not counted
    Swapped("f", "specific", "right", "right"),  # yes   1 of 2                                            not known
]


def test_pairs_by_hand() -> None:
    found = measure_pairs(PAIRS)
    assert (found["swap_consistency"].value, found["swap_consistency"].n) == (4 / 7, 7)
    assert (found["first_share"].value, found["first_share"].n) == (6 / 11, 11)
    assert (found["pair_accuracy"].value, found["pair_accuracy"].n) == (1 / 2, 2)


def test_without_pairs_there_is_no_figure() -> None:
    found = measure_pairs([])
    assert {name: (one.value, one.n, one.why) for name, one in found.items()} == {
        "swap_consistency": (None, 0, "no pair was judged"),
        "first_share": (None, 0, "no pair was judged"),
        "pair_accuracy": (None, 0, "no win that stands is of a pair whose better text is known"),
    }


def test_ties_alone_choose_nothing() -> None:
    found = measure_pairs([Swapped("a", "specific", "tie", "tie")])
    assert found["swap_consistency"].value == 1.0
    assert (found["first_share"].value, found["first_share"].why) == (None, "no pair was judged but as a tie")


def test_the_interval_draws_whole_inputs() -> None:
    """Two inputs, all of whose pairs stand or fall: a draw has none, half or all."""
    pairs = [Swapped("a", "specific", "left", "left")] * 50 + [Swapped("b", "specific", "left", "right")] * 50
    found = measure_pairs(pairs)["swap_consistency"]
    assert (found.low, found.value, found.high) == (0.0, 0.5, 1.0)
    many = [Swapped(str(n), "specific", "left", "left" if n < 50 else "right") for n in range(100)]
    apart = measure_pairs(many)["swap_consistency"]
    assert (apart.low, apart.high) == (pytest.approx(0.4, abs=0.03), pytest.approx(0.6, abs=0.03))
