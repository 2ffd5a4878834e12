"""Results of the ablation: lines of JSON that a run adds to and goes on from, and the table made of them.

A record is what was measured of one variant on one data set: {data, key, hash of the settings, base: hash of those of
the base, sizes, seconds, epochs, best, validation: {question: NDCG@10 of each user}, and for some test: the same}.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ablation_variants import BASE, DEFAULT, VARIANTS
from figures import Figure

from recgpt.evaluation import metrics
from towers.config import TowersConfig

Record = dict[str, Any]


def settings_hash(data: str, sizes: dict[str, int], config: TowersConfig, teacher: TowersConfig | None) -> str:
    """sha256 of all that decides a result, but the program."""
    parts = {"data": data, "sizes": sizes, "config": asdict(config), "teacher": teacher and asdict(teacher)}
    return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def keep(out: Path, record: Record) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    torn = out.exists() and not out.read_bytes().endswith(b"\n")
    with out.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + json.dumps(record) + "\n")


def finished(out: Path) -> list[Record]:
    """The records of a file; a line that a killed run left half is passed over."""
    records = []
    for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def by_data(records: Iterable[Record]) -> dict[str, dict[str, Record]]:
    """By data set and variant, the last one of a variant; those of another base than the last are passed over.

    Raises:
        ValueError: no base to compare with.
    """
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        found.setdefault(record["data"], {})[record["key"]] = record
    for data, each in found.items():
        if BASE.key not in each:
            raise ValueError(f"no base was measured on {data}")
    return {
        data: {key: record for key, record in each.items() if record["base"] == each[BASE.key]["hash"]}
        for data, each in found.items()
    }


def apart(record: Record, base: Record, exam: str = "validation") -> dict[str, metrics.Difference]:
    """Of NDCG@10 from the base, by question."""
    return {
        question: metrics.difference(np.asarray(each), np.asarray(base[exam][question]))
        for question, each in record[exam].items()
    }


def rows(records: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """The table as plain values: by data set and variant the seconds, and mean, low and high of each difference."""
    return {
        data: {
            key: {"seconds": record["seconds"]}
            | {question: [one.mean, one.low, one.high] for question, one in apart(record, each[BASE.key]).items()}
            for key, record in each.items()
        }
        for data, each in by_data(records).items()
    }


def figures_of(records: Iterable[Record]) -> list[Figure]:
    """The base's means, and on the test how far what is shipped is above it; the rest is in the table."""
    figures = []
    for data, each in by_data(records).items():
        base = each[BASE.key]
        for question, values in base["validation"].items():
            figures.append(Figure(f"{data} {question} base", float(np.mean(values))))
        for key, record in each.items():
            if key == BASE.key or "test" not in record:
                continue
            for question, one in apart(record, base, "test").items():
                goal = (">=", 1e-9) if key == DEFAULT.key else None
                figures.append(Figure(f"{data} {question} {key} - base, test, low end", one.low, goal))
    return figures


def markdown(records: Iterable[Record]) -> str:
    """A row for each variant, and for each data set what was measured there. In bold: 0 is outside of the interval."""
    found = by_data(records)
    questions = {data: list(each[BASE.key]["validation"]) for data, each in found.items()}
    titles = [title for data in found for title in (*(f"{data}, {name}" for name in questions[data]), "seconds")]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for variant in VARIANTS:
        if not any(variant.key in each for each in found.values()):
            continue
        cells = []
        for data, each in found.items():
            record, base = each.get(variant.key), each[BASE.key]
            if record is None:
                cells += ["-"] * (len(questions[data]) + 1)
            elif variant == BASE:
                cells += [short(float(np.mean(base["validation"][name])), ".4f") for name in questions[data]]
            else:
                cells += [interval(one) for one in apart(record, base).values()]
            cells += [] if record is None else [f"{record['seconds']:.0f}"]
        lines.append(f"| {variant.key.replace('/', ': ')} | " + " | ".join(cells) + " |")
    lines += ["", "On the test:", ""]
    for data, each in found.items():
        for key, record in each.items():
            for question, values in record.get("test", {}).items():
                one = apart(record, each[BASE.key], "test")[question]
                less = "" if key == BASE.key else f", {interval(one)} from the base"
                lines.append(f"- {data}, {question}, {key}: {short(float(np.mean(values)), '.4f')}{less}")
    return "\n".join(lines)


def interval(one: metrics.Difference) -> str:
    text = f"{short(one.mean)} ({short(one.low)} to {short(one.high)})"
    return f"**{text}**" if one.low > 0 or one.high < 0 else text


def short(value: float, form: str = "+.4f") -> str:
    return format(value, form).replace("0.", ".", 1)
