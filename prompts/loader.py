"""Reads a prompt file and fills it in.

A prompt is a Markdown file that a person can read in a diff: YAML front matter (`task`, `variables`, `schema`,
`max_tokens`), then a body in `## system`, `## user` and `## assistant` parts, in the order in which they are sent. The
fixed parts come first and the last part is the user's, so that a server's prefix cache is hit. `{{name}}` stands for a
variable; all are substituted in one pass, so a value that holds `{{other}}` stays as it is. A line `## system` inside a
value can't become a message either: the file is cut before anything is filled in. Text between the front matter and
the first heading is a note to the reader and is never sent.

A file that breaks these rules is refused when it is loaded, never when it is used. `version` is the sha256 of the
file's bytes: two files with one version are the same prompt.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent
ROLES: Final = ("system", "user", "assistant")
_HEADING = re.compile(r"^## (\S+)[ \t]*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_KEYS: Final = {"task", "variables", "schema", "max_tokens"}


class PromptError(ValueError):
    """A prompt file, or a call of `messages`, breaks a rule; the message names the file and the remedy."""


@dataclass(frozen=True)
class Prompt:
    """One prompt file. `schema` is the JSON schema of the answer; a stage may narrow it (see `prompts.one_of`)."""

    task: str
    variables: tuple[str, ...]
    schema: dict[str, Any]
    max_tokens: int
    text: str  # the raw file
    version: str  # "sha256:..." of the file's bytes
    parts: tuple[tuple[str, str], ...] = field(repr=False)  # (role, template), in order

    def messages(self, **variables: str) -> list[dict[str, str]]:
        """The chat to send, [{"role": ..., "content": ...}].

        Raises:
            PromptError: a variable is missing, or one is given that the file does not declare.
        """
        missing, unknown = set(self.variables) - set(variables), set(variables) - set(self.variables)
        if missing or unknown:
            wrong = [f"missing {name}" for name in sorted(missing)] + [f"unknown {name}" for name in sorted(unknown)]
            raise PromptError(f"prompt {self.task}: {', '.join(wrong)}; it takes {', '.join(self.variables) or 'none'}")
        return [
            {"role": role, "content": _PLACEHOLDER.sub(lambda match: variables[match[1]], template)}
            for role, template in self.parts
        ]

    def example_answers(self, name: str) -> tuple[str, ...]:
        """What the file's own examples answer under `name`. A model that says one of these has not read its input."""
        answers = (json.loads(template) for role, template in self.parts if role == "assistant")
        return tuple(str(answer[name]) for answer in answers)


def load(task: str, folder: Path | None = None) -> Prompt:
    """Read `<task>.md` from `folder`, or from the packaged prompts.

    Raises:
        PromptError: there is no such file, or it breaks a rule of the format.
    """
    file = (folder or FOLDER) / f"{task}.md"
    try:
        return _read(task, file, file.read_bytes())
    except FileNotFoundError:
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.md"))) or "none"
        raise PromptError(f"no prompt {file}; this folder has: {known}") from None


def parse(task: str, text: str, origin: str = "the store") -> Prompt:
    """A prompt out of its file's text, by the same rules. `origin`: where it stands, for the message.

    Raises:
        PromptError: it breaks a rule of the format.
    """
    return _read(task, Path(f"{origin}: {task}.md"), text.encode())


@lru_cache(maxsize=256)  # stages load a prompt for each user, and to parse the YAML takes 2 ms
def _read(task: str, file: Path, raw: bytes) -> Prompt:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(f"{file} is not UTF-8: {error}") from None
    head, body = split(text, file)
    if set(head) != _KEYS:
        raise PromptError(f"{file}: the front matter must hold exactly {', '.join(sorted(_KEYS))}; it has {list(head)}")
    parts, variables = parts_of(body, file), tuple(head["variables"] or ())
    used = {name for _, template in parts for name in _PLACEHOLDER.findall(template)}
    if head["task"] != task:
        raise PromptError(f"{file}: its task is {head['task']!r}; name the file after its task")
    if used != set(variables):
        raise PromptError(f"{file}: variables declared {sorted(variables)}, used {sorted(used)}; make them agree")
    if not isinstance(head["schema"], dict) or not isinstance(head["max_tokens"], int) or head["max_tokens"] < 1:
        raise PromptError(f"{file}: schema must be a mapping and max_tokens a positive number")
    version = "sha256:" + hashlib.sha256(raw).hexdigest()
    return Prompt(task, variables, head["schema"], head["max_tokens"], text, version, parts)


def split(text: str, file: Path) -> tuple[dict[str, Any], str]:
    """Cut a file into its front matter, parsed, and its body."""
    before, *rest = re.split(r"^---[ \t]*$", text, maxsplit=2, flags=re.MULTILINE)
    if before.strip() or len(rest) != 2:
        raise PromptError(f"{file}: no front matter; start the file with YAML between two lines of ---")
    try:
        head = yaml.safe_load(rest[0])
    except yaml.YAMLError as error:
        raise PromptError(f"{file}: the front matter is not YAML: {error}") from None
    if not isinstance(head, dict):
        raise PromptError(f"{file}: the front matter must be a mapping")
    return head, rest[1]


def parts_of(body: str, file: Path) -> tuple[tuple[str, str], ...]:
    """The (role, template) pairs of a body."""
    _, *rest = _HEADING.split(body)  # text before the first heading is a note for people, and is not sent
    parts = tuple((role, template.strip()) for role, template in zip(rest[::2], rest[1::2], strict=True))
    wrong = sorted({role for role, _ in parts} - set(ROLES))
    if wrong:
        raise PromptError(f"{file}: headings must be ## system, ## user or ## assistant, not {', '.join(wrong)}")
    if not parts or parts[-1][0] != "user":
        raise PromptError(f"{file}: the last part must be ## user; it is what the model answers")
    return parts
