"""`recgpt.toml`: every setting of a project, checked at the door.

Unknown keys are refused with the nearest known one, paths are relative to the file, and secrets are never in it: the
file names the environment variable that holds a key. `load(path)` is the only way in; it raises `ConfigError`, whose
message names the file, the key and the remedy.
"""

import difflib
import hashlib
import json
import tomllib
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recgpt.errors import ConfigError
from recgpt.tuning.settings import Tuning
from recgpt.words import Task
from towers.config import FeatureSettings, Inputs, LossSettings, NetworkSettings, TowersConfig, TrainingSettings

FILE_NAME = "recgpt.toml"
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


class PanelJudge(Section):
    """One judge of a panel: what differs from [engine] and [judge]. One that names another model must say its revision
    too, and one at another server all that there is to know there: no key is sent where it was not meant to go."""

    kind: Literal["embedded", "server"] | None = None
    base_url: str | None = None
    model: str | None = None
    revision: str | None = None
    api_key_env: str | None = None
    in_flight: int | None = Field(default=None, ge=1)
    timeout_s: float | None = Field(default=None, gt=0)
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


class Config(Section):
    """A whole project. `folder` is where the file lies; every relative path starts there."""

    folder: Path = Field(default=Path("."), exclude=True)
    work: str = "work"
    data: Data = Data()
    behaviours: dict[str, Behaviour] = Field(default_factory=lambda: dict(DEFAULT_BEHAVIOURS))
    store: Store = Store()
    engine: Engine = Engine()
    encoder: Encoder = Encoder()
    rendering: Rendering = Rendering()
    environment: Environment = Environment()
    interests: Interests = Interests()
    tags: Tags = Tags()
    towers: Towers = Towers()
    score: Score = Score()
    explain: Explain = Explain()
    judge: Judge = Judge()
    tuning: Tuning = Tuning()
    nightly: Nightly = Nightly()

    @model_validator(mode="after")
    def behaviours_are_known(self) -> Self:
        for key, named in (
            ("score.leave_out", self.score.leave_out),
            ("tags.fresh_behaviours", self.tags.fresh_behaviours),
        ):
            unknown = sorted(set(named) - set(self.behaviours))
            if unknown:
                raise ValueError(f"{key} names behaviours that [behaviours] does not: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def judges_are_judges(self) -> Self:
        seats = self.seats
        for place, seat in enumerate(seats):
            if seat.votes > 1 and seat.form == "said":
                raise ValueError("judge.votes counts answers to a question; 'said' is asked once")
            if seat.known_by in [other.known_by for other in seats[:place]]:
                raise ValueError(f"judge.panel: entry {place + 1} is a judge that it has already")
        return self

    @model_validator(mode="after")
    def reflector_is_a_model(self) -> Self:
        _ = self.reflector
        return self

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Those of the panel, or the one judge that there is."""
        rules = self.judge
        votes = 1 if rules.form == "said" else rules.votes
        return tuple(self._seat(place, one) for place, one in enumerate(rules.panel, 1)) or (
            Seat(self.engine, rules.form, votes, rules.temperature),
        )

    def _seat(self, place: int, one: PanelJudge) -> Seat:
        named = one.model_dump(exclude_none=True, exclude={"form", "votes", "temperature"})
        rules, form = self.judge, one.form or self.judge.form
        votes = one.votes or (1 if form == "said" else rules.votes)
        engine = self._engine(named, f"judge.panel: entry {place}")
        return Seat(engine, form, votes, one.temperature or rules.temperature)

    @property
    def reflector(self) -> Engine:
        """The model that reflects on prompts: the engine, but for what [tuning.prompts.reflection] says."""
        return self._engine(self.tuning.prompts.reflection.model_dump(exclude_none=True), "tuning.prompts.reflection")

    def _engine(self, named: dict[str, Any], where: str) -> Engine:
        """The engine with changes. Another server's or model's settings begin from an engine's defaults there."""
        kept = self.engine.model_dump()
        if {"kind", "base_url", "model", "revision", "api_key_env"} & set(named):
            other = "base_url" in named or named.get("kind", "server") != self.engine.kind
            for name in ("model", "revision", "tokenizer", *(("base_url", "api_key_env") if other else ())):
                del kept[name]
            kept["kind"] = "server"
        try:
            return Engine(**{**kept, **named})
        except ValidationError as error:
            said = "; ".join(_explain(one) for one in error.errors())
            raise ValueError(f"{where}: {said}") from None

    @property
    def work_folder(self) -> Path:
        return self.folder / self.work

    def path(self, relative: str) -> Path:
        return self.folder / relative

    @property
    def encoder_path(self) -> str:
        """`packaged`, or the encoder's folder."""
        return self.encoder.path if self.encoder.path == "packaged" else str(self.path(self.encoder.path))

    def fingerprint(self) -> str:
        """sha256 of every setting, for the run's record."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> Config:
    """Read and check a config file, or the `recgpt.toml` of a folder.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds an unknown key or a bad value.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no {file}: make one with 'recgpt init {file.parent}'") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    named = raw.get("behaviours", {})
    defaults = {name: value.model_dump() for name, value in DEFAULT_BEHAVIOURS.items()}
    raw["behaviours"] = {
        **defaults,
        **{k: {**defaults.get(k, {}), **v} if isinstance(v, dict) else v for k, v in named.items()},
    }
    try:
        return Config.model_validate({**raw, "folder": file.resolve().parent})
    except ValidationError as error:
        raise ConfigError(f"{file}: " + "; ".join(_explain(item) for item in error.errors())) from None


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] not in ("extra_forbidden", "unexpected_keyword_argument"):
        message = error["msg"].removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    *parents, key = error["loc"]
    near = difflib.get_close_matches(str(key), _keys_at(parents), n=1, cutoff=0.5)
    return f"unknown key {where}" + (f"; did you mean {near[0]}?" if near else "")


def _keys_at(parents: list[Any]) -> list[str]:
    model: Any = Config
    for name in parents:
        if isinstance(name, int):  # an entry of a list: its keys are those of the list's kind
            continue
        model = Behaviour if model is dict else _fields(model)[name]
        origin = get_origin(model)
        model = dict if origin is dict else get_args(model)[0] if origin is tuple else model
    return [] if model is dict else [name for name in _fields(model) if name != "folder"]


def _fields(section: Any) -> dict[str, Any]:
    """Name to kind, of a section of ours or of the towers' settings."""
    if is_dataclass(section):
        return {one.name: one.type for one in fields(section)}
    return {name: one.annotation for name, one in section.model_fields.items()}


def night_of(day: date | None) -> datetime:
    """The moment up to which a night reads the logs: the end of `day` (UTC), today's if none is given. Exclusive."""
    day = day or datetime.now(UTC).date()
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
