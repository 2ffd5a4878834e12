"""How items, interests, tags and explanations are shown to a model or a judge. Everything from the logs is cleaned."""

import re
from collections.abc import Sequence
from typing import Any

from recgpt.rendering.clean import clean
from recgpt.rendering.titles import short_title
from recgpt.sources.logs import Catalogue
from recgpt.store.tables import Explanation, Interest, Tag
from recgpt.words import CATEGORY_SEPARATOR

SHOWN = 5  # items of an interest that a judge is shown


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


def product_name(catalogue: Catalogue, row: int, title_words: int) -> str:
    """`waterproof trail shoes`: an item's short title in lower case without its brand, sizes and numbers."""
    name, brand = item_name(catalogue, row, title_words), clean(catalogue.brands[row], 60)
    if brand:
        name = re.sub(re.escape(brand), " ", name, flags=re.IGNORECASE)
    return " ".join(word for word in _NAME_WORD.findall(name.lower()) if not any(map(str.isdigit, word)))


def product_line(catalogue: Catalogue, row: int, title_words: int) -> str:
    """`- trail running: waterproof trail shoes`: an item as the small model's prompts show it."""
    category, name = leaf(catalogue.categories[row]).lower(), product_name(catalogue, row, title_words)
    return f"- {category}: {name}" if category else f"- {name}"


_NAME_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def interest_target(catalogue: Catalogue, interest: Interest, title_words: int) -> str:
    """An interest as a judge reads it: its name, and items of its evidence."""
    rows = evidence_rows(catalogue, interest.evidence)[:SHOWN]
    return "\n".join([f"interest: {interest.name}", *(product_line(catalogue, row, title_words) for row in rows)])


def tag_target(tag: Tag, interest: Interest) -> str:
    return f"interest: {interest.name}\ntag: {tag.tag}"


def explanation_target(catalogue: Catalogue, explanation: Explanation, title_words: int) -> str:
    row = catalogue.row_of(explanation.item_id)
    item = product_line(catalogue, row, title_words) if row is not None else "- (no longer sold)"
    return f"interest: {explanation.interest}\nitem: {item.removeprefix('- ')}\nexplanation: {explanation.text}"
