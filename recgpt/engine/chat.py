"""A lean chat model for an OpenAI-compatible server: langchain-core's interface over one aiohttp session.

`complete(body)` is the hot path: it posts the text it is given, byte for byte, and returns the answer or raises one of
three things. `PassingError` is what may be better in a moment (429, 5xx, a time-out, a closed or cut connection, an
answer that is not the protocol, another model's answer); `RefusedError` is about this very request (400, 413, 422, an
answer over the size limit); `EngineError` is about every request (no permission, no such model, not an API). It never
retries, never follows a redirect, never uses a proxy, and never shows the key.

`ainvoke` and the rest of langchain's interface work too and go the same way. They are not the hot path because of what
they cost. Against a server in another process that answers at once, 64 in flight, 2 kB a request, a second of our own
processor time was enough for 7,500 requests of bare aiohttp, 7,500 of `complete`, 2,200 of `ainvoke`, and 300 of
langchain_openai's ChatOpenAI.ainvoke: that is why this class stands.
"""

import asyncio
import errno
import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import aiohttp
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr, SecretStr

from recgpt.engine.completion import Completion, PassingError, RefusedError, UnreachableError
from recgpt.errors import EngineError

ANSWER_LIMIT = 8 * 1024 * 1024  # bytes
CONNECT_TIMEOUT_S = 10.0
# Under the 5 s after which uvicorn, and so vLLM, closes an idle connection: ours goes first, and no request is lost.
KEEP_ALIVE_S = 4.0
REASON_LIMIT = 300  # characters of a server's message that are kept
COUNT_LIMIT = 2**31 - 1  # tokens; what an integer column holds
COLUMN_LIMIT = 255  # characters; what a short text column holds


