"""The reviewer: one grade for a target from the verdicts on all criteria.

Any defect makes it B, however good the rest. Without one it is S where the mean P(yes) reaches a threshold, else A. The
threshold is fitted on labelled data (see `recgpt.labels.thresholds`); as long as there is none, nothing is S.
"""

from collections.abc import Mapping
from typing import Final, Literal

from judges.verdict import Verdict

Grade = Literal["S", "A", "B"]
REVIEWER: Final = "reviewer"  # in the place of a criterion's name: the S-threshold's


def grade(verdicts: Mapping[str, Verdict], thresholds: Mapping[str, float]) -> Grade:
    """S, A or B.

    Args:
        verdicts: by criterion; all that were asked, or a defect may go unseen.
        thresholds: the S-threshold under REVIEWER; those of the criteria have done their work in the verdicts.

    Raises:
        ValueError: there is no verdict.
    """
    if not verdicts:
        raise ValueError("nothing was judged, so there is no grade")
    if not all(one.verdict for one in verdicts.values()):
        return "B"
    least = thresholds.get(REVIEWER)
    return "S" if least is not None and confidence(verdicts) >= least else "A"


def confidence(verdicts: Mapping[str, Verdict]) -> float:
    """The mean P(yes) over the criteria; a judge without probabilities is sure of what it says."""
    return sum(float(one.verdict) if one.p_yes is None else one.p_yes for one in verdicts.values()) / len(verdicts)
