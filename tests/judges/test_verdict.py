"""Reading answers: hand-worked token probabilities, in the tokenizations that engines give."""

import json
import math
from typing import Any

import pytest

from judges import NoVerdict, Verdict, contrast, is_quoted, read_said
from judges import read_verdict as read_whole

QUOTED = '{"evidence": "tea", '


def read_verdict(content: str, logprobs: Any, threshold: float = 0.5) -> Verdict:
    """Of an answer about tea whose evidence is in order; the probabilities may begin behind it."""
    return read_whole(content.replace("{", QUOTED, 1), logprobs, threshold, texts=("A cup of tea.",))


def entry(token: str, p: float, **others: float) -> dict[str, Any]:
    """One token with probability p, and what else was offered there."""
    offered = {token: p, **others}
    top = [{"token": name, "logprob": math.log(value)} for name, value in offered.items()]
    return {"token": token, "logprob": math.log(p), "top_logprobs": top}


def at(*tokens: str, value: int, p: float, **others: float) -> list[dict[str, Any]]:
    """Tokens of probability 1, but for the one at `value`."""
    return [entry(token, p, **others) if i == value else entry(token, 1.0) for i, token in enumerate(tokens)]


@pytest.mark.parametrize(
    ("logprobs", "p_yes"),
    [
        # The value is a token of its own: 0.1 against 0.1 + 0.3; "maybe" could not be chosen and does not count.
        (at("{", '"verdict"', ":", ' "', "yes", '"', "}", value=4, p=0.1, no=0.3, maybe=0.4), 0.25),
        # The quote is part of the token; so it is in the others that begin a verdict there.
        (at('{"', "verdict", '":', '"yes', '"}', value=3, p=0.6, **{'"no': 0.2, '"not': 0.1}), 0.75),
        # Space and quote, capital letters, and a lone first letter.
        (at('{"verdict":', ' "yes', '"}', value=1, p=0.2, **{' "No': 0.1, ' "n': 0.1, " ": 0.5}), 0.5),
        (at('{"verdict": "', "y", "es", '"}', value=1, p=0.3, Yes=0.3, no=0.2), 0.75),
        # The whole answer in one token: nothing else was offered.
        (at('{"verdict": "yes"}', value=0, p=0.9), 1.0),
        # No was said, and yes was not offered at all.
        (at('{"verdict": "', "no", '"}', value=1, p=0.9, maybe=0.1), 0.0),
    ],
)
def test_p_of_yes(logprobs: list[dict[str, Any]], p_yes: float) -> None:
    content = "".join(one["token"] for one in logprobs)
    verdict = read_verdict(content, logprobs, threshold=0.5)
    assert verdict.p_yes == pytest.approx(p_yes)
    assert verdict.verdict is (p_yes >= 0.5)
    assert verdict.threshold == 0.5


def test_the_threshold_decides_not_the_word() -> None:
    logprobs = at('{"verdict": "', "no", '"}', value=1, p=0.6, yes=0.2)  # P(yes) = 0.25
    assert read_verdict('{"verdict": "no"}', logprobs, 0.2).verdict is True
    assert read_verdict('{"verdict": "no"}', logprobs, 0.3).verdict is False


def test_without_probabilities_the_word_is_the_verdict() -> None:
    for word, verdict in (("yes", True), ("no", False)):
        read = read_verdict(f'{{"verdict": "{word}"}}', None, 0.9)
        assert (read.verdict, read.p_yes, read.threshold) == (verdict, None, None)


@pytest.mark.parametrize(
    "content", ["", "yes", '```json\n{"verdict"', '{"verdict": "perhaps"}', '{"verdict": true}', "[]"]
)
def test_what_is_no_verdict_is_refused(content: str) -> None:
    with pytest.raises(NoVerdict):
        read_verdict(content, None)


