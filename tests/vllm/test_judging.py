"""Token probabilities: what a verdict is read from, and what the form `said` can't be read from."""

import math
from typing import Any

import pytest

from judges import NoVerdict, load_criteria, read_verdict
from judges.verdict import _kind, _tokens_of

TARGET = {"given": "- garden: steel trowel\n- garden: seed tray", "claim": "gardening"}


def test_a_verdict_is_the_share_of_yes_among_all_that_was_allowed(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judges.verdict.is_quoted", lambda *_: True)  # these weights know nothing, nor what to quote
    (grounded,) = load_criteria("interests", ["grounded"])
    claims = [TARGET, {**TARGET, "claim": "deep sea fishing"}]
    replies = ask(
        lambda model: [
            model.request(grounded, one, schema=grounded.schema_for(**one), top_logprobs=grounded.top_logprobs)
            for one in claims
        ]
    )
    shares = []
    for reply in replies:
        verdict = read_verdict(reply.content, reply.logprobs, texts=())
        assert verdict.p_yes is not None
        assert 0.0 < verdict.p_yes < 1.0
        entry, before = next(_tokens_of(reply.logprobs, "verdict"))
        offered = {one["token"]: math.exp(one["logprob"]) for one in entry["top_logprobs"]}
        # The grammar leaves nothing but beginnings of a yes and a no, so that the two shares are all there is.
        assert sum(p for token, p in offered.items() if _kind(token.removeprefix(before)) is not None) > 0.99
        shares.append(verdict.p_yes)
    assert shares[0] != shares[1]  # it is the target that is judged


def test_what_it_was_made_to_say_has_no_probability_of_its_own(ask: Any) -> None:
    said = load_criteria("interests", form="said")[0]
    schema = said.schema_for(**TARGET)
    (reply,) = ask(lambda model: [model.request(said, TARGET, schema=schema, top_logprobs=said.top_logprobs)])
    with pytest.raises(NoVerdict, match="after the grammar"):
        said.read(reply.content, reply.logprobs, 0.5, **TARGET)
