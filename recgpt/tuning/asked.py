"""What was asked and answered, out of the ledger, and the claims in it.

An answer is one claim (an interest's name, a line) or a list of entries with a claim each (interests, tags). From a
list of any length entries can be left out. One whose places are given has an entry a place, and each place can be
filled out of any answer to the question. One that changes a memory stands or falls as it is.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recgpt.store.tables import Answer, Request

Message = Mapping[str, str]
ENTRIES: Final = {"tags": "tag", "interests": "name", "operations": "name"}  # lists in answers, and an entry's claim
TEXTS: Final = ("interest", "explanation")  # answers that are one claim
CHUNK: Final = 500  # hashes in a query


@dataclass(frozen=True)
class Said:
    """An answer's text and the claims in it. fixed: none of its entries can be left out; placed: they have places."""

    task: str
    prompt_version: str
    content: str
    claims: tuple[str, ...]
    listed: str = ""  # the property that lists the entries
    fixed: bool = True
    placed: bool = False
    least: int = 1

    @property
    def entries(self) -> list[Any]:
        return list(json.loads(self.content)[self.listed]) if self.listed else []

    def only(self, kept: Sequence[bool]) -> str:
        """The answer without the entries that are not kept; "" if it would be none."""
        if self.fixed or sum(kept) < max(1, self.least):
            return ""
        return self.listing([entry for entry, keep in zip(self.entries, kept, strict=True) if keep])

    def listing(self, entries: Sequence[Any]) -> str:
        """The answer with other entries."""
        answer = json.loads(self.content)
        answer[self.listed] = list(entries)
        spaced = '": ' in self.content  # the words of a model are learnt as it would write them
        return json.dumps(answer, ensure_ascii=False, separators=(", ", ": ") if spaced else (",", ":"))


def asked(store: Engine, hashes: Collection[str]) -> Iterator[tuple[str, tuple[Message, ...], Said]]:
    """The messages and the answer of each request whose answer is whole and holds claims."""
    ordered = sorted(hashes)
    for start in range(0, len(ordered), CHUNK):
        query = (
            select(Request.hash, Request.task, Request.prompt_version, Request.body, Answer.content)
            .join(Answer, Answer.request_hash == Request.hash)
            .where(Request.hash.in_(ordered[start : start + CHUNK]), Answer.finish_reason != "length")
        )
        with Session(store) as session:
            found = session.execute(query).all()
        for hashed, task, version, raw, content in found:
            body = json.loads(raw)
            said = _read(task, version, content, body)
            if said is not None:
                yield hashed, tuple(body["messages"]), said


def _read(task: str, version: str, content: str, body: Mapping[str, Any]) -> Said | None:
    try:
        answer = json.loads(content)
        for name in TEXTS:
            if isinstance(answer.get(name), str):
                return Said(task, version, content, (answer[name],))
        name = next(name for name in ENTRIES if isinstance(answer.get(name), list))
    except (ValueError, AttributeError, StopIteration, RecursionError):
        return None
    schema = (
        body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {}).get(name, {})
    )
    claims = tuple(
        str(entry.get(ENTRIES[name]) or "") if isinstance(entry, dict) else str(entry) for entry in answer[name]
    )
    placed = "prefixItems" in schema
    return Said(
        task, version, content, claims, name, placed or name == "operations", placed, int(schema.get("minItems", 0))
    )


def prompt_hash(messages: Sequence[Message]) -> str:
    text = json.dumps([[one["role"], one["content"]] for one in messages], ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def folded(text: str) -> str:
    return " ".join(text.split()).strip(" .\"'").casefold()
