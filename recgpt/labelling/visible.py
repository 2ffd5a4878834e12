"""Text from the logs and from models, made safe to show to a person.

What can move a cursor, colour a terminal, set a window's title, turn the reading direction around or hide letters is
written out as an escape (`\\x1b`, `\\u202e`) instead of being sent, so that the person sees that it is there. Line ends
stay, and so do the joiners that some scripts and emoji are spelt with. Nothing else is changed: the person is to judge
what the model judged. HTML is not this module's business; the templates escape it.
"""

import unicodedata
from typing import Final

_SPOKEN: Final = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
_KEPT: Final = {"\n", "\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}


def visible(text: str) -> str:
    """The text with every character that is not to be sent written out. Idempotent."""
    if text.isprintable():
        return text
    return "".join(_shown(char) for char in text.replace("\r\n", "\n").replace("\t", " "))


def one_line(text: str) -> str:
    """`visible`, with line ends written out too: a name that has them must not look like two."""
    return visible(text).replace("\n", "\\n")


def _shown(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in _SPOKEN:
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
