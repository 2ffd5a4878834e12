"""A model that writes prompts by rules, behind the fake server in a process of its own: `python rule_reflector.py`.

It prints the base URL and serves until its standard input closes. It stands for a model that can write a prompt, which
the packaged one can't: of the world it knows what anybody knows of a few trades that the demo shop has nothing of, and
how a small model is told things: in few words, and by examples. Which way it takes depends on the request's seed alone,
so that it says the same to the same request. It neither knows the truth of a shop nor sees a held-out user.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from fake_server import FakeServer

MODEL = "rule-reflector"

# Trade, three of its things, and a moment of who follows it.
TRADES = (
    ("archery", ("recurve bow", "carbon arrows", "leather arm guard"), "flies straight to the middle of the target"),
    ("pottery", ("wheel trimming tool", "stoneware clay", "kiln glaze"), "lets you shape a bowl before the clay dries"),
    ("stargazing", ("red torch", "star atlas", "wide eyepiece"), "shows faint stars on a dark and clear night"),
    ("sailing", ("deck shoes", "rope cleat", "storm sail"), "holds fast when the wind turns and the deck is wet"),
    ("origami", ("folding bone", "washi paper", "paper cutter"), "makes every fold of the paper crane sharp and clean"),
    ("fencing", ("practice foil", "mesh mask", "fencing glove"), "keeps your hand safe when the blades meet"),
)
NAMES = (
    "Each line is a kind and a product. Name the hobby that all the lines belong to, in one to three words. If the "
    "kind before the colon says it, use that.",
    "Name the pastime that most of these products are for. Say the kind of pastime, never one product of it.",
    "What does somebody who buys these products like to do? Answer in one to three plain words.",
)
TAGS = (
    "You suggest what a shopper with this interest could look for next. Choose only what the interest itself needs.",
    "For the interest, choose kinds of products that somebody uses while doing it. No brand, nothing of another hobby.",
    "Pick the product that belongs to the interest most closely, in each place.",
)
LINES = (
    "Finish the sentence: what the product does while the shopper follows the interest. Name something of it.",
    "Say in a few plain words how this product helps with the interest, and use a word that belongs to it.",
    "Say what goes better for somebody with this interest when they use the product. No praise.",
)


def answer(body: dict[str, Any]) -> str:
    schema = body["response_format"]["json_schema"]["schema"]
    seed = int(body["seed"])
    found = {"findings": "What is said is not of the interest itself.", "system": "", "examples": []}
    pairs = schema["properties"].get("examples", {}).get("items", {}).get("properties", {})
    said = set(pairs.get("answer", {}).get("properties", {}))
    few = TRADES[seed % len(TRADES) :] + TRADES[: seed % len(TRADES)]
    few = few[: 3 + seed // len(TRADES) % 3]
    if "interest" in said:
        found |= {"system": NAMES[seed % len(NAMES)], "examples": [named(*trade) for trade in few]}
    elif "tags" in said:
        found |= {"system": TAGS[seed % len(TAGS)], "examples": [tagged(*trade) for trade in few]}
    else:
        found |= {"system": LINES[seed % len(LINES)], "examples": [explained(*trade) for trade in few]}
    return json.dumps({name: found[name] for name in schema["required"]})


def named(trade: str, things: tuple[str, ...], _: str) -> dict[str, Any]:
    lines = "\n".join(f"- {trade}: {thing}" for thing in things)
    return {"input": {"products": lines}, "answer": {"interest": trade}}


def tagged(trade: str, things: tuple[str, ...], _: str) -> dict[str, Any]:
    return {"input": {"interest": trade}, "answer": {"tags": list(things)}}


def explained(trade: str, things: tuple[str, ...], moment: str) -> dict[str, Any]:
    line = f"For {trade}: a {things[0]} that {moment}."
    return {"input": {"interest": trade, "product": things[0]}, "answer": {"explanation": line}}


if __name__ == "__main__":
    server = FakeServer(models=[MODEL], answer=answer, keep=False)
    print(server.start().base_url, flush=True)
    sys.stdin.read()
    server.stop()
