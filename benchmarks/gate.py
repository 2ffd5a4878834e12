"""How often the gate is right, on versions whose true difference is known because it was put there.

    python benchmarks/gate.py [--quick] [--users 600] [--gates 200]

Each gate compares two versions on so many held-out users with three rows each, judged by four criteria. A row of the
old version passes a criterion by a chance of its user's own (mean .85, so that about half of the rows have no
defect); the new version's chance is shifted by the same amount for everybody, such that the share of rows without a
defect differs by the points said. Both see the same inputs, so in half of the rows one draw decides for both, as it
is with two prompts that mostly say the same. A version that is worse by 3 points must not be promoted in 95 % of the
gates, one that is better by 5 points must be in 80 %; how many users that takes is what the table by users says.
"""

import argparse
import sys

import numpy as np
from figures import Figure, report
from scipy.optimize import brentq

from recgpt.tuning.gate import AIM, decide

CRITERIA = ("grounded", "willing", "reasonable", "specific")
ROWS = 3  # a user
PASS, SPREAD = 0.85, 12.0  # of a criterion: mean over users, and how alike they are (Beta)
SHARED = 0.5  # of rows in which one draw decides for both versions
WORSE, BETTER = -0.03, 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50 gates, one number of users")
    parser.add_argument("--users", type=int, default=600, help="held-out users of the gates that have a goal")
    parser.add_argument("--gates", type=int, default=200)
    arguments = parser.parse_args()
    gates = 50 if arguments.quick else arguments.gates
    sizes = [arguments.users] if arguments.quick else sorted({150, 300, arguments.users, 1200})
    figures = []
    print(f"{'users':>7}{'worse by 3 held back':>22}{'the same held back':>20}{'better by 5 promoted':>22}")
    for users in sizes:
        shares = [promoted(points, users, gates) for points in (WORSE, 0.0, BETTER)]
        print(f"{users:>7}{1 - shares[0]:>22.3f}{1 - shares[1]:>20.3f}{shares[2]:>22.3f}", flush=True)
        goals = ((">=", 0.95), None, (">=", 0.8)) if users == arguments.users else (None,) * 3
        figures += [
            Figure(f"{users} users: worse by 3 points, held back", 1 - shares[0], goals[0]),
            Figure(f"{users} users: the same, held back", 1 - shares[1], goals[1]),
            Figure(f"{users} users: better by 5 points, promoted", shares[2], goals[2]),
        ]
    return 0 if report("gate", figures, quick=arguments.quick, gates=gates, users=arguments.users, rows=ROWS) else 1


def promoted(points: float, users: int, gates: int) -> float:
    """The share of gates that promote a version whose rows without a defect differ by `points`."""
    shift = shift_for(points)
    return float(np.mean([gate(shift, users, seed) for seed in range(gates)]))


def gate(shift: float, users: int, seed: int) -> bool:
    rng = np.random.default_rng(seed)
    chances = rng.beta(PASS * SPREAD, (1 - PASS) * SPREAD, (users, 1, len(CRITERIA)))  # (U, 1, K)
    draws = rng.random((2, users, ROWS, len(CRITERIA)))
    draws[1] = np.where(rng.random((users, ROWS, 1)) < SHARED, draws[0], draws[1])
    old, new = draws[0] < chances, draws[1] < shifted(chances, shift)  # (U, R, K)
    return decide(values(new), values(old), seed=seed).promoted


def values(passed: np.ndarray) -> dict[str, np.ndarray]:
    by_criterion = {name: passed[:, :, k].mean(1) for k, name in enumerate(CRITERIA)}
    return {**by_criterion, AIM: passed.all(2).mean(1)}


def shifted(chances: np.ndarray, shift: float) -> np.ndarray:
    """Moved on the scale of odds, so that a chance stays one."""
    return 1 / (1 + np.exp(-(np.log(chances / (1 - chances)) + shift)))


def shift_for(points: float) -> float:
    """The shift by which the share of rows without a defect moves by `points`, on very many users."""
    chances = np.random.default_rng(0).beta(PASS * SPREAD, (1 - PASS) * SPREAD, (200_000, len(CRITERIA)))

    def gained(shift: float) -> float:
        return float(shifted(chances, shift).prod(1).mean() - chances.prod(1).mean())

    return float(brentq(lambda shift: gained(shift) - points, -3, 3))


if __name__ == "__main__":
    sys.exit(main())
