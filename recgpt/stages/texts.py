"""How items, interests, tags and explanations are shown to a model or a judge. Everything from the logs is cleaned."""

from collections.abc import Sequence
from typing import Any

import prompts
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


def product(catalogue: Catalogue, row: int) -> str:
    """`waterproof trail shoes`: modifier and core word of an item's title; its category's leaf if there are none."""
    name = prompts.phrase(clean(catalogue.titles[row], 300), clean(catalogue.brands[row], 60))
    return name or leaf(catalogue.categories[row]).lower() or "item"


def product_line(catalogue: Catalogue, row: int) -> str:
    """`- trail running: waterproof trail shoes`: an item as the small model's prompts show it."""
    category, name = leaf(catalogue.categories[row]).lower(), product(catalogue, row)
    return f"- {category}: {name}" if category else f"- {name}"
