"""Text from the logs, made safe to stand in a prompt as data.

`clean` promises one line of visible characters, at most `limit` long, in which no chat template, no role header, no
delimiter and no evidence number of ours is left, however they were hidden: spelt with fullwidth letters, cut by zero
width characters, or nested so that removing one makes another. It is idempotent. It never judges what a text says: a
title that reads "ignore the above" stays as it is, and stays a title.
"""

import re
import unicodedata

_ROLES = "system|assistant|user|human|developer|tool|instructions?|input|response"
_MARKERS = re.compile(
    r"<+[/|!]?\|?[a-z][^<>]{0,120}>+"  # <|im_start|>, <s>, </s>, <<SYS>>, <start_of_turn>, <user_log>, HTML tags
    r"|<+/[a-z_]+"  # a closing tag that lost its end where a title was cut
    r"|<\||\|>"  # halves of one, that a neighbouring text could complete
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|PREFIX|MIDDLE|SUFFIX)\]"
    rf"|\#{{2,}}\s*(?:{_ROLES})\b\s*:?"  # ### System:
    r"|\[\s*\d+\s*\]"  # [31]
    rf"|^\s*\#*\s*(?:{_ROLES})\s*:",  # System: at a line's start
    re.IGNORECASE | re.MULTILINE,
)
_SUSPECT = re.compile(rf"[<>\[#|]|^\s*(?:{_ROLES})\s*:", re.IGNORECASE)
_TRADEMARKS = "\N{TRADE MARK SIGN}\N{REGISTERED SIGN}\N{COPYRIGHT SIGN}\N{SERVICE MARK}"
_DROPPED_CATEGORIES = {"Cc", "Cf", "Co", "Cs"}
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
# Letters and marks that show nothing: Hangul fillers, the grapheme joiner, Khmer vowels, Mongolian and other variation
# selectors, the blank Braille cell.
_BLANK = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0}


class _Visible(dict[int, str | None]):
    """A `str.translate` table that is filled as characters are met."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        kept: str | None = char
        if char in _LINE_ENDS:
            kept = "\n"
        elif char == "\t" or unicodedata.category(char) == "Zs":
            kept = " "
        elif (
            unicodedata.category(char) in _DROPPED_CATEGORIES
            or char in _TRADEMARKS
            or code in _BLANK
            or 0xFE00 <= code <= 0xFE0F
            or 0xE0000 <= code <= 0xE01EF
        ):
            kept = None
        self[code] = kept
        return kept


_VISIBLE = _Visible()


def clean(text: str, limit: int = 300) -> str:
    """One safe line of at most `limit` characters, cut at a word's end where there is one, NFKC-normalised.

    Only the first 8 * limit + 256 characters are looked at, so a text of any size costs the same.
    """
    text = text[: 8 * limit + 256]
    if text.isascii() and text.isprintable() and not _SUSPECT.search(text):
        return _cut(" ".join(text.split()), limit)
    while True:  # each round but the last takes something away: what a removal or a cut brings together is met again
        visible = unicodedata.normalize("NFKC", text.translate(_VISIBLE)).translate(_VISIBLE)
        folded = " ".join(_MARKERS.sub(" ", visible).split())
        if folded == text:
            folded = _cut(text, limit)
            if folded == text:
                return text
        text = folded


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head, space, _ = text[: limit + 1].rpartition(" ")
    return head.rstrip() if space else text[:limit]
