"""Passports as one HTML file that needs nothing else: no script, no font, no request to anywhere.

Every text that comes from the store (judges' names, criteria, people) is escaped. Plots are inline SVG.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from recgpt.audit.findings import findings
from recgpt.audit.passport import Bar
from recgpt.audit.report import AGREEMENT, ALL, CONDUCT, PEOPLE, WORDS, Bin, Drift, Figure, Labellers, Report

SIDE: Final = 200  # of a plot
EDGE: Final = 40  # left of it and below, for the numbers
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; display: block; overflow-x: auto; }
th, td { padding: .2rem .5rem; text-align: right; border-bottom: 1px solid #8884; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
small { opacity: .7; display: block; line-height: 1.2; }
small.interval { white-space: nowrap; }
figure { display: inline-block; margin: 0 1.5rem 1rem 0; }
ul.findings { border-left: 4px solid #c33; padding: .4rem 0 .4rem 1.6rem; }
.none { opacity: .6; }
svg { overflow: visible; }
""".strip()


def page(reports: Sequence[Report], bar: Bar) -> str:
    """The whole document."""
    task = escape(reports[0].task) if reports else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Judges of {task}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>Judges of {task}</h1>\n"
        + "\n".join(_judge(report, bar) for report in reports)
        + "\n</body>\n</html>\n"
    )


def _judge(report: Report, bar: Bar) -> str:
    against = "people: " + ", ".join(report.people) if report.against == PEOPLE else report.against
    left_out = "".join(
        f" {n:,} more verdicts are left out: {why}."
        for n, why in ((report.unmatched, "nobody has said what is true there"), (report.tied, "people disagree there"))
        if n
    )
    everything = report.groups[ALL]
    parts = [
        f"<section>\n<h2>{escape(report.judge)}</h2>",
        f"<p>Against {escape(against)}. {everything.cases:,} verdicts on {everything.targets:,} targets.{left_out} "
        f"Intervals of 95&nbsp;%, drawn over targets, {report.rounds:,} times.</p>",
        _fitted(report.cross_fitted),
        _findings(findings(report, bar)),
        "<h3>Agreement</h3>",
        _figures(report, ("cases", *AGREEMENT)),
        "<h3>Calibration of P(yes)</h3>",
        "".join(_plot(name, group.bins) for name, group in report.groups.items() if group.bins)
        or '<p class="none">The judge gives no P(yes).</p>',
        "<h3>Conduct</h3>",
        _figures(report, CONDUCT),
    ]
    if report.labellers is not None:
        parts += ["<h3>The people</h3>", _people(report.labellers)]
    if report.drift is not None:
        parts += ["<h3>Since the last audit</h3>", _drift(report.drift)]
    return "\n".join(parts) + "\n</section>"


def _fitted(criteria: Sequence[str]) -> str:
    if not criteria:
        return ""
    return f"<p>Verdicts on {escape(', '.join(criteria))} are by thresholds fitted on other rows than theirs.</p>"


def _findings(said: Sequence[str]) -> str:
    if not said:
        return "<p>Nothing speaks against it.</p>"
    return '<ul class="findings">' + "".join(f"<li>{escape(one)}</li>" for one in said) + "</ul>"


def _figures(report: Report, names: Sequence[str]) -> str:
    """A row a group; a group without conduct of its own (the random share) has none."""
    rows = []
    for name, group in report.groups.items():
        known = {"cases": Figure(value=group.cases, n=group.cases), **group.figures}
        if any(one in known for one in names if one != "cases"):
            rows.append([escape(name), *(_cell(known[one], whole=one in ("cases", "tokens")) for one in names)])
    return _table(["", *(WORDS.get(one, one) for one in names)], rows)


