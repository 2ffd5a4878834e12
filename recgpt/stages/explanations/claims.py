"""What a line under a product must not claim unless the product's record does: properties, materials, numbers, prices.

Each function returns the words that claim it, or None. They judge words, not meaning, so they are written to let
ordinary sentences pass: a material counts where it is said of the product or a part of it ("a leather strap", "made of
oak"), not where it is what the product is used on ("lets wool glide").
"""

import re
from typing import Final

from recgpt.stages.gates import SMALL, STEM, words

# One claim a line, in all its forms: a record that has one form allows the others.
_PROPERTIES: Final = tuple(
    re.compile(rf"\b(?:{forms})\b", re.IGNORECASE)
    for forms in (
        r"water-?proof\w*|water-?(?:resistant|repellent|tight)|sheds? water", r"wind-?proof\w*|wind-?resistant",
        r"rust-?(?:proof|resistant|free)|never rusts?", r"(?:heat|fire|flame)-?(?:proof|resistant)|oven-safe",
        r"(?:shock|crush|scratch|stain|tear|puncture|fade|splash|dust)-?(?:proof|resistant)",
        r"unbreakable|shatterproof", r"breathab\w+", r"wireless\w*|cordless|bluetooth|wi-?fi",
        r"rechargeab\w+|usb(?:-c)?", r"solar(?:-powered)?", r"organic\w*(?! (?:matter|waste|material|chemistry))",
        r"vegan|cruelty-free|plant-based", r"hand-?(?:made|crafted|forged|stitched|sewn|woven|blown|carved)",
        r"recycled|recyclable|biodegradab\w+|compostab\w+|sustainab\w+|eco-?friendly|plastic-free",
        r"foldable|collapsib\w+|folds? (?:flat|up|away|down)|packs? (?:flat|down|away)", r"portab\w+",
        r"compact(?! the\b)|space-?saving", r"adjustab\w+",
        r"(?:dish|machine)-?wash\w*|(?:dishwasher|microwave)-safe|washable",
        r"(?:ultra-?)?light-?weight|ultra-?light", r"insulat\w+|double-walled", r"padded|padding",
        r"durab\w+|long-?lasting", r"ergonomic\w*", r"(?:non|anti)-?slip|slip-resistant",
        r"hypoallergenic|dermatolog\w+", r"noise-?cancell?ing", r"dimmab\w+", r"reversib\w+",
        r"(?:removab|detachab)\w+", r"telescop\w+", r"automatic\w*", r"magnet\w+", r"self-(?:\w+ing)",
        r"interchangeab\w+", r"stackab\w+", r"scented|perfumed", r"certified|warranty|award-winning", r"patented",
        r"(?:italian|german|japanese|swiss|french|scandinavian)-?(?:made| design| quality)",
    )
)  # fmt: skip
_FREE: Final = re.compile(r"\b(?!hands|hassle|stress|worry|care|trouble|tangle|mess)\w+-free\b", re.IGNORECASE)
_WOODS: Final = (
    "bamboo", "beech", "birch", "cedar", "chestnut", "mahogany", "maple", "oak", "pine", "spruce", "teak", "walnut",
    "wood", "wooden", "timber", "plywood",
)  # fmt: skip
_MATERIALS: Final = (
    *_WOODS, "acrylic", "alpaca", "aluminium", "aluminum", "brass", "bronze", "canvas", "carbon", "cashmere",
    "cast-iron", "ceramic", "copper", "cork", "cotton", "denim", "elastane", "fleece", "foam", "glass", "gold",
    "granite", "iron", "kevlar", "latex", "leather", "linen", "marble", "merino", "mesh", "microfibre",
    "microfiber", "neoprene", "nylon", "plastic", "polyester", "porcelain", "rubber", "silicone", "silk",
    "silver", "spandex", "stainless", "steel", "stone", "suede", "titanium", "velvet", "wool", "woollen",
)  # fmt: skip
_IMPLIES: Final = {"wood": _WOODS, "wooden": _WOODS, "timber": _WOODS, "wool": ("merino", "woollen", "alpaca"),
                   "steel": ("stainless",), "aluminum": ("aluminium",), "aluminium": ("aluminum",)}  # fmt: skip
