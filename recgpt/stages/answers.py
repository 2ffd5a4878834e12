"""Reading what a model answered: JSON, and in it the fields that were asked for.

Not every server holds an answer to its schema, and one that was cut holds to none: what isn't as it was asked for
raises `Refused`.
"""

import json
from enum import StrEnum
from typing import Any, TypeVar

from recgpt.engine.requests import Reply

Field = TypeVar("Field")
Choice = TypeVar("Choice", bound=StrEnum)


class Refused(Exception):
    """An answer, or a part of one, broke a rule. `gate` is the rule's name as it is stored."""

    def __init__(self, gate: str, text: str, detail: str = "") -> None:
        super().__init__(f"{gate}: {detail or text}")
        self.gate, self.text, self.detail = gate, text, detail


def read_json(reply: Reply) -> Any:
    """The answer as JSON. Raises Refused("json") where it isn't, for example because it was cut at max_tokens, and
    where it spells out what no database takes as text: NUL, or half a surrogate pair."""
    try:
        answer = json.loads(reply.content)
        if "\\u" in reply.content and "\\u0000" in json.dumps(answer, ensure_ascii=False).encode().decode():
            raise ValueError("a NUL in the text")
    except (ValueError, RecursionError) as error:
        raise Refused("json", reply.content, str(error)) from None
    return answer


def read_list(reply: Reply, name: str) -> list[Any]:
    """The list that the answer holds under `name`. Raises Refused."""
    return _field(read_json(reply), name, list, reply.content, f"no list of {name}")


def read_text(reply: Reply, name: str) -> str:
    """The string that the answer holds under `name`. Raises Refused."""
    return _field(read_json(reply), name, str, reply.content, f"no {name}")


def list_in(entry: Any, name: str) -> list[Any]:
    """The list that an entry of an answer's list holds under `name`. Raises Refused."""
    return _field(entry, name, list, str(entry), f"no list of {name}")


def choice_in(entry: dict[str, Any], name: str, choices: type[Choice]) -> Choice:
    """The choice that an entry of an answer's list names under `name`. Raises Refused."""
    try:
        return choices(str(entry.get(name)))
    except ValueError:
        raise Refused("schema", str(entry), f"no such {name}: {entry.get(name)!r}") from None


def _field(answer: Any, name: str, kind: type[Field], said: str, missing: str) -> Field:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise Refused("schema", said, missing)
    return value
