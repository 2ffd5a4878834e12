"""Asking the model: the one place where a request becomes a reply.

`ask` promises, in this order: an answer that is in the ledger is replayed and the server is not spoken to; the same
request asked twice at once is sent once; no more than `in_flight` requests are with the server; what may pass is tried
again, `retries` times, waiting longer each time and as long as the server's Retry-After says; an answer is on disk
before `ask` returns it. A reply that is not OK is never stored, so it is asked again by the next run.

One request's failure is a reply. The failure of all requests is an exception that stops the run: nothing listens at the
address, or `GIVE_UP_AFTER` requests in a row got no answer (`EngineError`), the ledger can't be written (`StoreError`),
the budget is spent (`BudgetSpent`). After each of them the same command goes on where this one stopped.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from recgpt.engine.completion import Completion, PassingError, RefusedError, UnreachableError
from recgpt.engine.ledger import Clerk, Ledger
from recgpt.engine.requests import PromptLike, Reply, Request, resolve
from recgpt.errors import BudgetSpent, EngineError, RecgptError, StoreError
from recgpt.words import Outcome

if TYPE_CHECKING:
    from recgpt.engine.chat import ServerChat

GIVE_UP_AFTER = 16  # requests in a row without an answer
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0  # between two tries of ours
LONGEST_RETRY_AFTER_S = 120.0  # a server that asks for more is taken to mean: not now
REFUSED_REMEDY = "where prompts are too long, lower rendering.max_tokens or serve the model with a longer context"
BYTES_A_TOKEN = 3  # a cautious guess where the server does not count


@dataclass(frozen=True)
class Usage:
    """Totals of a run so far. Subtract an earlier one to get a stage's share."""

    asked: int = 0  # requests that went to the server, each counted once
    replayed: int = 0  # requests answered out of the ledger, or by the same request a moment before
    ok: int = 0  # of those asked
    invalid: int = 0
    unavailable: int = 0
    retries: int = 0  # tries beyond the first
    tokens_in: int = 0  # of answers that were asked for, not replayed
    tokens_out: int = 0
    tokens_cached: int = 0  # of tokens_in, those that the server had in its prefix cache
    seconds: float = 0.0  # summed over answers, so with many in flight more than the clock's

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def __sub__(self, earlier: Self) -> "Usage":
        return Usage(**{f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)})

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True)
class Served:
    """An adapter as the engine knows it."""

    model: str
    revision: str
    chat: "ServerChat"


