"""Names that cross modules: in code, SQL, the command line and the documentation they are spelt this way.

A word lives here only if two rooms must agree on it.
"""

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """How one unit of work, or one request, ended. There is no fourth, and none of them is a score."""

    OK = "ok"
    INVALID = "invalid"  # answered, but the answer broke a rule; the rule is stored
    UNAVAILABLE = "unavailable"  # no answer; it stays to be asked


class Horizon(StrEnum):
    LONG_TERM = "long_term"
    SHORT_TERM = "short_term"


class State(StrEnum):
    """The life of a row of knowledge (interest, tag, explanation): never deleted, only retired."""

    ACTIVE = "active"
    RETIRED = "retired"


class Operation(StrEnum):
    """What a night does to a unit of a user's memory."""

    KEEP = "keep"
    REVISE = "revise"
    ADD = "add"
    RETIRE = "retire"


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class Training(StrEnum):
    """When and how the towers are trained."""

    IF_OLD = "if_old"  # anew, if the last training is older than towers.retrain_days
    ANEW = "anew"
    CONTINUE = "continue"  # from the newest towers, on the events that came since


class Stage(StrEnum):
    """The stages of a night, in the order in which they run."""

    INTERESTS = "interests"
    TAGS = "tags"
    TOWERS = "towers"
    SCORE = "score"
    EXPLAIN = "explain"
    JUDGE = "judge"


class Task(StrEnum):
    """What a judge can be asked about."""

    INTERESTS = "interests"
    TAGS = "tags"
    EXPLANATIONS = "explanations"


class JudgeKind(StrEnum):
    """What gave a label."""

    MODEL = "model"
    HUMAN = "human"
    PANEL = "panel"
    IMPORT = "import"


# Columns of the three tables, as recgpt calls them; `recgpt.toml` maps a lake's own names to these.
USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
TITLE: Final = "title"
CATEGORY: Final = "category"
BRAND: Final = "brand"
PRICE: Final = "price"
STOCK: Final = "stock"
DESCRIPTION: Final = "description"
TIMESTAMP: Final = "timestamp"
BEHAVIOUR: Final = "behaviour"
QUERY: Final = "query"
VALUE: Final = "value"
TEXT: Final = "text"

CATEGORY_SEPARATOR: Final = " > "
