"""The ledger: every request that was answered, with its answer, raw, once.

An answer that `store` returned from is on disk and is never asked for again, whatever happens to the process. Storing
the same answer twice keeps the first, and two processes may write at once. Only answers are kept: a refusal, or no
answer, leaves nothing behind. What can't be written stops the run (`StoreError`), because to go on would be to buy
answers and lose them.

`Ledger` is plain blocking SQL. `Clerk` puts it behind an event loop: whatever is asked of it while one transaction runs
is done together in the next, so that durability costs one commit for many answers and the loop never waits for a disk.
(SQLite on an SSD, requests of 6 kB: 0.37 ms an answer where each has a commit, 0.12 ms where 64 share one.)
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Engine, Insert, select
from sqlalchemy.dialects import postgresql, sqlite

from recgpt.engine.requests import PromptLike, Reply, Request
from recgpt.errors import StoreError
from recgpt.store.tables import Answer, Base, PromptVersion, now
from recgpt.store.tables import Request as RequestRow
from recgpt.words import Outcome

CHUNK = 500  # hashes in one query
T = TypeVar("T")
_LOOKUP = select(
    Answer.request_hash,
    Answer.content,
    Answer.finish_reason,
    Answer.logprobs,
    Answer.tokens_in,
    Answer.tokens_out,
    Answer.tokens_cached,
    Answer.seconds,
    Answer.attempts,
)


class Ledger:
    """Requests and answers in `store`; rows written are marked with `run_id`, the row of `runs` that made them."""

    def __init__(self, store: Engine, run_id: int | None = None) -> None:
        self._store = store
        self._run_id = run_id
        self._prompts: dict[str, PromptLike] = {}  # seen, and not yet in the store
        self._known_prompts: set[str] = set()
        self._inserts = {table: _insert_if_new(store, table) for table in (PromptVersion, RequestRow, Answer)}

    def register(self, prompt: PromptLike) -> None:
        """Keep a prompt's text, with the first answer that is stored after this."""
        if prompt.version not in self._known_prompts:
            self._prompts[prompt.version] = prompt

    def lookup(self, requests: Iterable[Request]) -> dict[str, Reply]:
        """The answers there are, by request hash."""
        asked = {request.hash: request for request in requests}
        found: dict[str, Reply] = {}
        with self._store.connect() as connection:
            for hashes in _chunks(list(asked)):
                for row in connection.execute(_LOOKUP.where(Answer.request_hash.in_(hashes))):
                    found[row.request_hash] = Reply(
                        request=asked[row.request_hash],
                        outcome=Outcome.OK,
                        content=row.content,
                        finish_reason=row.finish_reason,
                        logprobs=None if row.logprobs is None else json.loads(row.logprobs),
                        tokens_in=row.tokens_in,
                        tokens_out=row.tokens_out,
                        tokens_cached=row.tokens_cached,
                        seconds=row.seconds,
                        attempts=row.attempts,
                        replayed=True,
                    )
        return found

    def known(self, hashes: Sequence[str]) -> set[str]:
        """Those of these requests that have an answer."""
        found: set[str] = set()
        with self._store.connect() as connection:
            for chunk in _chunks(sorted(set(hashes))):
                found.update(connection.scalars(select(Answer.request_hash).where(Answer.request_hash.in_(chunk))))
        return found

    def store(self, replies: Sequence[Reply]) -> None:
        """Write the answers among these replies in one transaction.

        Raises:
            StoreError: the disk is full, the database is locked for too long, or it can't be written.
        """
        fresh = [reply for reply in replies if reply.outcome is Outcome.OK and not reply.replayed]
        if not fresh:
            return
        # In one order, whoever writes: else two processes could each wait for a row of the other's (PostgreSQL).
        fresh.sort(key=lambda reply: reply.request.hash)
        moment, prompts = now(), sorted(self._prompts.values(), key=lambda prompt: prompt.version)
        with self._store.begin() as connection:
            if prompts:
                connection.execute(
                    self._inserts[PromptVersion],
                    [{"version": p.version, "task": p.task, "text": p.text, "created_at": moment} for p in prompts],
                )
            connection.execute(self._inserts[RequestRow], [_request_row(reply, moment) for reply in fresh])
            connection.execute(self._inserts[Answer], [_answer_row(reply, self._run_id, moment) for reply in fresh])
        for prompt in prompts:
            self._known_prompts.add(prompt.version)
            self._prompts.pop(prompt.version, None)


class Clerk:
    """A ledger for many coroutines at once. `keep` returns when the answer is on disk."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._wanted: list[tuple[Request, asyncio.Future[Reply | None]]] = []
        self._answered: list[tuple[Reply, asyncio.Future[None]]] = []
        self._work: asyncio.Task[None] | None = None
        # One thread: SQLite has one writer anyway, and an in-memory database is seen by one thread only.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def find(self, request: Request) -> Reply | None:
        future: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._wanted.append((request, future))
        self._wake()
        return await future

    async def keep(self, reply: Reply) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answered.append((reply, future))
        self._wake()
        await future

    async def aclose(self) -> None:
        """Write what was handed in, then end."""
        if self._work is not None:
            await self._work
        self._thread.shutdown()

    def _wake(self) -> None:
        if self._work is None:
            self._work = asyncio.create_task(self._until_idle())

    async def _until_idle(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._wanted or self._answered:
                wanted, self._wanted = self._wanted, []
                answered, self._answered = self._answered, []
                try:
                    found = await loop.run_in_executor(
                        self._thread, self._turn, [request for request, _ in wanted], [reply for reply, _ in answered]
                    )
                except Exception as error:  # noqa: BLE001 (handed to those who wait for it)
                    _fail([future for _, future in wanted], error)
                    _fail([future for _, future in answered], error)
                    continue
                for _, done in answered:
                    _finish(done, None)
                for request, future in wanted:
                    _finish(future, found.get(request.hash))
        finally:
            self._work = None

    def _turn(self, wanted: list[Request], answered: list[Reply]) -> dict[str, Reply]:
        # Two transactions: one that read first could not be upgraded to write while another process writes.
        self._ledger.store(answered)
        return self._ledger.lookup(wanted) if wanted else {}


def _finish(future: asyncio.Future[T], value: T) -> None:
    if not future.done():  # its asker may have been cancelled
        future.set_result(value)


def _fail(futures: list[asyncio.Future[T]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _request_row(reply: Reply, moment: Any) -> dict[str, Any]:
    request = reply.request
    return {
        "hash": request.hash,
        "task": request.task,
        "prompt_version": request.prompt_version,
        "model": request.model,
        "revision": request.revision,
        "body": request.body,
        "created_at": moment,
    }


def _answer_row(reply: Reply, run_id: int | None, moment: Any) -> dict[str, Any]:
    return {
        "request_hash": reply.request.hash,
        "content": reply.content,
        "finish_reason": reply.finish_reason,
        "logprobs": None if reply.logprobs is None else json.dumps(reply.logprobs, separators=(",", ":")),
        "tokens_in": reply.tokens_in,
        "tokens_out": reply.tokens_out,
        "tokens_cached": reply.tokens_cached,
        "seconds": reply.seconds,
        "attempts": reply.attempts,
        "run_id": run_id,
        "created_at": moment,
    }


def _insert_if_new(store: Engine, table: type[Base]) -> Insert:
    match store.dialect.name:
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
    raise StoreError(f"the ledger can't be kept in {store.dialect.name}: set store.url to SQLite or PostgreSQL")


def _chunks(hashes: list[str]) -> Iterable[list[str]]:
    return (hashes[start : start + CHUNK] for start in range(0, len(hashes), CHUNK))