_PARTS: Final = frozenset((
    "base", "blade", "body", "bristle", "build", "buckle", "case", "casing", "coating", "construction", "core",
    "cover", "fabric", "fill", "filling", "finish", "frame", "grip", "handle", "head", "hinge", "inner",
    "insole", "interior", "jaw", "leg", "lid", "lining", "material", "mount", "outer", "panel", "plate",
    "sheath", "shell", "sole", "strap", "surface", "teeth", "tip", "upper", "wall", "weave", "wheel", "zip",
))  # fmt: skip
_MADE: Final = re.compile(
    r"\b(?:made|built|crafted|carved|cut|turned|forged|woven|knitted|sewn|cast|constructed)\s+"
    r"(?:entirely |only |by hand )?(?:of|from|out of|in)\s+((?:[\w'’-]+\s*){1,5})",
    re.IGNORECASE,
)
_PURE: Final = frozenset(("solid", "genuine", "pure", "real", "full-grain", "brushed", "polished", "natural", "fine"))
_SUBJECT: Final = frozenset(("a", "an", "the", "this", "these", "its", "with"))  # before a product
_UNITS: Final = (
    r"(?:hours?|minutes?|seconds?|days?|weeks?|months?|years?|people|persons?|litres?|liters?|per ?cent|metres?|"
    r"meters?|miles?|kilometres?|grams?|kilos?|kilograms?|ounces?|inch(?:es)?|feet|degrees?|watts?|volts?|gears?|speeds?|"
    r"layers?|pockets?|compartments?|colours?|colors?|sizes?|settings?|levels?|pieces?|servings?|cups?|times|packs?)"
)
_NUMBERS: Final = {word: number for number, word in enumerate(
    ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), 2)}  # fmt: skip
_COUNTED: Final = re.compile(
    rf"\b({'|'.join(_NUMBERS)}|twenty|thirty|forty|fifty|hundreds?(?: of)?|thousands?(?: of)?|dozens?(?: of)?)"
    rf"(?:[- ]\w+)?[- ]{_UNITS}\b",
    re.IGNORECASE,
)
_DIGITS: Final = re.compile(r"\d+(?:[.,]\d+)*")
_PRICE: Final = re.compile(
    r"[$€£¥₹]|\b(?:(?:low|great|good|best|fair|half|full|sale) price[ds]?|pric(?:es?|ed|ing)|cheap\w*|afford\w*|"
    r"bargain\w*|discount\w*|on sale|special offer|free (?:shipping|delivery)|(?:value|worth) (?:for|the|your) money|"
    r"good value|inexpensive|budget-friendly|saves? (?:you )?money|euros?|dollars?)\b",
    re.IGNORECASE,
)


def property_(text: str, known: str) -> str | None:
    """A property that `text` claims and `known` does not have in any form."""
    for forms in _PROPERTIES:
        said = forms.search(text)
        if said and not forms.search(known):
            return said[0]
    return next((one[0] for one in _FREE.finditer(text) if one[0].lower() not in known.lower()), None)


def material(text: str, known: str) -> str | None:
    """A material that `text` says the product, or a part of it, is of, and `known` does not name."""
    has, stems = words(known), {word[:STEM] for word in words(known)}

    def is_known(one: str) -> bool:
        return any(word.startswith(form) for form in (one, *_IMPLIES.get(one, ())) for word in has)

    for made in _MADE.finditer(text):
        of = [word for word in words(made[1]) if word not in SMALL]
        if of and not any(word[:STEM] in stems or (word in _MATERIALS and is_known(word)) for word in of):
            return made[0].strip()
    said = words(text)
    for place, word in enumerate(said):
        one, _, joined = word.partition("-")
        if word in _MATERIALS:
            one, joined = word, ""
        if one not in _MATERIALS or is_known(one):
            continue
        after = joined or next(iter(said[place + 1 : place + 2]), "")
        is_pure = place > 0 and said[place - 1] in _PURE
        if is_pure or (after and after not in SMALL and (_is_subject(said[:place]) or _of_product(after, has))):
            return f"{word} {after}".strip() if after != joined else word
    return None


def _is_subject(before: list[str]) -> bool:
    """Whether words at a sentence's start lead up to the product: none, or an article and what describes it."""
    return not before or (before[0] in _SUBJECT and not any(word in SMALL - _SUBJECT for word in before))


def _of_product(word: str, has: list[str]) -> bool:
    """Whether a word names the product ("shoe" of "trail shoes", "pot" of "teapot") or a part that many have."""
    singular = word[:-1] if word.endswith("s") and not word.endswith("ss") else word
    return singular in _PARTS or any(one.removesuffix("s").endswith(singular) for one in has if len(singular) > 2)


def number(text: str, known: str) -> str | None:
    """A number, or a counted measure in words, that `known` does not give. A percentage always counts as one."""
    given = set(_DIGITS.findall(known)) | {str(_NUMBERS[word]) for word in words(known) if word in _NUMBERS}
    for digits in _DIGITS.findall(text):
        if digits not in given:
            return str(digits)
    for counted in _COUNTED.finditer(text):
        if str(_NUMBERS.get(counted[1].lower(), counted[1])) not in given:
            return counted[0]
    return None


def price(text: str) -> str | None:
    """Anything about price, even a true one: prices change more often than a line is made."""
    said = _PRICE.search(text)
    return said[0] if said else None
