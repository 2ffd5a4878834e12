"""A judge that knows a demo shop's categories, behind the fake server: it stands for a model that can judge.

The packaged model can't: its kappa on most criteria is near 0, and what is tuned on such labels says nothing of tuning.
This one reads the question as any judge does, compares categories by the sentence encoder, and knows no user and no
label. It tells categories as the loop's truth does, so the two agree more than a model and people would; by a hash of
what it is shown it errs in `ERRS` of its answers, so that its passport is that of a good judge and not of an oracle. It
gives the probabilities of yes and no, and quotes the claim.
"""

import hashlib
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from fake_server import Answer, FakeServer

MODEL = "rule-judge"
ERRS = 0.1
SURE = 0.9  # the probability of its answer
_TARGET = re.compile(r"<given>\n(.*?)\n</given>\n<claim>\n(.*?)\n</claim>", re.DOTALL)


class Shop(Protocol):
    """What it knows."""

    def category_named(self, name: str) -> str: ...
    def category_described(self, text: str) -> str: ...
    def category_of_tag(self, tag: str) -> str: ...
    def category_of_product(self, phrase: str) -> str: ...


def right(shop: Shop, given: str, claim: str) -> bool:
    """Whether the claim is of the category of what is given."""
    if given.startswith("- "):
        kinds = Counter(line.removeprefix("- ").partition(":")[0] for line in given.splitlines())
        return shop.category_named(claim).lower() == kinds.most_common(1)[0][0]
    if given.startswith("Interest: "):
        interest, _, product = given.removeprefix("Interest: ").partition("\nProduct: ")
        said = what_is_said(claim, interest)
        return shop.category_described(said) == shop.category_of_product(product)
    return shop.category_of_tag(claim) == shop.category_named(given)


def what_is_said(line: str, interest: str) -> str:
    """Of "For INTEREST: a PRODUCT that SAID": what is said, without the interest."""
    said = line.partition(":")[2].partition(" that ")[2] or line
    return said.replace(interest, "")


def serve(shop: Shop) -> FakeServer:
    """The judge at work, in a thread of this process until that ends."""
    return FakeServer(models=[MODEL], answer=lambda body: answer(shop, body), keep=False).start()


def answer(shop: Shop, body: dict[str, Any]) -> Answer:
    """The answer to a judge's question, and its tokens with their probabilities."""
    found = _TARGET.search(body["messages"][-1]["content"])
    assert found is not None
    given, claim = found.groups()
    chance = int.from_bytes(hashlib.sha256(f"{given}\n{claim}".encode()).digest()[:4]) / 2**32
    yes = right(shop, given, claim) != (chance < ERRS)
    said, other = ("yes", "no") if yes else ("no", "yes")
    begin = json.dumps({"evidence": claim[:200].strip()}, ensure_ascii=False).removesuffix("}") + ', "verdict": "'
    offered = [{"token": said, "logprob": math.log(SURE)}, {"token": other, "logprob": math.log(1 - SURE)}]
    tokens = [
        {"token": begin, "logprob": 0.0, "top_logprobs": []},
        {**offered[0], "top_logprobs": offered},
        {"token": '"}', "logprob": 0.0, "top_logprobs": []},
    ]
    return Answer(begin + said + '"}', logprobs=tokens)