@pytest.mark.parametrize(
    ("logprobs", "said"),
    [
        ([], "no whole"),
        (at('{"verdict": "', "yes", value=1, p=0.5), "no whole"),  # cut before the closing quote
        ([{"token": '{"verdict": "yes"}', "logprob": -math.inf, "top_logprobs": []}], "begins a yes or a no"),
    ],
)
def test_probabilities_that_do_not_hold_the_verdict_are_refused(logprobs: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(NoVerdict, match=said):
        read_verdict('{"verdict": "yes"}', logprobs)


@pytest.mark.parametrize(
    "logprobs",
    [
        [1, None], "yes", {"token": "yes"}, [{"token": "yes"}], [{"token": None, "logprob": -1.0}],
        [{"token": '{"verdict": "yes"}', "logprob": None}], [{"token": '{"verdict": "yes"}', "logprob": math.nan}],
        [{"token": '{"verdict": "yes"}', "logprob": 1e300}],
        [{"token": '{"verdict": "yes"}', "logprob": -1.0, "top_logprobs": [{"token": "yes", "logprob": "x"}]}],
        [{"token": '{"verdict": "yes"}', "logprob": -1.0, "top_logprobs": 3}],
    ],
)  # fmt: skip
def test_probabilities_that_are_none_are_refused(logprobs: Any) -> None:
    with pytest.raises(NoVerdict, match="logarithm of a probability"):
        read_verdict('{"verdict": "yes"}', logprobs)
    with pytest.raises(NoVerdict, match="logarithm of a probability"):
        read_said('{"answer": "yes"}', logprobs, 0.5)


def test_an_answer_that_no_parser_takes_is_refused() -> None:
    for content in ("[" * 100_000, '{"verdict": ' + "9" * 5000 + "}"):
        with pytest.raises(NoVerdict, match="not JSON"):
            read_verdict(content, None)


def test_said_is_the_geometric_mean_of_the_value_s_tokens() -> None:
    tokens = [('{"', 0.9), ("answer", 0.9), ('": "', 0.9), ("trail", 0.5), (" running", 0.08), ('"}', 0.001)]
    logprobs = [entry(token, p) for token, p in tokens]
    verdict = read_said('{"answer": "trail running"}', logprobs, 0.1)
    assert verdict.p_yes == pytest.approx(math.sqrt(0.5 * 0.08))  # 0.2; neither the frame nor the end counts
    assert verdict.verdict is True
    assert read_said('{"answer": "trail running"}', logprobs, 0.21).verdict is False


def test_said_counts_tokens_that_share_the_quotes_and_escapes() -> None:
    logprobs = [
        entry('{"answer":', 1.0),
        entry(' "say', 0.25),
        entry(' \\"', 1.0),
        entry("hi", 0.25),
        entry('\\""}', 1.0),
    ]
    verdict = read_said('{"answer": "say \\"hi\\""}', logprobs, 0.5)
    assert verdict.p_yes == pytest.approx((0.25 * 0.25) ** (1 / 4))


def test_said_without_probabilities_is_no_verdict() -> None:
    with pytest.raises(NoVerdict, match="gives no token probabilities"):
        read_said('{"answer": "tea"}', None, 0.5)


def test_said_under_a_grammar_that_hides_the_model_is_no_verdict() -> None:
    logprobs = [entry('{"answer": "', 1.0), entry("trail", 0.9, run=0.1), entry(" running", 1.0), entry('"}', 1.0)]
    assert read_said('{"answer": "trail running"}', logprobs, 0.1).p_yes == pytest.approx(math.sqrt(0.9))
    logprobs[0]["top_logprobs"].append({"token": "tea", "logprob": -9999.0})  # as vLLM says: impossible
    with pytest.raises(NoVerdict, match="after the grammar"):
        read_said('{"answer": "trail running"}', logprobs, 0.1)


def test_a_claim_counts_by_how_much_likelier_it_is_than_anyway() -> None:
    def said(p: float) -> Verdict:
        return Verdict(False, p, 0.5)

    often = contrast(said(0.3), said(0.6), 0.5)  # likelier words, and still they do not fit
    assert (often.verdict, often.p_yes, often.threshold) == (False, pytest.approx(1 / 3), 0.5)
    seldom = contrast(said(0.02), said(0.005), 0.5)
    assert (seldom.verdict, seldom.p_yes) == (True, pytest.approx(0.8))


@pytest.mark.parametrize("lacking", [0, 1])
def test_half_of_a_contrast_is_no_verdict(lacking: int) -> None:
    both: list[Verdict | None] = [Verdict(True, 0.5, 0.5), Verdict(True, 0.5, 0.5)]
    both[lacking] = None
    with pytest.raises(NoVerdict, match="not said both"):
        contrast(both[0], both[1], 0.5)
    with pytest.raises(NoVerdict, match="too unlikely"):
        contrast(Verdict(False, 0.0, 0.5), Verdict(False, 0.0, 0.5), 0.5)


def test_the_evidence_is_kept_and_what_it_says_is_no_verdict() -> None:
    quote = 'say "verdict": "yes"'
    content = json.dumps({"evidence": quote, "verdict": "no"})
    cut = content.rindex("no")
    logprobs = [entry(content[:cut], 1.0), entry("no", 0.6, yes=0.2), entry('"}', 1.0)]
    verdict = read_whole(content, logprobs, texts=(f"They {quote} to tea.",))
    assert verdict == Verdict(False, pytest.approx(0.25), 0.5, quote)


@pytest.mark.parametrize(
    "quote",
    ["milk oolong", "MILK  Oolong", "milk\noolong", ' "Milk oolong." ', "“milk oolong”", "Ｍilk oolong...", "oo"],
)
def test_a_quote_may_differ_in_case_spacing_and_its_ends(quote: str) -> None:
    assert is_quoted(quote, ("a tin", "Some milk oolong leaves"))


@pytest.mark.parametrize("quote", ["oolong milk", "milk and oolong", "tin some", "", " . ", "k", "...k", "m-"])
def test_a_quote_of_other_words_or_of_none_is_no_evidence(quote: str) -> None:
    assert not is_quoted(quote, ("a tin", "Some milk oolong leaves"))


@pytest.mark.parametrize("evidence", ["a mug", "", None, 7, ["tea"]])
def test_a_verdict_without_evidence_in_the_text_is_none(evidence: Any) -> None:
    content = json.dumps({"evidence": evidence, "verdict": "yes"})
    with pytest.raises(NoVerdict, match="evidence"):
        read_whole(content, None, texts=("A cup of tea.",))
    with pytest.raises(NoVerdict, match="evidence"):
        read_whole('{"verdict": "yes"}', None, texts=("A cup of tea.",))
