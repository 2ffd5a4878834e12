"""`recgpt.toml`: every setting of a project, checked at the door.

Unknown keys are refused with the nearest known one, paths are relative to the file, and secrets are never in it: the
file names the environment variable that holds a key. `load(path)` is the only way in; it raises `ConfigError`, whose
message names the file, the key and the remedy.
"""

import difflib
import hashlib
import json
import tomllib
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self, get_args, get_origin

from pydantic import Field, ValidationError, model_validator

from recgpt.errors import ConfigError
from recgpt.settings import (
    DEFAULT_BEHAVIOURS,
    Behaviour,
    Data,
    Encoder,
    Engine,
    Environment,
    Explain,
    Interests,
    Judge,
    Nightly,
    PanelJudge,
    Rendering,
    Score,
    Seat,
    Section,
    Store,
    Tags,
    Towers,
)
from recgpt.tuning.settings import Tuning

FILE_NAME = "recgpt.toml"


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
