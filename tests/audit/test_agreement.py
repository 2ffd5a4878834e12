"""What several people agree on, worked out by hand.

unit        ann   bob   cat
1 specific  yes   yes   yes
2 specific  yes   no
3 specific  no    no
4 willing         yes   no
5 willing   yes
"""

import sys

import pytest

from recgpt.audit.agreement import labellers
from recgpt.errors import DataError

ANSWERS = {
    (1, "specific"): {"ann": True, "bob": True, "cat": True},
    (2, "specific"): {"ann": True, "bob": False},
    (3, "specific"): {"ann": False, "bob": False},
    (4, "willing"): {"bob": True, "cat": False},
    (5, "willing"): {"ann": True},
}


def test_alpha_by_hand() -> None:
    """Coincidences: an ordered pair of a unit's m answers counts 1 / (m - 1). Unit 1: 6 pairs of yes, yes at 1/2 = 3;
    2: yes, no and no, yes; 3: no, no twice; 4: as 2. So yes-yes 3, no-no 2, unlike 4, of n = 9 answers; 5 yes, 4 no.
    Seen unlike: 4/9. By chance: 2 * 5 * 4 / (9 * 8) = 5/9. alpha = 1 - 4/5 = .2
    """
    found = labellers(ANSWERS)
    assert found is not None
    assert found.names == ("ann", "bob", "cat")
    assert (found.alpha["all"].value, found.alpha["all"].n) == (pytest.approx(0.2), 4)
    # specific alone: yes-yes 3, no-no 2, unlike 2, n = 7 (4 yes, 3 no): 1 - (2/7) / (2*4*3 / (7*6)) = 1 - 1/2
    assert (found.alpha["specific"].value, found.alpha["specific"].n) == (pytest.approx(0.5), 3)
    # willing: the one shared unit is unlike: seen 1, by chance 2*1*1 / (2*1) = 1
    assert (found.alpha["willing"].value, found.alpha["willing"].n) == (pytest.approx(0.0), 1)


def test_pairs_by_hand() -> None:
    found = labellers(ANSWERS)
    assert found is not None
    pairs = {(one.one, one.other): one for one in found.pairs}
    assert list(pairs) == [("ann", "bob"), ("ann", "cat"), ("bob", "cat")]
    # ann yes yes no, bob yes no no: agree in 2/3, by chance 2/3*1/3 + 1/3*2/3 = 4/9: (6/9 - 4/9) / (5/9)
    assert (pairs["ann", "bob"].kappa.value, pairs["ann", "bob"].kappa.n) == (pytest.approx(0.4), 3)
    assert pairs["ann", "bob"].agreement.value == pytest.approx(2 / 3)
    # ann and cat share unit 1 alone, and both say yes.
    assert pairs["ann", "cat"].agreement.value == 1.0
    assert (pairs["ann", "cat"].kappa.value, pairs["ann", "cat"].kappa.n) == (None, 1)
    # bob yes yes, cat yes no
    assert (pairs["bob", "cat"].kappa.value, pairs["bob", "cat"].kappa.why) == (None, "bob always gave the same answer")


def test_nothing_shared_and_nothing_varied_say_so() -> None:
    found = labellers({(1, "specific"): {"ann": True}, (2, "specific"): {"bob": False}})
    assert found is not None
    assert (found.alpha["all"].value, found.alpha["all"].why) == (None, "nothing was answered by two people")
    assert found.pairs[0].kappa.why == found.pairs[0].agreement.why == "they answered nothing in common"
    same = labellers({(n, "specific"): {"ann": True, "bob": True} for n in range(3)})
    assert same is not None
    assert (same.alpha["all"].value, same.alpha["all"].why) == (None, "all answers are the same")
    assert same.pairs[0].agreement.value == 1.0


@pytest.mark.parametrize("answers", [{}, {(1, "specific"): {"ann": True}}])
def test_one_person_agrees_with_nobody(answers: dict[tuple[int, str], dict[str, bool]]) -> None:
    assert labellers(answers) is None


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    with pytest.raises(DataError, match=r"recgpt\[audit\]"):
        labellers(ANSWERS)
