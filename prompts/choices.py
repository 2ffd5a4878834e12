"""Narrows an answer's schema to what code has found: the model chooses, and can't stray.

A small model asked for four free phrases writes one of them four times. Asked to choose one of a few phrases in each
of four places it can't: no phrase is offered twice. Asked for a sentence it forgets what about; made to begin with the
product and the interest it goes on from there. What comes out is plain JSON schema (`enum`, `prefixItems`, `pattern`),
which vLLM and llama.cpp both enforce while they decode.
"""

import copy
import re
from collections.abc import Sequence
from typing import Any, Final

SENTENCE_REST: Final = r" [a-z]{2,12}( [a-z][a-z'-]{0,13}){3,11}\.$"  # 4 to 12 lower-case words and a full stop
_SPECIAL: Final = re.compile(r"([\^$.*+?()\[\]{}|/])")


def one_of(schema: dict[str, Any], name: str, choices: Sequence[Sequence[str]]) -> dict[str, Any]:
    """A copy of `schema` whose property `name` is a list with one choice from each of `choices`, in that order.

    Raises:
        ValueError: there is no such property, no choice, an empty choice, or a phrase that is offered twice.
    """
    offered = [phrase for phrases in choices for phrase in phrases]
    if not choices or not all(choices) or len(set(offered)) < len(offered):
        raise ValueError("choices must be a list of non-empty lists that share no phrase")
    places = [{"enum": list(phrases)} for phrases in choices]
    return _with(
        schema, name, {"type": "array", "prefixItems": places, "minItems": len(places), "maxItems": len(places)}
    )


def begins(schema: dict[str, Any], name: str, opening: str) -> dict[str, Any]:
    """A copy of `schema` whose property `name` is one sentence that begins with `opening`, written on by the model.

    Raises:
        ValueError: there is no such property, or `opening` is empty or holds what a JSON string would escape.
    """
    if not opening.strip() or not opening.isprintable() or set(opening) & set('"\\'):
        raise ValueError(f"an opening must be printable text without quotes and backslashes, not {opening!r}")
    return _with(schema, name, {"type": "string", "pattern": "^" + _SPECIAL.sub(r"\\\1", opening) + SENTENCE_REST})


def _with(schema: dict[str, Any], name: str, narrower: dict[str, Any]) -> dict[str, Any]:
    if name not in schema.get("properties", {}):
        raise ValueError(f"the schema has no property {name!r}; it has {', '.join(schema.get('properties', {}))}")
    narrowed = copy.deepcopy(schema)
    narrowed["properties"][name] = narrower
    return narrowed
