"""What an audit says, as it is stored, printed and drawn: plain numbers, each with what it is over.

A figure that can't be measured has no value and says why; it is never 0. Intervals are of 95 %.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

ALL: Final = "all"
RANDOM: Final = "drawn at random"  # the cases that people were given by chance, not because judges disagree there
PEOPLE: Final = "people"

# In the order in which they are shown.
AGREEMENT: Final = (
    "base_rate", "yes_rate", "accuracy", "precision", "recall", "specificity", "f1", "kappa", "ece", "auc",
)  # fmt: skip
CONDUCT: Final = ("swap_consistency", "first_share", "pair_accuracy", "self_agreement", "tokens")
WORDS: Final = {
    "base_rate": "base rate",
    "yes_rate": "says yes",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
    "f1": "F1",
    "kappa": "kappa",
    "ece": "ECE",
    "auc": "AUC",
    "swap_consistency": "pairs that stand in both orders",
    "first_share": "choices of what is shown first",
    "pair_accuracy": "standing pairs that are right",
    "self_agreement": "answers to the same question that agree",
    "tokens": "tokens a verdict",
}


Word = Literal["better", "worse", "no real change", "can't be told"]


class Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Plain):
    """One number. `n` is what it is over: cases, pairs or verdicts, by its kind."""

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    why: str = ""  # where there is no value, or no interval


class Bin(Plain):
    """The cases whose P(yes) lies in [low, high), the last one with its end."""

    low: float
    high: float
    n: int
    p_yes: float | None  # mean; None in an empty bin
    share: float | None  # that is truly a yes


class Group(Plain):
    """What was measured over the cases of one criterion, or of all."""

    cases: int
    targets: int
    figures: dict[str, Figure]
    bins: tuple[Bin, ...] = ()


class Pair(Plain):
    """Two labellers and Cohen's kappa over what both answered."""

    one: str
    other: str
    kappa: Figure
    agreement: Figure


class Labellers(Plain):
    """How far the people who labelled agree with each other, by criterion and for all."""

    names: tuple[str, ...]
    alpha: dict[str, Figure]  # Krippendorff's, nominal
    pairs: tuple[Pair, ...]  # over all criteria


class Change(Plain):
    """A figure now, less the same one at the last audit."""

    difference: float | None
    low: float | None = None
    high: float | None = None
    word: Word
    why: str = ""


class Drift(Plain):
    """Against the last audit of the same judge, with the same truth."""

    since: str  # when that audit was
    passport: int
    new_targets: int  # that it did not have
    criteria_changed: tuple[str, ...]  # whose files have changed since
    groups: dict[str, dict[str, Change]]


class Report(Plain):
    """A whole passport, but for the cases that it was measured on."""

    task: str
    judge: str
    against: str  # PEOPLE, or the judge that stands for the truth
    people: tuple[str, ...]
    prompt_versions: dict[str, str]
    cross_fitted: tuple[str, ...]  # criteria whose threshold is one fitted on labels (see `fitted`)
    labels_hash: str
    rounds: int
    seed: int
    groups: dict[str, Group]
    labellers: Labellers | None  # None: fewer than two people labelled
    drift: Drift | None  # None: there was no audit before
    tied: int  # cases left out, since as many people say yes as no
    unmatched: int  # verdicts of the judge whose truth nobody has said
