"""The tables of docs/reliability.md, so that what they say is what the tests hold recgpt to."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


def table(heading: str) -> dict[str, dict[str, str]]:
    """The rows of the table under a heading: by the name of the case in the last column, each by column title."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    titles, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines)
    found = [dict(zip(titles, row, strict=True)) for row in rows]
    by_case = {row[titles[-1]].strip("`"): row for row in found}
    assert len(by_case) == len(found), "two rows name one case"
    return by_case
