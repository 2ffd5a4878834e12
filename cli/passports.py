"""`recgpt judge audit`: passports as tables, JSON or one HTML file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cli.options import HERE, ConfigPath, Json
from cli.output import OUT, columns, print_json, say
from recgpt import config as settings
from recgpt.audit import html, passport
from recgpt.audit.findings import findings
from recgpt.audit.report import AGREEMENT, ALL, CONDUCT, PEOPLE, WORDS, Change, Drift, Figure, Labellers, Report
from recgpt.errors import DataError, disk_faults
from recgpt.labelling.visible import one_line
from recgpt.labels import thresholds
from recgpt.labels.store import labelled
from recgpt.labels.thresholds import Fitting
from recgpt.store.session import open_store
from recgpt.words import Task

Judges = Annotated[
    list[str] | None, typer.Option("--judge", help="Only this judge, by its id; may be repeated. All but people.")
]
Against = Annotated[
    str | None, typer.Option("--against", help="The judge that stands for the truth, instead of the people.")
]
Fit = Annotated[
    bool, typer.Option("--fit", help="First fit each judge's thresholds on these labels; 'judge run' then uses them.")
]
Html = Annotated[Path | None, typer.Option("--html", dir_okay=False, help="Write one HTML file, with plots, as well.")]


_SHORT = {"base_rate": "base", "yes_rate": "yes", "accuracy": "acc.", "precision": "prec.", "specificity": "spec."}


def audit(
    task: Annotated[Task, typer.Argument(help="What was judged.")],
    config: ConfigPath = HERE,
    judge: Judges = None,
    against: Against = None,
    fit: Fit = False,
    html_file: Html = None,
    json: Json = False,
) -> None:
    """The passport of each judge: how far it agrees with the people who labelled, and what that cost."""
    loaded = settings.load(config)
    store = open_store(loaded)
    names = judge or [name for name in passport.judges(store, task) if name != against]
    if not names:
        raise DataError(f"no judge has labelled {task}: run 'recgpt judge run', or import labels")
    # One that only compared pairs has nothing to hold against a threshold.
    to_fit = [name for name in names if judge or name in labelled(store, task)] if fit else []
    fittings = {name: thresholds.fit(store, task, name, against=against) for name in to_fit}
    kept = [passport.audit(store, task, name, against=against) for name in names]
    reports = [passport.report_of(one) for one in kept]
    if html_file is not None:
        with disk_faults():
            html_file.write_text(html.page(reports, loaded.judge), encoding="utf-8")
    if json:
        print_json([_as_dict(one, loaded.judge, fittings.get(one.judge)) for one in reports])
        return
    for report in reports:
        if report.judge in fittings:
            _print_fitting(report.judge, fittings[report.judge])
        print_report(report, loaded.judge)
    if reports[-1].labellers is not None:  # the same people for every judge
        _print_people(reports[-1].labellers)
    if html_file is not None:
        say(f"Written: {html_file}")


def _as_dict(report: Report, bar: passport.Bar, fitting: Fitting | None) -> dict[str, Any]:
    fitted = {} if fitting is None else {"fitting": asdict(fitting)}
    return {**report.model_dump(mode="json"), "findings": findings(report, bar), **fitted}


def _print_fitting(judge: str, fitting: Fitting) -> None:
    for name, cut in fitting.fitted.items():
        say(
            f"{judge}: yes on {name} from P(yes) {cut.value:.3f} on (fitted on {cut.cases:,} rows: AUC {cut.auc:.2f}, "
            f"sensitivity {cut.sensitivity:.2f}, specificity {cut.specificity:.2f})"
        )
    for name, why in fitting.left_out.items():
        say(f"{judge}: no threshold for {name}: {why}")
    say(f"{judge}: {fitting.changed:,} labels say something else now")


def print_report(report: Report, bar: passport.Bar) -> None:
    against = "people (" + ", ".join(report.people) + ")" if report.against == PEOPLE else report.against
    everything = report.groups[ALL]
    say(
        f"{report.judge} on {report.task}, against {against}: {everything.cases:,} verdicts on {everything.targets:,} "
        "targets"
    )
    if everything.cases:
        OUT.print(_agreement(report))
    OUT.print(_conduct(everything.figures))
    for line in _missing(report) if everything.cases else ():
        say("  " + line)
    if report.unmatched or report.tied:
        say(f"  left out: {report.unmatched:,} verdicts without a truth, {report.tied:,} on which people are tied")
    if report.cross_fitted:
        say(f"  by thresholds fitted on other rows than those judged: {', '.join(report.cross_fitted)}")
    if report.drift is not None:
        _print_drift(report.drift)
    said = findings(report, bar)
    for line in said or ["Nothing speaks against it."]:
        say(("! " if said else "") + line)
    OUT.print()


def _agreement(report: Report) -> Table:
    table = columns("", "cases", *(_SHORT.get(name, WORDS[name]) for name in AGREEMENT), no_wrap=True)
    for name, group in report.groups.items():
        cells = []
        for one in AGREEMENT:
            figure = group.figures[one]
            cells.append(_plain(figure) if one == "kappa" and figure.value is not None else _cell(figure))
        table.add_row(escape(one_line(name)), f"{group.cases:,}", *map(escape, cells))
    return table


def _conduct(figures: dict[str, Figure]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column()
    for name in CONDUCT:
        figure = figures[name]
        value = f"{figure.value:,.0f}" if name == "tokens" and figure.value is not None else _plain(figure)
        of = f"of {figure.n:,}" if figure.value is not None else ""
        table.add_row(f"  {WORDS[name]}", escape(value), of)
    return table


def _cell(figure: Figure) -> str:
    return "none" if figure.value is None else f"{figure.value:.2f}"


def _missing(report: Report) -> list[str]:
    """Why there is no figure, or no interval of kappa, where there is none; a criterion without cases says so once."""
    lines = []
    for name, group in report.groups.items():
        whys: dict[str, list[str]] = {}
        for one in AGREEMENT:
            figure = group.figures[one]
            if figure.why and (figure.value is None or one == "kappa"):
                whys.setdefault(figure.why, []).append(WORDS[one])
        lines += [
            f"{name}: {why}" if not group.cases else f"{', '.join(words)} of {name}: {why}"
            for why, words in whys.items()
        ]
    return lines


def _print_people(people: Labellers) -> None:
    alphas = "; ".join(f"{name} {_plain(alpha)}" for name, alpha in people.alpha.items())
    say(f"People among themselves: Krippendorff's alpha {alphas}")
    for pair in people.pairs:
        said = f"kappa {_plain(pair.kappa)}, the same answer to {_plain(pair.agreement)} of {pair.agreement.n:,}"
        say(f"  {pair.one} and {pair.other}: {said}")


def _plain(figure: Figure) -> str:
    if figure.value is None:
        return f"none ({figure.why})"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def _print_drift(drift: Drift) -> None:
    """All figures over all cases, and of each criterion those whose change is real."""
    changed = f"; changed since: {', '.join(drift.criteria_changed)}" if drift.criteria_changed else ""
    say(f"  since the audit of {drift.since} ({drift.new_targets:,} new targets{changed}):")
    for name, changes in drift.groups.items():
        said = [
            f"{WORDS[figure]} {_changed(one)}"
            for figure, one in changes.items()
            if name == ALL or one.word in ("better", "worse")
        ]
        if said:
            say(f"    {name}: " + ", ".join(said))


def _changed(change: Change) -> str:
    if change.difference is None:
        return f"{change.word} ({change.why})"
    if change.low is None or change.high is None:
        return f"{change.difference:+.2f} {change.word} ({change.why})"
    return f"{change.difference:+.2f} [{change.low:+.2f}, {change.high:+.2f}] {change.word}"
