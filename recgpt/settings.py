"""The sections of `recgpt.toml`, all but `[tuning]`: what can be set, within which bounds, and its default."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recgpt.words import Task
from towers.config import FeatureSettings, Inputs, LossSettings, NetworkSettings, TowersConfig, TrainingSettings

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UserColumns(Section):
    user_id: str = "user_id"


class ItemColumns(Section):
    item_id: str = "item_id"
    title: str = "title"
    category: str = "category"
    brand: str = "brand"
    price: str = "price"
    stock: str = "stock"


class EventColumns(Section):
    user_id: str = "user_id"
    timestamp: str = "timestamp"
    behaviour: str = "behaviour"
    item_id: str = "item_id"
    query: str = "query"
    value: str = "value"


class Columns(Section):
    """What the lake calls our columns."""

    users: UserColumns = UserColumns()
    items: ItemColumns = ItemColumns()
    events: EventColumns = EventColumns()


class Data(Section):
    """Where the three tables lie (a file, a folder or a glob of .parquet, .csv or .jsonl, the last two also .gz)."""

    users: str = "data/users.parquet"
    items: str = "data/items.parquet"
    events: str = "data/events.parquet"
    columns: Columns = Columns()
    base_features: tuple[str, ...] = ()  # columns of users that may reach a prompt; no other does
    max_reject_share: Share = 0.05  # of a table's rows; above it the run stops
    earliest: date = date(1995, 1, 1)  # an older timestamp is a clock that was never set


class Behaviour(Section):
    """One kind of event: whether it says something on purpose, how much, and how a profile text names it."""

    reliable: bool
    weight: float = Field(gt=0.0)
    word: str = Field(min_length=1)


DEFAULT_BEHAVIOURS: dict[str, Behaviour] = {
    "purchase": Behaviour(reliable=True, weight=4.0, word="bought"),
    "add_to_cart": Behaviour(reliable=True, weight=3.0, word="carted"),
    "rating": Behaviour(reliable=True, weight=3.0, word="rated"),
    "favourite": Behaviour(reliable=True, weight=2.0, word="favourited"),
    "search": Behaviour(reliable=True, weight=2.0, word="searched"),
    "review_read": Behaviour(reliable=True, weight=1.0, word="read reviews"),
    "view": Behaviour(reliable=True, weight=1.0, word="viewed"),
    "click": Behaviour(reliable=False, weight=0.3, word="clicked"),
    "impression": Behaviour(reliable=False, weight=0.1, word="saw"),
}


class Store(Section):
    url: str = "sqlite:///work/recgpt.sqlite"  # any SQLAlchemy URL; a relative SQLite path is relative to the config


class Engine(Section):
    """The model behind everything: an OpenAI-compatible server, or the packaged small model as a loopback child."""

    kind: Literal["embedded", "server"] = "embedded"
    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = ""  # server: the served model's (or adapter's) name
    revision: str = ""  # server: what the weights are; part of every request's hash
    tokenizer: str = ""  # server: folder or cached name of its tokenizer, to count a budget exactly
    api_key_env: str = ""  # the environment variable that holds the key, if the server wants one
    in_flight: int = Field(default=64, ge=1)
    retries: int = Field(default=4, ge=0)
    timeout_s: float = Field(default=120.0, gt=0)
    threads: int = Field(default=0, ge=0)  # embedded: 0 is all cores

    @model_validator(mode="after")
    def server_is_named(self) -> Self:
        if self.kind == "server" and not self.model:
            raise ValueError("a server engine needs model: the name it serves (see its /v1/models)")
        if self.kind == "server" and not self.revision:
            raise ValueError(
                "a server engine needs revision: whatever identifies its weights (a commit, a date). Answers are "
                "replayed by model and revision, so change it whenever the weights change"
            )
        return self


class OtherModel(Section):
    """What differs from [engine]. One that names another model must say its revision too, and one at another server all
    that there is to know there: no key is sent where it was not meant to go."""

    kind: Literal["embedded", "server"] | None = None
    base_url: str | None = None
    model: str | None = None
    revision: str | None = None
    api_key_env: str | None = None
    in_flight: int | None = Field(default=None, ge=1)
    timeout_s: float | None = Field(default=None, gt=0)


class Encoder(Section):
    """The sentence encoder that says which items are alike."""

    path: str = "packaged"  # or the folder of a sentence-transformers BERT model


class Rendering(Section):
    max_tokens: int = Field(default=8000, ge=200)  # of a whole profile text
    title_words: int = Field(default=12, ge=3)


MonthDay = Annotated[str, Field(pattern=r"^\d\d-\d\d$")]


class Occasion(Section):
    """An event of the region, such as Christmas or a sale; yearly if its days are given as "MM-DD"."""

    name: str = Field(min_length=1)
    begin: date | MonthDay
    end: date | MonthDay  # inclusive

    @model_validator(mode="after")
    def days_are_days(self) -> Self:
        if isinstance(self.begin, date) and isinstance(self.end, date):
            if self.end < self.begin:
                raise ValueError(f"{self.name} ends before it begins")
        elif isinstance(self.begin, str) and isinstance(self.end, str):
            for day in (self.begin, self.end):
                try:
                    date.fromisoformat(f"2024-{day}")  # a leap year
                except ValueError:
                    raise ValueError(f"{self.name}: there is no day {day} (month-day)") from None
        else:
            raise ValueError(f'{self.name}: begin and end must both be dates, or both "MM-DD" for every year')
        return self


class Environment(Section):
    """What surrounds every user: the season and the region's events, as prompts are told them."""

    hemisphere: Literal["north", "south"] = "north"
    region: str = ""  # as prompts name it; only a word
    lead_days: int = Field(default=21, ge=0)  # so long before it begins an event is spoken of
    events: tuple[Occasion, ...] = ()