class LanguageModel:
    """A model with a ledger before it. Made by `open_engine`; belongs to one event loop.

    Args:
        adapters: who answers requests of a task in the place of the model, see `request`.
        verbatim: the grammar of a text's own tokens, where the server takes one.
        remedy: what to do when the server does not answer, as the end of a sentence.
        max_tokens: a budget for the run, in tokens in plus tokens out. It is looked at before a request is sent, so the
            requests in flight when it is reached go over it.
    """

    def __init__(
        self,
        chat: "ServerChat",
        ledger: Ledger,
        *,
        revision: str,
        in_flight: int,
        retries: int,
        remedy: str,
        max_tokens: int | None = None,
        adapters: Callable[[str], "Served | None"] = lambda _: None,
        verbatim: Callable[[str], str] | None = None,
    ) -> None:
        self.model = chat.model
        self.revision = revision
        self.in_flight = in_flight
        self._chat = chat
        self._adapters = adapters
        self._verbatim = verbatim
        self._chats = {chat.model: chat}  # by the name that a request calls its model
        self._ledger = ledger
        self._clerk = Clerk(ledger)
        self._retries = retries
        self._remedy = remedy
        self._max_tokens = max_tokens
        self._slots = asyncio.Semaphore(in_flight)
        self._asking: dict[str, asyncio.Task[Reply]] = {}
        self._usage: dict[str, float] = {f.name: 0 for f in fields(Usage)}
        self._stopped: RecgptError | None = None
        self._failing = 0  # requests in a row without an answer
        self._last_answer = float("-inf")
        self.told: Callable[[Reply], None] = lambda _: None  # hears each reply before `ask` gives it

    @property
    def usage(self) -> Usage:
        return Usage(**self._usage)  # type: ignore[arg-type]

    @property
    def tokens_left(self) -> int | None:
        """What is left of the budget; None where there is none.

        Raises:
            BudgetSpent: nothing is.
        """
        if self._max_tokens is None:
            return None
        self._may_send()
        return self._max_tokens - round(self._usage["tokens_in"] + self._usage["tokens_out"])

    def add_usage(self, usage: Usage) -> None:
        """Count what was spent elsewhere on the same budget."""
        self._count(**asdict(usage))

    @property
    def chat(self) -> "ServerChat":
        """The model as an ordinary langchain chat model: no ledger, no retries."""
        return self._chat

    def request(
        self,
        prompt: PromptLike,
        variables: dict[str, str],
        *,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        top_logprobs: int = 0,
        verbatim: str | None = None,
    ) -> Request:
        """Resolve a prompt for this model. Another seed (with a temperature) is another request: a fresh try.

        Args:
            schema: a narrower one than the prompt's own, for this request.
            verbatim: the only answer that the schema allows. Under a schema alone a model spells it in whatever pieces
                it likes best at each place, whose probabilities are not those of the words; where the server can be,
                it is held to the text's own tokens.
        """
        self._ledger.register(prompt)
        model, revision = self.answering(prompt.task)
        return resolve(
            task=prompt.task,
            prompt_version=prompt.version,
            model=model,
            revision=revision,
            messages=prompt.messages(**variables),
            schema=schema or prompt.schema,
            max_tokens=prompt.max_tokens,
            temperature=temperature,
            seed=seed,
            top_logprobs=top_logprobs,
            grammar="" if verbatim is None or self._verbatim is None else self._verbatim(verbatim),
        )

    def answering(self, task: str) -> tuple[str, str]:
        """The model and revision that answer requests of a task: the adapter's, where one serves it."""
        served = self._adapters(task)
        if served is None:
            return self.model, self.revision
        self._chats[served.model] = served.chat
        return served.model, served.revision

    def replayed(self, requests: Iterable[Request]) -> set[str]:
        """The hashes of those that are in the ledger. Asks nothing."""
        return self._ledger.known([request.hash for request in requests])

    async def ask(self, request: Request) -> Reply:
        """The reply to a request; see the top of this module.

        A caller that is cancelled leaves its request running for others who wait for it, and for the ledger.

        Raises:
            EngineError, StoreError, BudgetSpent: the run can't go on.
        """
        same = self._asking.get(request.hash)
        if same is not None:
            reply = await asyncio.shield(same)
            self._count(replayed=1)
            reply = replace(reply, replayed=True) if reply.outcome is Outcome.OK else reply
        else:
            task = asyncio.create_task(self._answer(request))
            self._asking[request.hash] = task
            task.add_done_callback(lambda done: self._forget(request.hash, done))
            reply = await asyncio.shield(task)
        self.told(reply)
        return reply

    async def give_up(self) -> None:
        """Cancel whatever is being asked. What was answered is kept."""
        waiting = list(self._asking.values())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def aclose(self) -> None:
        """Give up what is still with the server, write what it answered, close the connections."""
        await self.give_up()
        await self._clerk.aclose()
        await self._chat.aclose()

    def _forget(self, key: str, task: asyncio.Task[Reply]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # its asker may have been cancelled; then nobody else looks

    async def _answer(self, request: Request) -> Reply:
        known = await self._clerk.find(request)
        if known is not None:
            self._count(replayed=1)
            return known
        async with self._slots:
            self._may_send()
            self._count(asked=1)
            reply = await self._send(request)
        self._count(**{reply.outcome.value: 1})
        if reply.outcome is Outcome.OK:
            self._count(
                tokens_in=_tokens(reply.tokens_in, request.body),
                tokens_out=_tokens(reply.tokens_out, reply.content),
                tokens_cached=reply.tokens_cached or 0,
                seconds=reply.seconds,
            )
            try:
                await self._clerk.keep(reply)
            except StoreError as error:
                self._stopped = error  # the next answer could not be kept either: don't buy it
                raise
        return reply

    def _may_send(self) -> None:
        if self._stopped is not None:
            raise self._stopped
        spent = self._usage["tokens_in"] + self._usage["tokens_out"]
        if self._max_tokens is not None and spent >= self._max_tokens:
            raise BudgetSpent(
                f"the budget of {self._max_tokens} tokens is spent ({spent:.0f}): everything answered is kept; run the "
                "same command again to go on"
            )

    async def _send(self, request: Request) -> Reply:
        """Try until there is an answer, a refusal, or no try left."""
        began = time.monotonic()
        for attempt in range(1, self._retries + 2):
            try:
                done = await self._chats.get(request.model, self._chat).complete(request.body)
            except RefusedError as error:
                self._failed(began, str(error), REFUSED_REMEDY)
                return Reply(request, Outcome.INVALID, attempts=attempt, reason=str(error))
            except PassingError as error:
                last = error
            except EngineError as error:
                self._stopped = error
                raise
            else:
                self._failing, self._last_answer = 0, time.monotonic()
                return _reply(request, done, attempt)
            if attempt <= self._retries and (last.retry_after or 0.0) <= LONGEST_RETRY_AFTER_S:
                self._count(retries=1)
                await asyncio.sleep(self._wait(attempt, last.retry_after))
                self._may_send_again()
            else:
                break
        if isinstance(last, UnreachableError):
            self._stop(f"nothing answers there: {last}", self._remedy)
        self._failed(began, str(last), self._remedy)
        return Reply(request, Outcome.UNAVAILABLE, attempts=attempt, reason=str(last))

    def _wait(self, attempt: int, retry_after: float | None) -> float:
        # Never sooner than the server asked for, and jittered, so that many don't come back in one moment.
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1))
        return (retry_after or longest / 2) + random.uniform(0, longest / 2)

    def _may_send_again(self) -> None:
        if self._stopped is not None:
            raise self._stopped

    def _failed(self, began: float, reason: str, remedy: str) -> None:
        """Count requests in a row without an answer; stop the run when they are too many to be bad luck.

        Only those sent after the last answer count: at the end of a run the slow failures come last, all together,
        and say nothing about the server.
        """
        if began > self._last_answer:
            self._failing += 1
            if self._failing >= GIVE_UP_AFTER:
                self._stop(f"{self._failing} requests in a row got no answer, the last because: {reason}", remedy)

    def _stop(self, why: str, remedy: str) -> None:
        self._stopped = EngineError(
            f"the engine at {self._chat.base_url} does not answer ({why}): {remedy}. Everything answered so far "
            "is kept; run the same command again to go on"
        )
        raise self._stopped

    def _count(self, **amounts: float) -> None:
        for name, amount in amounts.items():
            self._usage[name] += amount


def _reply(request: Request, done: Completion, attempts: int) -> Reply:
    return Reply(
        request=request,
        outcome=Outcome.OK,
        content=done.content,
        finish_reason=done.finish_reason,
        logprobs=done.logprobs,
        tokens_in=done.tokens_in,
        tokens_out=done.tokens_out,
        tokens_cached=done.tokens_cached,
        seconds=done.seconds,
        attempts=attempts,
    )


def _tokens(counted: int | None, text: str) -> int:
    return len(text.encode()) // BYTES_A_TOKEN if counted is None else counted


def tokens_of(reply: Reply) -> int:
    """What an answer took, in and out."""
    return _tokens(reply.tokens_in, reply.request.body) + _tokens(reply.tokens_out, reply.content)
