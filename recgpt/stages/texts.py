"""How items, interests, tags and explanations are shown to a model or a judge. Everything from the logs is cleaned."""

from collections.abc import Sequence
from typing import Any

from recgpt.rendering.clean import clean
from recgpt.rendering.titles import short_title
from recgpt.sources.logs import Catalogue
from recgpt.words import CATEGORY_SEPARATOR


def leaf(category: str | None) -> str:
    """The last part of a category path: "Sports > Trail running" -> "Trail running"."""
    return clean((category or "").split(CATEGORY_SEPARATOR)[-1], 60)


def item_name(catalogue: Catalogue, row: int, title_words: int) -> str:
    return short_title(catalogue.titles[row], catalogue.brands[row], catalogue.categories[row], title_words)


def item_line(catalogue: Catalogue, row: int, title_words: int) -> str:
    """`- Lumo bath thermometer (Baby care)`: one item on one line, safe to put into a prompt."""
    name, category = item_name(catalogue, row, title_words), leaf(catalogue.categories[row])
    return f"- {name} ({category})" if category else f"- {name}"


def evidence_rows(catalogue: Catalogue, evidence: Sequence[dict[str, Any]]) -> list[int]:
    """The distinct catalogue rows of an interest's evidence, latest first; items no longer sold are left out."""
    rows = (catalogue.row_of(event["item_id"]) for event in reversed(evidence) if "item_id" in event)
    return list(dict.fromkeys(row for row in rows if row is not None))


def untagged_title(catalogue: Catalogue, row: int, title_words: int) -> str:
    """The short title without the brand: what a tag for the item could be."""
    name, brand = item_name(catalogue, row, title_words), clean(catalogue.brands[row] or "", 60)
    return " ".join(name.replace(brand, " ").split()) if brand else name