class Interests(Section):
    strategy: Literal["grouped", "read"] = "grouped"
    min_items: int = Field(default=3, ge=1)  # distinct pieces of evidence a long-term interest needs
    min_days: int = Field(default=3, ge=1)  # distinct days of it
    min_span_days: int = Field(default=28, ge=0)  # first to last; a shorter burst is a gift, a necessity or a phase
    short_term_days: int = Field(default=30, ge=1)  # a recent burst this young may be a short-term interest
    similarity: Share = 0.5  # grouped: how alike the items of one group are (cosine)
    max_interests: int = Field(default=12, ge=1)
    reread_days: int = Field(default=60, ge=1)  # a memory so old is read again in full, once its user does something
    drift: Share = 0.8  # above it too: how far what came since has moved from what was read (see recgpt.drift)
    sensitive: tuple[str, ...] = (
        "pregnancy", "fertility", "contraception", "cancer", "diabetes", "depression", "disability", "illness",
        "religion", "religious", "church", "christian", "muslim", "jewish", "hindu", "buddhist",
        "politics", "political", "election", "sexuality", "erotic", "gay", "lesbian", "transgender",
        "ethnicity", "racial", "union membership", "debt", "addiction", "weapons",
    )  # fmt: skip


Season = Literal["winter", "spring", "summer", "autumn"]
DEFAULT_SEASON_WORDS: dict[Season, tuple[str, ...]] = {
    "winter": ("winter", "snow", "ski", "skiing", "sledge", "sled", "toboggan"),
    "spring": ("springtime",),
    "summer": ("summer", "beach", "sunbathing", "paddling pool"),
    "autumn": ("autumn",),
}


class Tags(Section):
    # One short call an interest; one call for all of a user's; or a planner, an expert a persona, and an arbiter.
    strategy: Literal["each", "single", "experts"] = "each"
    personas: int = Field(default=3, ge=1, le=8)  # experts: the most that the planner makes of a user
    per_interest: int = Field(default=4, ge=1, le=50)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int = 0
    retrievable: Share = 0.45  # how near (cosine) some item must be to a tag
    duplicate: Share = 0.92  # from this likeness two tags of a user say the same
    same_as_done: Share = 0.75  # from this likeness a tag only names what was done
    fresh_days: int = Field(default=30, ge=0)  # of a user's latest: a tag that names something done in them isn't fresh
    fresh_behaviours: tuple[str, ...] = ("purchase",)  # what counts as done: a thing only looked at is still wanted
    banned: tuple[str, ...] = (
        "smart", "modular", "set", "premium", "quality", "best", "new", "product", "item", "stuff",
    )  # fmt: skip
    # A tag with one of these is for that season. Not "spring" and "fall": sofas have the one, ropes stop the other.
    season_words: dict[Season, tuple[str, ...]] = Field(default_factory=lambda: dict(DEFAULT_SEASON_WORDS))


