"""Reads a judge's answer into a verdict, with the probability behind it where the engine gives token probabilities.

`read_verdict` reads {"evidence": QUOTE, "verdict": "yes" | "no"}. The quote must stand in one of the texts that were
judged; case, spacing and the ends' punctuation may differ. P(yes) is taken at the token with which the verdict begins:
the probability of the tokens there that begin a yes, over that of those that begin a yes or a no. All others are left
out, since a constrained engine can't choose them. Without probabilities the word itself is the verdict.

`read_said` reads {"answer": CLAIM}, which the model was made to say. Its score is the geometric mean of the
probabilities of the value's tokens: what the model would have given each word had it been free. It stands in `p_yes`,
and means something only against a threshold fitted on known cases of the same question. An engine
that gives probabilities after its grammar (vLLM does) says nothing of the kind, and is found out: it calls every other
token impossible.

Which words are said often, whatever is given, is no sign that they fit. `contrast` holds a score against that of the
same words beside nothing in particular: domain-conditional PMI (Holtzman et al., "Surface Form Competition", EMNLP
2021), a token, as a share between 0 and 1.

What can't be read raises `NoVerdict`; it is never a no.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WORDS: Final = {"yes": True, "no": False}
ROUNDING: Final = 1e-3  # a server's probability of 1 may come with a logarithm a little above 0
IMPOSSIBLE: Final = -1000.0  # no model says so of a token it might choose; vLLM says -9999 of what a grammar forbids
_ENDS: Final = " .,;:!?…\"'`“”‘’«»()[]-–—*"
_VALUE: Final = r'"%s"\s*:\s*"((?:[^"\\]|\\.)*)"'


class NoVerdict(ValueError):
    """The answer is not the one that was asked for; the message says what it is instead."""


@dataclass(frozen=True)
class Verdict:
    """`threshold` is what `p_yes` was held against; both are None for a judge without token probabilities that was
    asked once."""

    verdict: bool
    p_yes: float | None
    threshold: float | None
    evidence: str = ""
    votes: int | None = None  # how many answers p_yes is the share of yes of, where it is one


def read_verdict(
    content: str, logprobs: Sequence[Mapping[str, Any]] | None, threshold: float = 0.5, *, texts: Sequence[str]
) -> Verdict:
    """Read a yes or a no.

    Args:
        content: the answer's text.
        logprobs: OpenAI's list, one entry a token: {"token", "logprob", "top_logprobs": [{"token", "logprob"}]}; None
            where the engine gives none.
        threshold: yes when P(yes) >= it.
        texts: what was judged.

    Raises:
        NoVerdict: the text is not such a JSON object, the evidence is in none of the texts, or the probabilities do
            not belong to the answer.
    """
    word = _value(content, "verdict")
    if word not in WORDS:
        raise NoVerdict(f'"verdict" must be yes or no, not {word[:80]!r}')
    evidence = _value(content, "evidence").strip()
    if not is_quoted(evidence, texts):
        raise NoVerdict(f"the evidence {evidence[:80]!r} is not in what was judged")
    if logprobs is None:
        return Verdict(WORDS[word], None, None, evidence)
    _check(logprobs)
    entry, before = next(_tokens_of(logprobs, "verdict"))
    p_yes = _share_of_yes(entry, before)
    return Verdict(p_yes >= threshold, p_yes, threshold, evidence)


def is_quoted(evidence: str, texts: Sequence[str]) -> bool:
    """Whether a quote stands in one of the texts. One without two letters or digits is none."""
    quote = _folded(evidence).strip(_ENDS)
    return sum(map(str.isalnum, quote)) >= 2 and any(quote in _folded(text) for text in texts)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def read_said(content: str, logprobs: Sequence[Mapping[str, Any]] | None, threshold: float) -> Verdict:
    """Read how probable the model found what it was made to say; arguments and errors as for `read_verdict`.

    Raises:
        NoVerdict: also where the engine gives no token probabilities, or not those of a model that was free to say
            something else: what was said is then no verdict at all.
    """
    _value(content, "answer")
    if logprobs is None:
        raise NoVerdict("the engine gives no token probabilities, and this form of judging is made of them")
    _check(logprobs)
    if any(float(other["logprob"]) < IMPOSSIBLE for entry in logprobs for other in entry.get("top_logprobs") or ()):
        raise NoVerdict("the engine's probabilities are those after the grammar; this form needs the model's own")
    values = [float(entry["logprob"]) for entry, _ in _tokens_of(logprobs, "answer")]
    score = math.exp(sum(values) / len(values))
    return Verdict(score >= threshold, score, threshold)


def contrast(said: Verdict | None, anyway: Verdict | None, threshold: float) -> Verdict:
    """One verdict of how likely a claim was beside what is given, and of how likely it is anyway: p / (p + p anyway).

    Raises:
        NoVerdict: one of the two is none, or no number came of either.
    """
    if said is None or anyway is None:
        raise NoVerdict("how likely the words are was not said both of what is given and of nothing in particular")
    assert said.p_yes is not None
    assert anyway.p_yes is not None
    total = said.p_yes + anyway.p_yes
    if total <= 0.0:
        raise NoVerdict("the words are too unlikely to be compared")
    share = said.p_yes / total
    return Verdict(share >= threshold, share, threshold)


def _value(content: str, name: str) -> str:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise NoVerdict(f"not JSON: {content[:80]!r}") from None
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value:
        raise NoVerdict(f'no "{name}" in {content[:80]!r}')
    return value


def _check(logprobs: Sequence[Mapping[str, Any]]) -> None:
    """They come from outside: whatever a server sends in their place is no verdict, and no number."""
    try:
        every = [one for entry in logprobs for one in (entry, *(entry.get("top_logprobs") or ()))]
        sound = all(isinstance(one["token"], str) and float(one["logprob"]) <= ROUNDING for one in every)
    except (AttributeError, KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise NoVerdict("the token probabilities are not lists of tokens with the logarithm of a probability each")


def _tokens_of(logprobs: Sequence[Mapping[str, Any]], name: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The tokens that hold part of a property's string value, each with what it holds in front of the value.

    Where the value stands is known only in the joined text: a token may hold a quote or a space as well.
    """
    found = re.search(_VALUE % name, "".join(str(entry["token"]) for entry in logprobs))
    if found is None:
        raise NoVerdict(f'the token probabilities hold no whole "{name}"')
    begin, end = found.span(1)
    position = 0
    for entry in logprobs:
        token = str(entry["token"])
        if position < end and position + len(token) > begin:
            yield entry, token[: max(0, begin - position)]
        position += len(token)


def _share_of_yes(entry: Mapping[str, Any], before: str) -> float:
    """`before`: what the chosen token holds in front of the value (a quote, a space); the others may hold it too."""
    offered = {str(other["token"]): float(other["logprob"]) for other in entry.get("top_logprobs") or []}
    offered.setdefault(str(entry["token"]), float(entry["logprob"]))
    mass = {True: 0.0, False: 0.0}
    for token, logprob in offered.items():
        kind = _kind(token.removeprefix(before))
        if kind is not None:
            mass[kind] += math.exp(logprob)
    total = mass[True] + mass[False]
    if total <= 0.0:
        raise NoVerdict(f"none of the tokens offered begins a yes or a no: {sorted(offered)[:8]}")
    return mass[True] / total


def _kind(token: str) -> bool | None:
    """True for what begins a yes, False for a no, None for anything else: "y" and "No" count, "not" does not."""
    word = token.strip(" \"'\n\t}\u2581\u0120").lower()
    return next((value for name, value in WORDS.items() if word and name.startswith(word)), None)
