"""A reflection: what a model is shown of a prompt's failures, and the prompt that is made of its answer.

What it writes is the instruction and, where the prompt has examples, new ones. The rest of the file stays as it is: the
front matter, the note to the reader, the user's part with the marks around data, and the paragraph that says that what
stands between them is data. So a reflection can make a prompt worse, and then it is not taken, but not unsafe.
"""

import copy
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import prompts
from judges import Criterion, Verdict
from prompts import Prompt
from recgpt.engine.requests import Reply
from recgpt.labels.targets import Target
from recgpt.stages.answers import Refused, read_json, read_text
from recgpt.tuning.trial import Turn

TUNED: Final = "Tuned by 'recgpt tune prompts' from {parent}."
EXAMPLES: Final = 8  # the most that a prompt has
FIELD_CHARS: Final = 400  # of a text in an example
ONE_CHARS: Final = 1500  # of one question, or of one answer, that a reflection is shown
GIVEN_CHARS: Final = 200
_TUNED = re.compile(r"^Tuned by 'recgpt tune prompts' from \S+\n?", re.MULTILINE)
_MARKS = re.compile(r"</?(?:criteria|prompt|shown|refused)>", re.IGNORECASE)
_HEADING = re.compile(r"^##[ \t]|^---", re.MULTILINE)
_GUARD = re.compile(r"\b(?:is|are) data\b.*\binstructions?\b", re.DOTALL)


def schema(prompt: Prompt) -> dict[str, Any]:
    """What a reflection on this prompt answers."""
    asked = copy.deepcopy(prompts.load("reflection").schema)
    if _has_examples(prompt):
        text = {"type": "string", "minLength": 1, "maxLength": FIELD_CHARS}
        pair = _object(input=_object(**dict.fromkeys(prompt.variables, text)), answer=prompt.schema)
        asked["properties"]["examples"] = {"type": "array", "minItems": 0, "maxItems": EXAMPLES, "items": pair}
        asked["required"] = [*asked["required"], "examples"]
    return asked


def variables(
    prompt: Prompt, criteria: Mapping[str, Criterion], cases: Sequence[str], most: int, refused: str = ""
) -> dict[str, str]:
    """What the reflection prompt is filled with.

    Args:
        cases: one of `case` each, the worst first; whole ones, as far as `most` characters allow.
    """
    kept: list[str] = []
    for one in cases:
        if kept and sum(map(len, kept)) + len(one) > most:
            break
        kept.append(one[:most])
    said = "\n".join(
        f"- {name}: {one.question} Yes: {one.parts['yes']} No: {one.parts['no']}" for name, one in criteria.items()
    )
    return {"criteria": said, "prompt": _plain(_body(prompt)), "shown": "\n\n".join(kept), "refused": _plain(refused)}


def case(prompt: Prompt, turn: Turn, score: float) -> str:
    """One user's turn in words: what was asked and answered, what was found wrong with what came of it, what passed."""
    lines = [f"# {100 * score:.0f} of 100"]
    for reply in turn.replies:
        if reply.request.task == prompt.task:
            lines += [f"Asked:\n{_asked(reply)}", f"Answered:\n{_cut(reply.content, ONE_CHARS)}"]
    lines += [f"Refused before it was judged, {one.gate}: {_cut(str(one), ONE_CHARS)}" for one, _ in turn.refusals]
    lines += [_judged(target, said) for target, said in turn.rows]
    return _plain("\n".join(lines))


def failures(turns: Iterable[Turn]) -> dict[str, int]:
    """How often each criterion and each gate failed."""
    found = Counter[str]()
    for turn in turns:
        found.update(f"gate {one.gate}" for one, _ in turn.refusals)
        found.update(name for _, said in turn.rows for name, verdict in said.items() if not verdict.verdict)
    return dict(found.most_common())