class ServerChat(BaseChatModel):
    """A chat model served at `base_url` (".../v1"). One event loop at a time; `aclose()` ends its connections."""

    base_url: str
    model: str
    api_key: SecretStr | None = None
    timeout_s: float = 120.0
    in_flight: int = 64

    _session: aiohttp.ClientSession | None = PrivateAttr(default=None)

    @property
    def _llm_type(self) -> str:
        return "recgpt-server"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "model": self.model}

    async def complete(self, body: str) -> Completion:
        """Post a chat-completion request as it stands.

        Raises:
            PassingError, RefusedError, EngineError: see the top of this module.
        """
        began = time.perf_counter()
        answer = _json(await self._call("POST", "/chat/completions", body.encode()))
        return self._read(answer, time.perf_counter() - began)

    async def served(self) -> list[str]:
        """The names in the server's /models. Raises as `complete` does."""
        answer = _json(await self._call("GET", "/models"))
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError):
            raise PassingError("the answer of /models lists no models") from None

    async def load_adapter(self, name: str, folder: str) -> None:
        """Have a running vLLM serve the adapter in a folder of its own disk. Raises as `complete` does."""
        body = json.dumps({"lora_name": name, "lora_path": folder}).encode()
        await self._call("POST", "/load_lora_adapter", body, plain=True)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
            if self.api_key is not None:
                headers["Authorization"] = f"Bearer {self.api_key.get_secret_value()}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                connector=aiohttp.TCPConnector(limit=self.in_flight, keepalive_timeout=KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _call(self, method: str, path: str, body: bytes | None = None, *, plain: bool = False) -> bytes:
        """The answer's bytes. plain: it need not be JSON."""
        url = self.base_url.rstrip("/") + path
        try:
            async with self._open().request(method, url, data=body, allow_redirects=False) as response:
                raw = await _whole(response)
                if response.status != 200:
                    self._refuse(response, raw)
                if response.content_type != "application/json" and not plain:
                    raise PassingError(f"the answer is {response.content_type}, not JSON")
                return raw
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, UnicodeError):
            raise EngineError(f"{self.base_url!r} is not the URL of a server: correct engine.base_url") from None
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno in (errno.EMFILE, errno.ENFILE):
                raise EngineError(
                    f"no more connections can be opened ({error.os_error.strerror}): lower engine.in_flight, or raise "
                    "'ulimit -n'"
                ) from None
            raise UnreachableError(f"no connection ({error.strerror or error.os_error})") from None
        except aiohttp.ConnectionTimeoutError:
            within = min(CONNECT_TIMEOUT_S, self.timeout_s)
            raise UnreachableError(f"no connection within {within:g} s") from None
        except TimeoutError:
            raise PassingError(f"no answer within {self.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise PassingError(f"the connection broke ({type(error).__name__})") from None

    def _refuse(self, response: aiohttp.ClientResponse, raw: bytes) -> NoReturn:
        status, said = response.status, _message(raw)
        match status:
            case 400 | 413 | 422:
                raise RefusedError(f"the server refused the request ({status}): {said}")
            case 401 | 403:
                raise EngineError(
                    f"the engine at {self.base_url} refuses us ({status}: {said}): put its key in an environment "
                    "variable and name that variable in engine.api_key_env"
                )
            case 404:
                raise EngineError(
                    f"the engine at {self.base_url} does not know model {self.model!r} (404: {said}): see "
                    f"{self.base_url}/models, and correct engine.model or engine.base_url"
                )
            case 408 | 409 | 425 | 429:
                raise PassingError(f"the server said {status}: {said}", _retry_after(response))
        if status >= 500:
            raise PassingError(f"the server said {status}: {said}", _retry_after(response))
        raise EngineError(
            f"{self.base_url} is not an OpenAI-compatible API (it answered {status}: {said}): correct engine.base_url"
        )

    def _read(self, answer: Any, seconds: float) -> Completion:
        try:
            choice = answer["choices"][0]
            logprobs = choice.get("logprobs")
            usage = answer.get("usage") or {}
            details = usage.get("prompt_tokens_details") or {}
            completion = Completion(
                content=_storable(choice["message"]["content"] or ""),
                finish_reason=_storable(str(choice.get("finish_reason") or ""))[:COLUMN_LIMIT],
                logprobs=logprobs.get("content") if logprobs else None,
                tokens_in=_count(usage.get("prompt_tokens")),
                tokens_out=_count(usage.get("completion_tokens")),
                tokens_cached=_count(details.get("cached_tokens")),
                seconds=seconds,
            )
            by = answer.get("model")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise PassingError("the answer is JSON but not a chat completion") from None
        if by != self.model:
            raise PassingError(f"answered by model {repr(by)[:REASON_LIMIT]}, not {self.model!r}")
        return completion

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        fields = {"model": self.model, "messages": convert_to_openai_messages(messages), "temperature": 0.0, **kwargs}
        if stop:
            fields["stop"] = stop
        done = await self.complete(json.dumps(fields, ensure_ascii=False))
        message = AIMessage(
            content=done.content,
            response_metadata={
                "model_name": self.model,
                "finish_reason": done.finish_reason,
                "logprobs": None if done.logprobs is None else {"content": done.logprobs},
            },
            usage_metadata=UsageMetadata(
                input_tokens=done.tokens_in or 0,
                output_tokens=done.tokens_out or 0,
                total_tokens=(done.tokens_in or 0) + (done.tokens_out or 0),
                input_token_details=InputTokenDetails(cache_read=done.tokens_cached or 0),
            ),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """For plain code outside an event loop; inside one, use `ainvoke`."""

        async def once() -> ChatResult:
            # A session belongs to its loop, and this loop ends with the call.
            alone = ServerChat(
                base_url=self.base_url, model=self.model, api_key=self.api_key, timeout_s=self.timeout_s, in_flight=1
            )
            try:
                return await alone._agenerate(messages, stop, **kwargs)
            finally:
                await alone.aclose()

        return asyncio.run(once())


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) > ANSWER_LIMIT:
        response.close()
        raise RefusedError(f"the answer is {response.content_length} bytes, over the limit of {ANSWER_LIMIT}")
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > ANSWER_LIMIT:
            response.close()
            raise RefusedError(f"the answer is over the limit of {ANSWER_LIMIT} bytes")
    return b"".join(chunks)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise PassingError("the answer is not JSON") from None


def _storable(text: str) -> str:
    """A model may write what no database takes as text: NUL, or half a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _count(value: Any) -> int | None:
    """A number of tokens, unless it is none: a server may say what it likes, and sums and columns must bear it."""
    return value if type(value) is int and 0 <= value <= COUNT_LIMIT else None


def _message(raw: bytes) -> str:
    """A server's own words about an error, from OpenAI's shape or as they stand, in one short line."""
    try:
        error = json.loads(raw)["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError, RecursionError):
        text = raw.decode("utf-8", "replace")
    return _storable(" ".join(str(text).split())[:REASON_LIMIT])


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3); None if absent or not understood."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
