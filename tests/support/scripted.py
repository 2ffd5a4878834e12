"""A scripted model for the fake server: sensible answers read off the request, so that a whole night can be asserted.

It names a group by the category that stands in brackets behind its items, makes tags from that name, and says yes to
every judge. What it is told to say instead, by a test, comes first.
"""

import json
import re
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]


def last(body: Body) -> str:
    """The request's last message: what differs from one request of a task to the next."""
    return str(body["messages"][-1]["content"])


def fields(body: Body) -> dict[str, Any]:
    """The properties that the asked schema has."""
    schema = body["response_format"]["json_schema"]["schema"]
    return dict(schema.get("properties", {}))


def task(body: Body) -> str:
    return str(body["response_format"]["json_schema"]["name"])


def answer(body: Body) -> str:
    asked = fields(body)
    if "interest" in asked:
        return json.dumps({"interest": leaf(last(body))})
    if "tags" in asked:
        core = leaf(last(body)).split()[-1]
        return json.dumps({"tags": [f"{word} {core} gear" for word in ("light", "sturdy", "everyday", "folding")]})
    if "explanation" in asked:
        return json.dumps({"explanation": "Keeps going on days when the weather turns and the light fails."})
    if "style" in asked:
        return json.dumps({"thoughts": "", "style": "Speak to the doubt they have first, in plain words."})
    if "verdict" in asked:
        return verdict(body, "yes")
    if "better" in asked:
        return json.dumps({"better": "tie"})
    raise AssertionError(f"no script for {sorted(asked)}")


def claim(body: Body) -> str:
    """What is judged."""
    return last(body).rpartition("<claim>\n")[2].partition("\n</claim>")[0]


def verdict(body: Body, word: str) -> str:
    """A judge's answer, with the claim as its evidence."""
    return json.dumps({"evidence": claim(body)[:200], "verdict": word})


def leaf(text: str) -> str:
    found = re.findall(r"\(([^()]+)\)\s*$", text, flags=re.MULTILINE)
    return found[0] if found else "odds and ends"


def instead(wanted: Callable[[Body], Any]) -> Callable[[Body], Any]:
    """A script with exceptions: what `wanted` returns, or the usual answer where it returns None."""

    def script(body: Body) -> Any:
        said = wanted(body)
        return answer(body) if said is None else said

    return script
