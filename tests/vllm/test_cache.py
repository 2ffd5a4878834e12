"""The prefix cache: with the instructions first and the user last, a second user pays for the user alone."""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from vllm_server import VllmServer

import prompts
from recgpt.store.tables import Answer

USERS = [{"products": "- garden: oak bench\n- garden: steel trowel"}, {"products": "- kitchen: glass teapot"}]
HITS = "vllm:prefix_cache_hits_total"


@dataclass(frozen=True)
class UserFirst:
    """The same prompt the wrong way round: what differs comes first."""

    task: str = "user_first"
    text: str = ""
    version: str = "sha256:" + "1" * 64
    max_tokens: int = 8
    schema: dict[str, Any] = field(default_factory=dict)

    def messages(self, **variables: str) -> list[dict[str, str]]:
        first, *rest = prompts.load("interest_name").messages(**variables)
        user = rest.pop()
        return [{**first, "content": user["content"] + "\n" + first["content"]}, *rest, user]


def cached(server: VllmServer, ask: Any, prompt: Any) -> tuple[int, int]:
    """Tokens of the second user's prompt that came from the cache: as answered, and as the server counts."""
    ask(lambda model: [model.request(prompt, USERS[0])])
    before = server.metrics()[HITS]
    (second,) = ask(lambda model: [model.request(prompt, USERS[1])])
    return second.tokens_cached, int(server.metrics()[HITS] - before)


def test_instructions_are_computed_once(server: VllmServer, ask: Any, store: Any) -> None:
    prompt = prompts.load("interest_name")
    hit, counted = cached(server, ask, prompt)
    shared = prompt.messages(products="")
    _, said = server.call("/tokenize", model="smollm2", messages=shared, add_generation_prompt=False)
    block = 128  # the cache's unit on a CPU; on a GPU it is 16
    assert hit == counted
    assert json.loads(said)["count"] - 2 * block < hit <= json.loads(said)["count"]
    assert hit % block == 0
    assert hit >= block
    with store.connect() as connection:
        kept = connection.scalars(select(Answer.tokens_cached)).all()
    assert hit in kept


def test_the_other_way_round_nothing_is(server: VllmServer, ask: Any) -> None:
    assert cached(server, ask, UserFirst()) == (0, 0)
