"""The gate: whether a version may take the place of the one that serves.

Both answered the same inputs of users that no tuning has seen, and were judged by the same judges. A user has one
value a criterion, the share of what was made for them that passes; what a version leaves out and the other gets right
counts as failed. The difference of a criterion is the mean over users of the new version's value less the old one's,
with an interval by bootstrap over users; a user for whom a version made nothing counts as 0 there.

    promoted  <=>  the 95 % interval of the aim's difference lies above 0,
                   and no criterion's difference is below minus its margin

The first half is the proof, so a version that is no better passes one time in forty. The second asks of each criterion
only that it was not seen to lose more than its margin: to prove that of every criterion would take far more users.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recgpt.evaluation.metrics import Difference, difference

AIM = "all"  # of all criteria: nothing is wrong with it
MARGIN = 0.03
ROUNDS = 2000

Values = Mapping[str, npt.NDArray[np.float64]]  # by criterion, (U,) one a user; NaN: nothing was asked of that user


@dataclass(frozen=True)
class Decision:
    """What the gate says, and why."""

    promoted: bool
    aim: str
    differences: dict[str, Difference]
    margins: dict[str, float]  # what each criterion might have fallen by, but for the aim
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: what no user has a value of is None."""
        return {**asdict(self), "differences": {name: _plain(one) for name, one in self.differences.items()}}


def decide(
    new: Values,
    old: Values,
    *,
    aim: str = AIM,
    margin: float = MARGIN,
    margins: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Decision:
    """Compare two versions on the same users.

    Args:
        new, old: by criterion, (U,) in the same order of users.
        aim: the criterion that has to rise.
        margin: what any other may fall by; `margins` says so of single ones.

    Raises:
        ValueError: the versions were judged by different criteria or users, or not by the aim.
    """
    if set(new) != set(old) or aim not in new:
        raise ValueError(f"judged by {sorted(new)} and {sorted(old)}: both by the same, {aim} among them")
    if len({len(column) for column in (*new.values(), *old.values())}) > 1:
        raise ValueError("both versions are judged on the same users, in the same order")
    allowed = {name: (margins or {}).get(name, margin) for name in sorted(new) if name != aim}
    found = {name: difference(new[name], old[name], rounds=ROUNDS, seed=seed) for name in sorted(new)}
    gain = found[aim]
    worse = {name: one for name, one in found.items() if name != aim and one.mean < -allowed[name]}
    if not gain.users:
        return Decision(False, aim, found, allowed, "no user has a value of both")
    if not gain.low > 0:
        why = f"{aim} is not shown to rise: {said(gain)}, over {gain.users} users"
    elif worse:
        why = "; ".join(f"{name} falls by more than {allowed[name]:g}: {said(one)}" for name, one in worse.items())
    else:
        why = f"{aim} rises: {said(gain)}, over {gain.users} users"
    return Decision(gain.low > 0 and not worse, aim, found, allowed, why)


def said(one: Difference) -> str:
    """A difference in words, in points: +5.1 (+2.0 to +8.1)."""
    return f"{100 * one.mean:+.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f})"


def _plain(one: Difference) -> dict[str, float | int | None]:
    return {name: None if value != value else value for name, value in asdict(one).items()}  # noqa: PLR0124 (NaN)