class Towers(Section):
    """When the towers are trained; the settings of the network are the network's own (towers/config.py)."""

    retrain_days: int = Field(default=7, ge=1)
    # What stands for tags: word runs of titles and categories; whole titles, and searches before it, of an item taken.
    tags_from: tuple[Literal["words", "titles", "searches"], ...] = ("words",)
    teacher: str = ""  # folder of larger towers' checkpoint, for loss.distillation
    features: FeatureSettings = FeatureSettings()
    network: NetworkSettings = NetworkSettings()
    loss: LossSettings = LossSettings()
    training: TrainingSettings = TrainingSettings()

    def config(self, inputs: Inputs) -> TowersConfig:
        return TowersConfig(inputs, self.features, self.network, self.loss, self.training)


class Score(Section):
    top_k: int = Field(default=20, ge=1)
    per_tag: int = Field(default=6, ge=1)  # the most one tag may bring
    per_category: int = Field(default=0, ge=0)  # of the list; 0: no limit
    per_brand: int = Field(default=0, ge=0)
    pool: int = Field(default=100, ge=1)  # a tag's best items, from which quotas and diversity choose
    diversity: Share = 0.0  # 0: by score alone; above: less of what is like an item chosen before (cosine)
    beta: Share = 0.5  # score = beta * user.item + (1 - beta) * tag.item; 'recgpt towers beta' measures others
    categories: tuple[str, ...] = ()  # if any: only items of these paths and below
    without_categories: tuple[str, ...] = ()  # no item of these paths and below
    leave_out: tuple[str, ...] = ("purchase",)  # an item the user has these behaviours with is not recommended
    leave_out_days: int = Field(default=3650, ge=0)


class Explain(Section):
    strategy: Literal["short", "full"] = "short"  # the small model's prompt, or the real model's
    top: int = Field(default=5, ge=0)  # how many of a user's recommendations get an explanation
    tries: int = Field(default=2, ge=1)
    min_chars: int = Field(default=15, ge=1)  # of a line; what is shorter or longer is refused
    max_chars: int = Field(default=160, ge=20, le=300)

    @model_validator(mode="after")
    def bounds_leave_room(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is more than max_chars ({self.max_chars})")
        return self


Form = Literal["said", "verdict", "examples"]


class PanelJudge(OtherModel):
    """One judge of a panel: what differs from [engine] and [judge]."""

    form: Form | None = None
    votes: int | None = Field(default=None, ge=1, le=25)
    temperature: float | None = Field(default=None, gt=0.0, le=2.0)


class Judge(Section):
    share: Share = 0.25  # of the rows that each task made; a hash decides which, so a row is in or out for good
    seed: int = 0
    form: Form = "said"  # how likely the model finds what is judged; or a yes/no question, bare or after examples
    criteria: dict[Task, tuple[str, ...]] = Field(default_factory=dict)  # by task; absent: all that have the form
    # Where the engine gives no token probabilities: answers to a question (not in `said`), and their temperature.
    votes: int = Field(default=5, ge=1, le=25)
    temperature: float = Field(default=0.7, gt=0.0, le=2.0)
    panel: tuple[PanelJudge, ...] = ()  # who judges instead of [engine]'s model alone
    panel_rule: Literal["majority", "mean"] = "majority"  # of the verdicts; or of P(yes)
    # What a judge's passport must show before anything is tuned on its labels.
    min_kappa: float = Field(default=0.4, ge=-1.0, le=1.0)
    min_specificity: Share = 0.6


@dataclass(frozen=True)
class Seat:
    """A judge in full: which model is asked, and how."""

    engine: Engine
    form: Form
    votes: int
    temperature: float

    @property
    def known_by(self) -> tuple[str, ...]:
        return self.engine.kind, self.engine.model, self.engine.revision, self.form


class Nightly(Section):
    min_coverage: Share = 0.95  # of units with an answer; below it a command that is done exits with 3
