"""What exactly was asked: the request behind any stored row, as it was posted, and the answer, as it came.

A row is named by its table and number ("interest:12"), a request by its hash or the beginning of one. What is told
comes from the ledger alone: the messages and the schema out of the body that was posted, the prompt file's text of that
version even if the file has changed since, and the raw answer before any gate. The hash is computed anew, so that
`verified` says whether the stored body is still what was asked.
"""

import json
import re
from typing import Any, Final

from sqlalchemy import Engine, inspect, select
from sqlalchemy.orm import Session

from recgpt.engine.requests import Request
from recgpt.errors import ConfigError, DataError
from recgpt.store.tables import Answer, Base, Explanation, Interest, Label, PromptVersion, Rejection, Run, Tag
from recgpt.store.tables import Request as RequestRow

KINDS: Final[dict[str, type[Base]]] = {
    "interest": Interest,
    "tag": Tag,
    "explanation": Explanation,
    "label": Label,
    "rejection": Rejection,
}
SHORTEST: Final = 4  # characters of a hash's beginning
LISTED: Final = 5  # requests that share a beginning
_HASH = re.compile(r"(?:sha256:)?([0-9a-f]+)")


def requests_behind(store: Engine, name: str) -> dict[str, Any]:
    """The row of that name, and each request that made it, in the order in which they were asked.

    Args:
        name: `interest:12`, `tag:5`, `explanation:3`, `label:9`, `rejection:4`, or the beginning of a request's hash.

    Raises:
        ConfigError: it is neither.
        DataError: there is no such row, no such request, or several requests begin so.
    """
    kind, _, number = name.partition(":")
    with Session(store) as session:
        if kind in KINDS:
            return _of_row(session, name, kind, number)
        match = _HASH.fullmatch(name.lower())
        if match is None or len(match[1]) < SHORTEST:
            raise ConfigError(
                f"{name!r} names no row: give {', '.join(f'{kind}:NUMBER' for kind in KINDS)}, or at least {SHORTEST} "
                "characters of a request's hash"
            )
        return {"name": name, "row": None, "requests": [_asked(session, "", _by_prefix(session, match[1]))]}


def _of_row(session: Session, name: str, kind: str, number: str) -> dict[str, Any]:
    row = session.get(KINDS[kind], int(number)) if number.isdecimal() and len(number) < 19 else None
    if row is None:
        raise DataError(
            f"there is no {kind} {number or '(no number)'}: 'recgpt show USER --json' and 'recgpt why USER ITEM "
            f"--json' give the ids, and so does the store's table {KINDS[kind].__tablename__}"
        )
    roles = {"style_request_hash": "style", "request_hash": "text" if kind == "explanation" else ""}
    asked = [
        _asked(session, role, request_hash)
        for column, role in roles.items()
        if (request_hash := getattr(row, column, None)) is not None
    ]
    columns = {column.key: getattr(row, column.key) for column in inspect(KINDS[kind]).column_attrs}
    return {"name": name, "row": columns, "requests": asked}


def _by_prefix(session: Session, digits: str) -> str:
    begins = f"sha256:{digits}"
    query = select(RequestRow.hash, RequestRow.task).where(
        RequestRow.hash >= begins,
        RequestRow.hash < begins + "g",  # a range: the index serves it, and LIKE it may not
    )
    found = session.execute(query.order_by(RequestRow.hash).limit(LISTED + 1)).all()
    if not found:
        raise DataError(f"no request's hash begins with {digits}: 'recgpt why USER ITEM' shows the hashes behind a row")
    if len(found) > 1:
        listed = ", ".join(
            f"{hash_.removeprefix('sha256:')[: len(digits) + 8]} ({task})" for hash_, task in found[:LISTED]
        )
        more = " and more" if len(found) > LISTED else ""
        raise DataError(f"several requests begin with {digits}: {listed}{more}; give more characters")
    return str(found[0].hash)


def _asked(session: Session, role: str, request_hash: str) -> dict[str, Any]:
    request = session.get_one(RequestRow, request_hash)
    body = json.loads(request.body)
    form = body.pop("response_format", {}).get("json_schema", {})
    messages = body.pop("messages")
    again = Request(request.task, request.prompt_version, request.body, request.model, request.revision)
    prompt = session.get(PromptVersion, request.prompt_version)
    return {
        "role": role,
        "hash": request.hash,
        "verified": again.hash == request.hash,
        "task": request.task,
        "model": request.model,
        "revision": request.revision,
        "sampling": {key: value for key, value in body.items() if key != "model"},
        "schema": form.get("schema"),
        "messages": messages,
        "prompt": {"version": request.prompt_version, "text": prompt.text if prompt else None},
        "answer": _answer(session, request_hash),
    }


def _answer(session: Session, request_hash: str) -> dict[str, Any] | None:
    answer = session.get(Answer, request_hash)
    if answer is None:
        return None
    run = session.get(Run, answer.run_id) if answer.run_id else None
    return {
        "content": answer.content,
        "finish_reason": answer.finish_reason,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "tokens_cached": answer.tokens_cached,
        "seconds": answer.seconds,
        "attempts": answer.attempts,
        "at": answer.created_at.isoformat(),
        "run": run and {"id": run.id, "stage": run.stage, "night": run.night.isoformat(), "state": run.state},
    }
