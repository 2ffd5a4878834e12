"""What requests will cost, before they are asked.

Tokens in are counted with the engine's own counter over the first requests of a stage and from then on reckoned from
their bytes at the rate of those first ones, so that a dry run over a million users takes minutes. The marks of a chat
template are not in it. Tokens out are at most what each request allows; how many are likely is said by the answers that
the ledger has from the same prompt, model and revision.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recgpt.engine.requests import Request
from recgpt.stages.night import Night
from recgpt.store.tables import Answer
from recgpt.store.tables import Request as RequestRow

COUNTED = 200  # requests whose tokens are counted one by one
EARLIER = 1000  # answers that the likely length is the mean of


@dataclass(frozen=True)
class Cost:
    tokens_in: int = 0
    tokens_out: int | None = 0  # likely; None where nothing like it was ever answered
    tokens_out_most: int = 0  # no more than that can come

    def __add__(self, other: "Cost") -> "Cost":
        likely = None if self.tokens_out is None or other.tokens_out is None else self.tokens_out + other.tokens_out
        return Cost(self.tokens_in + other.tokens_in, likely, self.tokens_out_most + other.tokens_out_most)


class Estimate:
    """Adds up the cost of a stage's requests."""

    def __init__(self, night: Night) -> None:
        self._night = night
        self._requests = 0
        self._bytes = 0  # of the requests that were counted
        self._counted = 0  # their tokens
        self._reckoned = 0.0  # tokens of all the others
        self._likely: float | None = 0.0
        self._most = 0
        self._mean = cache(self._mean_of_earlier)  # by prompt version, model and revision: a few a stage

    @property
    def cost(self) -> Cost:
        likely = None if self._likely is None else round(self._likely)
        return Cost(self._counted + round(self._reckoned), likely, self._most)

    def add(self, requests: Sequence[Request]) -> None:
        for request in requests:
            body = json.loads(request.body)
            texts = [str(message["content"]) for message in body["messages"]]
            size = sum(len(text.encode()) for text in texts)
            if self._requests < COUNTED:
                self._counted += sum(map(self._night.count_tokens, texts))
                self._bytes += size
            else:
                self._reckoned += size * self._counted / self._bytes
            self._requests += 1
            self._most += int(body["max_tokens"])
            mean = self._mean(request.prompt_version, request.model, request.revision)
            self._likely = None if self._likely is None or mean is None else self._likely + mean

    def _mean_of_earlier(self, prompt_version: str, model: str, revision: str) -> float | None:
        earlier = (
            select(Answer.tokens_out)
            .join(RequestRow, RequestRow.hash == Answer.request_hash)
            .where(
                RequestRow.prompt_version == prompt_version,
                RequestRow.model == model,
                RequestRow.revision == revision,
                Answer.tokens_out.is_not(None),
            )
            .limit(EARLIER)
            .subquery()
        )
        with Session(self._night.store) as session:
            mean = session.scalar(select(func.avg(earlier.c.tokens_out)))
        return None if mean is None else float(mean)
