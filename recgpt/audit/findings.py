"""What a passport says against its judge, in plain sentences: what a reader of the table should not miss.

Each is a fact of the figures and of no other source. Nothing here decides; that is `passport.trusted`.
"""

from collections.abc import Iterator
from typing import Final

from recgpt.audit.passport import Bar
from recgpt.audit.report import ALL, RANDOM, Figure, Group, Report

FEW: Final = 30  # targets; with fewer even a wide interval promises too much
RANKS_WELL: Final = 0.75  # AUC


def findings(report: Report, bar: Bar) -> list[str]:
    """Empty for a judge that nothing speaks against."""
    everything = report.groups[ALL]
    return [
        *_of_agreement(everything, bar),
        *_of_criteria(report),
        *_of_pairs(everything),
        *_of_drift(report),
    ]


def _of_agreement(group: Group, bar: Bar) -> Iterator[str]:
    kappa, specificity, accuracy = (group.figures[name] for name in ("kappa", "specificity", "accuracy"))
    if not group.cases:
        yield "No verdict of it has a truth, so nothing is known of how far it agrees."
        return
    said, base = group.figures["yes_rate"].value, group.figures["base_rate"].value
    if said in (0.0, 1.0):
        yield f"It always says {'yes' if said else 'no'}."
    if kappa.value is None:
        yield f"There is no kappa: {kappa.why}."
    elif _no_better_than_chance(kappa):
        yield f"It agrees no better than chance: kappa {_said(kappa)}."
    elif kappa.value < bar.min_kappa:
        yield f"Kappa {_said(kappa)} is below the bar of {bar.min_kappa:g}."
    if specificity.value is not None and specificity.value < bar.min_specificity:
        yield (
            f"It says yes to {1 - specificity.value:.0%} of what is a no: specificity {_said(specificity)} is below "
            f"the bar of {bar.min_specificity:g}."
        )
    if accuracy.value is not None and base is not None and base not in (0.0, 1.0):
        constant = max(base, 1.0 - base)
        if accuracy.value <= constant:
            yield (
                f"Its accuracy of {accuracy.value:.2f} is no more than that of always saying "
                f"{'yes' if base >= 0.5 else 'no'}, {constant:.2f}."
            )
    auc = group.figures["auc"].value
    if auc is not None and auc >= RANKS_WELL and kappa.value is not None and kappa.value < bar.min_kappa:
        yield f"Its P(yes) ranks better than its verdicts say (AUC {auc:.2f}): fit its thresholds with --fit."
    if group.targets < FEW:
        yield f"It was measured on {group.targets} targets only."


def _of_criteria(report: Report) -> Iterator[str]:
    for name, group in report.groups.items():
        if name not in (ALL, RANDOM) and len(report.groups) > 2 and _no_better_than_chance(group.figures["kappa"]):
            yield f"On {name} it agrees no better than chance: kappa {_said(group.figures['kappa'])}."


def _of_pairs(group: Group) -> Iterator[str]:
    first, stands = group.figures["first_share"], group.figures["swap_consistency"]
    if first.value is None or first.low is None or first.high is None or first.low <= 0.5 <= first.high:
        return
    place, share = ("first", first.value) if first.value > 0.5 else ("second", 1.0 - first.value)
    yield (
        f"Of two texts it prefers the one shown {place}: {share:.0%} of its choices, and only {_said(stands)} of its "
        "pairs stand in both orders."
    )


def _of_drift(report: Report) -> Iterator[str]:
    if report.drift is None:
        return
    for name, change in report.drift.groups[ALL].items():
        if change.word == "worse" and change.difference is not None:
            yield (
                f"Its {name} has really fallen since the audit of {report.drift.since[:10]}: by "
                f"{-change.difference:.2f} [{-(change.high or 0):.2f}, {-(change.low or 0):.2f}]."
            )


def _no_better_than_chance(kappa: Figure) -> bool:
    return kappa.value is not None and (kappa.value if kappa.low is None else kappa.low) <= 0.0


def _said(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
