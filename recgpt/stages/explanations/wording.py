"""Wordings that a line under a product must not have: markup, slogans, exaggeration, phrases that fit any product,
claims about health, dates, and talk about its reader. The gates let a product's own record excuse them.
"""

import re
from typing import Final


def _any(*forms: str) -> re.Pattern[str]:
    """Any of these, in whole words."""
    return re.compile(rf"\b(?:{'|'.join(forms)})(?!\w)", re.IGNORECASE)


BROKEN: Final = re.compile(r"[,;:–'’-]\W*$")
MARKUP: Final = re.compile(r"https?:|www\.|[<>{}\[\]|*_#@\\]|\.\.\.$|…$", re.IGNORECASE)
SHOUT: Final = re.compile(
    r"!|^(?:discover|experience|elevate|unlock|introducing|imagine|indulge|embrace)\b", re.IGNORECASE
)
SLOGAN: Final = _any(
    r"must[- ]haves?", r"a must", r"(?:order|buy|shop|try) (?:now|today|yours)", r"hurry", r"don['’]?t miss",
    r"limited time", r"once in a lifetime", r"look no further", r"say (?:goodbye|hello)", r"treat yourself",
    r"game[- ]chang\w+", r"next level", r"unleash\w*", r"elevat\w+ (?:your|the|any)", r"(?:of|than) your dreams",
    r"dream come true", r"transform\w* (?:your|any)", r"joy to your", r"your new favou?rite",
)  # fmt: skip
EXAGGERATION: Final = _any(
    r"perfect(?:ly|ion)?(?! (?:your|their|his|her))", r"ultimate", r"amazing\w*", r"incredibl\w+", r"unbeatable",
    r"un(?:match|rivall?|parallel|surpass)ed", r"revolution(?:ary|is\w+|iz\w+)", r"world[- ]class", r"in the world",
    r"the (?:very )?best", r"best[- ](?:in[- ]class|seller|selling)", r"finest (?:quality|materials?)", r"guarantee\w*",
    r"never again", r"forever", r"luxur\w+", r"exceptional\w*", r"extraordinar\w+", r"superior", r"outstanding",
    r"unforgettable", r"magical\w*", r"miracle", r"flawless\w*", r"like never before", r"fantastic", r"awesome",
    r"stunning\w*",
)  # fmt: skip
GENERIC: Final = _any(
    r"(?:high|top|great|good|best|excellent)[- ]quality", r"premium", r"stylish\w*", r"versatile", r"essential",
    r"(?:variety|range|number) of (?:purposes|uses|ways|occasions|needs|situations|things)",
    r"(?:all|any|every|many|different) (?:occasions?|purposes?|needs)",
    r"(?:fits?|suits?|meets?) (?:all )?(?:your|any|every) (?:needs?|lifestyle|taste|style)",
    r"(?:great|good|nice|excellent|ideal|wonderful|lovely|useful|handy) "
    r"(?:choice|addition|product|option|gift|item|companion)",
    r"something for everyone", r"(?:life|lives) (?:easier|better)", r"you(?:['’]ll| will) (?:love|like|enjoy)",
    r"this (?:product|item)", r"can be used\W*$",
)  # fmt: skip
HEALTH: Final = _any(
    r"health\w*", r"well-?being", r"wellness", r"heal(?:s|ing)?",
    r"cur(?:e|es|ed|ing)(?! (?:meat|ham|fish|epoxy|resin))",
    r"relie(?:f|ve\w*) (?:\w+ )?(?:pain|stress|tension|muscles?|aches?|sore\w*|symptoms?|anxiety)", r"relief from",
    r"(?:stress|pain|anxiety|muscle) relief",
    r"(?:reduces?|eases?|fights?|less|without|no|any) (?:\w+ )?(?:stress|pains?|anxiety|aches?)",
    r"anti-?ag(?:e|ing)", r"wrinkles?", r"fine lines", r"complexion", r"detox\w*", r"immun\w+", r"metabolism",
    r"(?:lose|losing) weight", r"weight[- ]loss", r"therap\w+", r"clinical\w*", r"medic(?:al|in)\w*", r"liver",
    r"blood pressure", r"diseases?", r"injur(?:y|ies)",
    r"improves? your (?:skin|sleep|mood|digestion|circulation|memory|focus|vision)",
)  # fmt: skip
DATED: Final = _any(
    r"(?:winter|summer|autumn|springtime)\w*",
    r"(?:christmas|xmas|easter|halloween|thanksgiving|valentine|hanukkah|ramadan|diwali)\w*",
    r"(?:this|next|coming|early|late|in|every) (?:spring|fall)(?![- ]loaded)", r"black friday", r"new year\w*",
    r"(?:this|next|coming|last) (?:season|month|week|weekend|year|holidays?)", r"today", r"tonight", r"tomorrow",
    r"right now", r"january", r"february", r"april", r"june", r"july", r"august", r"september", r"october", r"november",
    r"december",
)  # fmt: skip
PERSONAL: Final = _any(
    r"you(?:['’]ve| have)? (?:\w+ly |already |just |once |often )?(?:bought|purchased|viewed|looked|searched|browsed|"
    r"ordered|liked|owned|own|been|rated|favou?rited|carted)",
    r"because you", r"based on your", r"your (?:past|previous|recent|earlier) \w+",
    r"your (?:purchases?|orders?|history|searches|age|gender|income|wife|husband|girlfriend|boyfriend|children|kids|"
    r"city|neighbou?rs?)",
    r"people like you", r"at your age", r"as an? (?:man|woman|mother|father|mum|mom|dad|student|pensioner|senior)",
    r"(?:other|another) (?:users?|customers?|shoppers?)", r"customers? (?:also|who|love)",
)  # fmt: skip
