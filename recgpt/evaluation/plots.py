"""The report on the towers as pictures, PNG and SVG: means with their intervals, users by activity, and the lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recgpt.errors import DataError, disk_faults
from recgpt.evaluation.towers import ALL, COLD_ITEMS, Report, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("png", "svg")


@disk_faults()
def draw(report: Report, folder: Path) -> list[Path]:
    """Write the pictures of a report into a folder, which is made, and give their paths. No display is needed.

    Raises:
        DataError: matplotlib is not installed.
    """
    pictures = {"metrics": _metrics(report), "activity": _activity(report), "lists": _lists(report)}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in pictures.items():
        for kind in KINDS:
            paths.append(folder / f"{name}.{kind}")
            # No date and no random ids, so that the same report gives the same file.
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(paths[-1], format=kind, metadata=metadata)
    return paths


def _metrics(report: Report) -> "Figure":
    """A panel a metric: every model over all users, and the two that answer for cold items."""
    names = list(report.rows[0].metrics)
    rows = [row for row in report.rows if row.group in (ALL, COLD_ITEMS)]
    figure, axes = _panels(len(names))
    for ax, name in zip(axes, names, strict=True):
        _bars(ax, [f"{row.model}\n({row.group})" for row in rows], rows, name)
        ax.set_title(name)
    return figure


def _activity(report: Report) -> "Figure":
    """NDCG of each model by how much its users had done."""
    name = f"ndcg@{report.k}"
    groups = [group for group in report.groups() if group not in (ALL, COLD_ITEMS)]
    figure, (ax,) = _panels(1, width=8.0)
    for model in dict.fromkeys(row.model for row in report.rows if row.group == ALL):
        rows = [row for group in groups for row in report.rows if (row.group, row.model) == (group, model)]
        ax.errorbar(range(len(rows)), _heights(rows, name), yerr=_arms(rows, name), marker="o", capsize=3, label=model)
    sizes = {row.group: row.users for row in report.rows}
    ax.set_xticks(range(len(groups)), [f"{group}\n({sizes[group]:,} users)" for group in groups], fontsize=8)
    ax.set_ylabel(name)
    ax.legend()
    return figure


def _lists(report: Report) -> "Figure":
    """Coverage, novelty and diversity of what is shown."""
    names = ("coverage", "novelty", "diversity")
    figure, axes = _panels(len(names))
    for ax, name in zip(axes, names, strict=True):
        ax.bar([one.model for one in report.lists], [getattr(one, name) for one in report.lists])
        ax.set_title("novelty, bits" if name == "novelty" else name)
        ax.tick_params(axis="x", labelrotation=20, labelsize=8)
    return figure


def _panels(n: int, width: float = 4.0) -> tuple["Figure", Sequence["Axes"]]:
    try:
        import matplotlib as mpl  # noqa: PLC0415  an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise DataError("plots need matplotlib: pip install 'recgpt[evaluate]'") from error
    mpl.rcParams["svg.hashsalt"] = "recgpt"
    figure = Figure(figsize=(width * n, 4.0), dpi=120, layout="constrained")
    return figure, [figure.add_subplot(1, n, place + 1) for place in range(n)]


def _bars(ax: "Axes", labels: list[str], rows: list[Row], name: str) -> None:
    ax.bar(range(len(rows)), _heights(rows, name), yerr=_arms(rows, name), capsize=3)
    ax.set_xticks(range(len(rows)), labels, rotation=30, ha="right", fontsize=7)


def _heights(rows: list[Row], name: str) -> list[float]:
    return [row.metrics[name].value for row in rows]


def _arms(rows: list[Row], name: str) -> list[list[float]]:
    """How far an interval reaches below and above its mean."""
    means = [row.metrics[name] for row in rows]
    return [[one.value - one.low for one in means], [one.high - one.value for one in means]]