def written(parent: Prompt, origin: Prompt, reply: Reply, shown: str) -> Prompt:
    """The prompt that a reflection on `parent` wrote.

    Args:
        origin: the prompt that tuning began with; the file names it.
        shown: what the reflection was shown, of which nothing may become an example.

    Raises:
        Refused: the answer makes no prompt; the detail is written for the model that is to try again.
    """
    system = read_text(reply, "system").strip()
    if _HEADING.search(system) or "{{" in system or "}}" in system:
        raise Refused("form", system, "a line of the system text begins with ## or ---, or the text holds {{ or }}")
    if len(system) < prompts.load("reflection").schema["properties"]["system"]["minLength"]:
        raise Refused("form", system, "there is hardly any system text")
    for paragraph in _guards(parent):
        if paragraph not in system:
            system += f"\n\n{paragraph}"
    examples = _examples(parent, reply, shown) if _has_examples(parent) else []
    middle = examples or parent.parts[1:-1]
    parts = [("system", system), *middle, parent.parts[-1]]
    if parts == list(parent.parts):
        raise Refused("same", system, "that is the prompt as it is: change what it says")
    body = "\n".join(f"## {role}\n{text}\n" for role, text in parts)
    try:
        return prompts.parse(parent.task, f"{_head(parent, origin)}{body}")
    except prompts.PromptError as error:
        raise Refused("form", system, str(error)) from None


def _examples(parent: Prompt, reply: Reply, shown: str) -> list[tuple[str, str]]:
    listed = read_json(reply).get("examples", [])
    wanted, form, parts = set(parent.schema["required"]), parent.parts[-1][1], list[tuple[str, str]]()
    for one in listed if isinstance(listed, list) else []:
        try:
            given = {name: str(one["input"][name]).strip() for name in parent.variables}
            answer = dict(one["answer"])
        except (KeyError, TypeError, ValueError):
            raise Refused("example", str(one), "an example has an input of all fields and an answer") from None
        text = form
        for name, value in given.items():
            text = text.replace("{{" + name + "}}", value)
        if set(answer) != wanted:
            raise Refused("example", str(answer), f"the answer of an example has {', '.join(sorted(wanted))}")
        if not all(given.values()) or any(mark in f"{text}{answer}" for mark in ("{{", "}}")) or _HEADING.search(text):
            raise Refused("example", text, "an input is empty, a line begins with ## or ---, or it holds {{ or }}")
        if any(_folded(value) in _folded(shown) for value in given.values()):
            raise Refused("example", text, "an example's input was shown: make up another, of another trade")
        parts += [("user", text), ("assistant", json.dumps(answer, ensure_ascii=False))]
    return parts


def _has_examples(prompt: Prompt) -> bool:
    return any(role == "assistant" for role, _ in prompt.parts)


def _guards(prompt: Prompt) -> list[str]:
    """The paragraphs that say that what was filled in is data."""
    found = re.split(r"\n[ \t]*\n", prompt.parts[0][1])
    return [one.strip() for one in found if _GUARD.search(one)]


def _head(parent: Prompt, origin: Prompt) -> str:
    """The file up to its first part, with a line that says where it is from."""
    head = _TUNED.sub("", parent.text[: re.search(r"^## ", parent.text, re.MULTILINE).start()])  # type: ignore[union-attr]
    return f"{head.rstrip()}\n\n{TUNED.format(parent=origin.version)}\n\n"


def _body(prompt: Prompt) -> str:
    return "\n".join(f"## {role}\n{text}\n" for role, text in prompt.parts)


def _asked(reply: Reply) -> str:
    """The last message: all that differs from one question to the next."""
    return _cut(str(json.loads(reply.request.body)["messages"][-1]["content"]), ONE_CHARS)


def _judged(target: Target, said: Mapping[str, Verdict]) -> str:
    wrong = [f"{name}{_why(verdict)}" for name, verdict in said.items() if not verdict.verdict]
    found = f"fails {', '.join(wrong)}" if wrong else "passes" if said else "not judged"
    given = " | ".join(_cut(target.given, GIVEN_CHARS).splitlines())
    return f"Judged: {target.claim} (for: {given}): {found}"


def _why(verdict: Verdict) -> str:
    return f' ("{verdict.evidence}")' if verdict.evidence else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."


def _plain(text: str) -> str:
    """Without the marks that it stands between, so that it can't close its own."""
    return _MARKS.sub(" ", text)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _object(**values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": values, "required": list(values), "additionalProperties": False}