def _cell(figure: Figure, *, whole: bool = False) -> str:
    if figure.value is None:
        return f'<span class="none" title="{escape(figure.why)}">none</span><small>{escape(figure.why)}</small>'
    value = f"{figure.value:,.0f}" if whole else f"{figure.value:.3f}"
    if figure.low is None or figure.high is None:
        return value + (f"<small>{escape(figure.why)}</small>" if figure.why else "")
    return f'{value}<small class="interval">{figure.low:.3f} to {figure.high:.3f}</small>'


def _people(people: Labellers) -> str:
    alphas = [[escape(name), str(alpha.n), _cell(alpha)] for name, alpha in people.alpha.items()]
    pairs = [
        [escape(f"{pair.one} and {pair.other}"), str(pair.agreement.n), _cell(pair.agreement), _cell(pair.kappa)]
        for pair in people.pairs
    ]
    return _table(["Krippendorff's alpha", "shared", "alpha"], alphas) + _table(
        ["Cohen's kappa", "shared", "agreement", "kappa"], pairs
    )


def _drift(drift: Drift) -> str:
    changed = f" Changed since: {escape(', '.join(drift.criteria_changed))}." if drift.criteria_changed else ""
    rows = [
        [
            escape(name),
            escape(WORDS[figure]),
            _cell(Figure(value=one.difference, n=0, low=one.low, high=one.high, why=one.why)),
            one.word,
        ]
        for name, changes in drift.groups.items()
        for figure, one in changes.items()
    ]
    return (
        f"<p>The last audit was on {escape(drift.since)}; {drift.new_targets:,} targets are new.{changed}</p>"
        + _table(["", "figure", "difference", ""], rows)
    )  # fmt: skip


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """`rows` are HTML, `head` is text."""
    cells = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "\n".join("<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _plot(name: str, bins: Sequence[Bin]) -> str:
    """The share of yes by P(yes): a dot a bin, the larger the more cases, beside the diagonal where both are equal."""
    most = max(one.n for one in bins)
    dots = []
    for one in bins:
        if one.p_yes is None or one.share is None:
            continue
        said = (
            f"P(yes) {one.low:.1f} to {one.high:.1f}: {one.n:,} cases, mean {one.p_yes:.3f}, {one.share:.3f} are a yes"
        )
        radius = 2.0 + 6.0 * (one.n / most) ** 0.5
        dots.append(
            f'<circle cx="{one.p_yes * SIDE:.1f}" cy="{(1 - one.share) * SIDE:.1f}" r="{radius:.1f}" fill="#36c" '
            f'fill-opacity=".75"><title>{said}</title></circle>'
        )
    marks = "".join(
        f'<text x="{n * SIDE / 2:.0f}" y="{SIDE + 14}" text-anchor="middle">{n / 2:g}</text>'
        f'<text x="-6" y="{SIDE - n * SIDE / 2 + 4:.0f}" text-anchor="end">{n / 2:g}</text>'
        for n in range(3)
    )
    return (
        f'<figure><svg role="img" width="{SIDE + 2 * EDGE}" height="{SIDE + 2 * EDGE}" '
        f'viewBox="{-EDGE} {-EDGE / 2:.0f} {SIDE + 2 * EDGE} {SIDE + 2 * EDGE}" font-size="11" fill="currentColor">'
        f"<title>Calibration of {escape(name)}</title>"
        f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="currentColor" stroke-opacity=".3"/>'
        f'<line x1="0" y1="{SIDE}" x2="{SIDE}" y2="0" stroke="currentColor" stroke-opacity=".4" stroke-dasharray="4"/>'
        f'{marks}<text x="{SIDE / 2:.0f}" y="{SIDE + 30}" text-anchor="middle">mean P(yes)</text>'
        f'<text transform="rotate(-90)" x="{-SIDE / 2:.0f}" y="-26" text-anchor="middle">share of yes</text>'
        f"{''.join(dots)}</svg><figcaption>{escape(name)}, {sum(one.n for one in bins):,} cases in {len(bins)} bins"
        "</figcaption></figure>"
    )
