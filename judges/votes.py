"""Repeated asking: a P(yes) for an engine that gives no token probabilities.

The same question is asked several times at a temperature; the share of yes among the answers is the P(yes), held
against a threshold like any other. It is coarse (five answers know six values) and costs as many times as much.
"""

from collections.abc import Sequence

from judges.verdict import NoVerdict, Verdict


def count_votes(answers: Sequence[Verdict | None], threshold: float = 0.5) -> Verdict:
    """One verdict of several answers to one question; None is an answer that was no verdict.

    The evidence is that of the first answer which says the same.

    Raises:
        NoVerdict: no more than half of the answers were verdicts.
    """
    votes = [one for one in answers if one is not None]
    if 2 * len(votes) <= len(answers):
        raise NoVerdict(f"only {len(votes)} of {len(answers)} answers were verdicts")
    share = sum(one.verdict for one in votes) / len(votes)
    verdict = share >= threshold
    evidence = next((one.evidence for one in votes if one.verdict == verdict), "")
    return Verdict(verdict, share, threshold, evidence, len(votes))
