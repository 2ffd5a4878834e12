"""What the system makes, in SQL: typed tables, one class each.

Logs are never copied in here. Rows of knowledge (interests, tags, explanations) are not deleted: they are retired, so
that any past night can be read back. Every row made by a model names the request that made it, and a request names its
prompt version, model and revision; that is how `recgpt why` walks back. All times are UTC.
"""

from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import JSON, DateTime, Float, ForeignKey, Index, Integer, MetaData, String, Text, TypeDecorator, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from recgpt.words import JudgeKind

JUDGE_CHARS: Final = 520  # MODEL@REVISION of two short texts, and a word


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC on every database; SQLite forgets the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    # Named constraints, so that a migration can drop one on any database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (read once by SQLAlchemy)
        datetime: UtcDateTime,
        str: String(255),
        dict[str, Any]: JSON,
        list[dict[str, Any]]: JSON,
    }


class Run(Base):
    """One execution of a stage, or of the night that holds them."""

    __tablename__ = "runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    stage: Mapped[str]  # a Stage, or "night"
    night: Mapped[date]
    state: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    config_hash: Mapped[str]
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    message: Mapped[str] = mapped_column(Text, default="")


class Request(Base):
    """One fully resolved call to a model. `hash` is sha256 over `body` and `revision`: what decides the answer."""

    __tablename__ = "requests"
    hash: Mapped[str] = mapped_column(String(71), primary_key=True)
    task: Mapped[str]
    prompt_version: Mapped[str] = mapped_column(String(71), index=True)
    model: Mapped[str]
    revision: Mapped[str]
    body: Mapped[str] = mapped_column(Text)  # canonical JSON, exactly as posted
    created_at: Mapped[datetime] = mapped_column(default=now)


class Answer(Base):
    """What came back, raw. Parsing is never stored here, so a changed parser re-reads for nothing."""

    __tablename__ = "answers"
    request_hash: Mapped[str] = mapped_column(ForeignKey("requests.hash"), primary_key=True)
    content: Mapped[str] = mapped_column(Text)
    finish_reason: Mapped[str]
    logprobs: Mapped[str | None] = mapped_column(Text)  # JSON as the server gave it, where it was asked for
    tokens_in: Mapped[int | None]  # None where the server did not say
    tokens_out: Mapped[int | None]
    tokens_cached: Mapped[int | None]
    seconds: Mapped[float] = mapped_column(Float)
    attempts: Mapped[int] = mapped_column(Integer)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Unit(Base):
    """One unit of a stage's work (a user, an interest and an item, a target) and how it ended.

    `input_hash` covers all that the unit's requests were made of; as long as it is unchanged and the outcome is not
    `unavailable`, the unit is done and no later run touches it.
    """

    __tablename__ = "units"
    stage: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    input_hash: Mapped[str] = mapped_column(String(71))
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text, default="")
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    at: Mapped[datetime] = mapped_column(default=now)


class Memory(Base):
    """How far a user's memory has been read: what the next night starts from."""

    __tablename__ = "memories"
    user_id: Mapped[str] = mapped_column(primary_key=True)
    read_until: Mapped[datetime]  # events before this moment are in the memory
    read_hash: Mapped[str] = mapped_column(String(71))  # of those events: a late or changed one shows here
    full_night: Mapped[date]  # of the last full reading
    night: Mapped[date] = mapped_column(index=True)  # of the last reading, full or not; nights only go forward
    rules_hash: Mapped[str] = mapped_column(String(71))  # of prompts, model, rules: with others all is read anew


class Interest(Base):
    """A versioned memory unit. A revision is a new row whose `supersedes_id` is the old one, retired by then.

    As of a night D a row holds if since_night <= D and not retired_night <= D, with the evidence whose `night` is <= D.
    """

    __tablename__ = "interests"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(index=True)
    horizon: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text, default="")
    evidence: Mapped[list[dict[str, Any]]]  # events: {number, timestamp, behaviour, item_id | query, night}
    first_seen: Mapped[datetime]
    last_confirmed: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(default=1)
    operation: Mapped[str] = mapped_column(String(16))  # what made this row: add or revise
    supersedes_id: Mapped[int | None] = mapped_column(ForeignKey("interests.id"))
    request_hash: Mapped[str | None] = mapped_column(ForeignKey("requests.hash"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    since_night: Mapped[date]
    retired_night: Mapped[date | None]
    retired_because: Mapped[str] = mapped_column(Text, default="")


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(index=True)
    interest_id: Mapped[int] = mapped_column(ForeignKey("interests.id"), index=True)
    tag: Mapped[str]
    persona: Mapped[str] = mapped_column(default="")  # of the expert who proposed it, where experts were asked
    rationale: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(16))
    request_hash: Mapped[str | None] = mapped_column(ForeignKey("requests.hash"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    since_night: Mapped[date]
    retired_night: Mapped[date | None]


class Rejection(Base):
    """What a model said and a gate refused, with the gate's name."""

    __tablename__ = "rejections"
    id: Mapped[int] = mapped_column(primary_key=True)
    stage: Mapped[str] = mapped_column(String(32), index=True)
    key: Mapped[str] = mapped_column(index=True)  # the unit's
    gate: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text, default="")
    request_hash: Mapped[str | None] = mapped_column(ForeignKey("requests.hash"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Recommendation(Base):
    """A kept, ranked (user, item) of one night, with the tag and the interest that brought it."""

    __tablename__ = "recommendations"
    night: Mapped[date] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    rank: Mapped[int]  # from 1
    score: Mapped[float]
    user_score: Mapped[float]
    tag_score: Mapped[float]
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id"))
    interest_id: Mapped[int] = mapped_column(ForeignKey("interests.id"))
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.version"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))


class Explanation(Base):
    """A short line for an (interest name, item) pair, made once and shared by every user whom it fits."""

    __tablename__ = "explanations"
    id: Mapped[int] = mapped_column(primary_key=True)
    interest: Mapped[str]  # the interest's name, not one user's row
    item_id: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    style: Mapped[str] = mapped_column(Text, default="")  # the style guide that the text was asked for in, if any
    style_request_hash: Mapped[str | None] = mapped_column(ForeignKey("requests.hash"))
    served: Mapped[int] = mapped_column(default=0)  # users, of the latest night that needed it
    input_hash: Mapped[str] = mapped_column(String(71))  # of the name and the item's record: a new title, a new text
    state: Mapped[str] = mapped_column(String(16))
    request_hash: Mapped[str | None] = mapped_column(ForeignKey("requests.hash"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    since_night: Mapped[date]
    retired_night: Mapped[date | None]
    __table_args__ = (Index("ix_explanations_pair", "interest", "item_id"),)


class Label(Base):
    """One judge's answer to one criterion about one target. An unavailable judge leaves no label.

    Of one judge with one version of a criterion, one row about a target holds; the others are `superseded`: the judge
    was asked anew, or a person had second thoughts.
    """

    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(32), index=True)  # interests, tags, explanations
    target_id: Mapped[int] = mapped_column(index=True)  # the row's id in the task's table
    criterion: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[bool]
    p_yes: Mapped[float | None]  # None for a judge without token probabilities, and for people
    threshold: Mapped[float | None]  # that p_yes was held against
    votes: Mapped[int | None]  # how many answers p_yes is the share of yes of, where it is one
    evidence: Mapped[str] = mapped_column(Text, default="")  # the words quoted from the target
    rationale: Mapped[str] = mapped_column(Text, default="")
    kind: Mapped[str] = mapped_column(String(16), default=JudgeKind.MODEL)
    judge: Mapped[str] = mapped_column(String(JUDGE_CHARS))  # MODEL@REVISION, human:NAME, panel:NAME, import:NAME
    revision: Mapped[str] = mapped_column(default="")  # a model's
    prompt_version: Mapped[str] = mapped_column(String(71))
    superseded: Mapped[bool] = mapped_column(default=False)
    queued: Mapped[str] = mapped_column(String(16), default="")  # why a person was asked, if one was
    tokens: Mapped[int | None]
    request_hash: Mapped[str | None] = mapped_column(ForeignKey("requests.hash"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (
        Index(
            "uq_labels_holding", "task", "target_id", "criterion", "judge", "prompt_version",
            unique=True, sqlite_where=text("NOT superseded"), postgresql_where=text("NOT superseded"),
        ),
    )  # fmt: skip


class Skip(Base):
    """A question that a person has put off: it comes last whenever they sit down again."""

    __tablename__ = "skips"
    task: Mapped[str] = mapped_column(String(32), primary_key=True)
    target_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    criterion: Mapped[str] = mapped_column(String(64), primary_key=True)
    judge: Mapped[str] = mapped_column(String(JUDGE_CHARS), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Preference(Base):
    """Which of two texts for the same input a judge prefers by one criterion, asked in both orders."""

    __tablename__ = "preferences"
    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(32), index=True)
    criterion: Mapped[str] = mapped_column(String(64))
    input_hash: Mapped[str] = mapped_column(String(71), index=True)  # of what both texts were made for
    left: Mapped[str] = mapped_column(Text)
    right: Mapped[str] = mapped_column(Text)
    left_target: Mapped[int | None]  # the row's id in the task's table, if it is one
    right_target: Mapped[int | None]
    left_version: Mapped[str] = mapped_column(default="")  # of the prompt or model that wrote it, if known
    right_version: Mapped[str] = mapped_column(default="")
    judge: Mapped[str] = mapped_column(String(JUDGE_CHARS))
    first: Mapped[str] = mapped_column(String(8))  # left, right or tie: what was said of (left, right)
    second: Mapped[str] = mapped_column(String(8))  # ... and of (right, left), in the same words
    winner: Mapped[str | None] = mapped_column(String(8))  # left or right where both agree
    prompt_version: Mapped[str] = mapped_column(String(71))
    tokens: Mapped[int | None]
    first_request_hash: Mapped[str | None] = mapped_column(ForeignKey("requests.hash"))
    second_request_hash: Mapped[str | None] = mapped_column(ForeignKey("requests.hash"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class JudgeThreshold(Base):
    """The P(yes) from which a judge's answer counts as yes, fitted on labelled data. The newest one is used.

    The criterion "reviewer" is the mean P(yes) from which a target without a defect is S rather than A; its
    prompt_version is then the hash of those of all criteria asked.
    """

    __tablename__ = "judge_thresholds"
    id: Mapped[int] = mapped_column(primary_key=True)
    judge: Mapped[str] = mapped_column(String(JUDGE_CHARS), index=True)
    prompt_version: Mapped[str] = mapped_column(String(71))
    task: Mapped[str] = mapped_column(String(32))
    criterion: Mapped[str] = mapped_column(String(64))
    value: Mapped[float]
    auc: Mapped[float]
    sensitivity: Mapped[float]  # on the cases it was fitted on, as is the next
    specificity: Mapped[float]
    cases: Mapped[int]
    fitted_on: Mapped[str] = mapped_column(String(71))  # hash of the labels
    created_at: Mapped[datetime] = mapped_column(default=now)


class Passport(Base):
    """What an audit measured of a judge on a task: how far it agrees with the people who labelled beside it."""

    __tablename__ = "passports"
    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(32), index=True)
    judge: Mapped[str] = mapped_column(String(JUDGE_CHARS), index=True)
    prompt_versions: Mapped[dict[str, Any]]  # by criterion
    labels_hash: Mapped[str] = mapped_column(String(71))  # of the labels it was measured on
    figures: Mapped[dict[str, Any]]  # by criterion, and "all"
    kappa: Mapped[float | None]  # of "all", as is the next; None where it is not defined
    specificity: Mapped[float | None]
    n: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)


class PromptVersion(Base):
    """A prompt or criterion file by content hash; the text is kept, so a past answer's prompt can be printed."""

    __tablename__ = "prompt_versions"
    version: Mapped[str] = mapped_column(String(71), primary_key=True)
    task: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    parent: Mapped[str | None] = mapped_column(String(71))
    result: Mapped[dict[str, Any] | None]  # held-out figures, once measured
    created_at: Mapped[datetime] = mapped_column(default=now)


class ModelVersion(Base):
    """A trained model (towers, or an adapter) by content hash, with its parent and its validation figures."""

    __tablename__ = "model_versions"
    version: Mapped[str] = mapped_column(String(71), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(default="", server_default="")  # an adapter's, as it is served
    base: Mapped[str] = mapped_column(String(JUDGE_CHARS), default="", server_default="")  # its MODEL@REVISION
    path: Mapped[str] = mapped_column(Text)  # relative to the project
    parent: Mapped[str | None] = mapped_column(String(71))  # the version that training began from
    result: Mapped[dict[str, Any] | None]
    trained_until: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Promotion(Base):
    """What serves a task from then on: the newest row of a task and kind. A rollback is a row too."""

    __tablename__ = "promotions"
    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))  # prompt or adapter
    version: Mapped[str | None] = mapped_column(String(71))  # None: the packaged prompt, the base model
    previous: Mapped[str | None] = mapped_column(String(71))  # what served before
    forced: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None]  # the gate's figures
    created_at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (Index("ix_promotions_task_kind", "task", "kind"),)


class TuningRun(Base):
    """One tuning of a prompt or a model, begun, ended or to be gone on with."""

    __tablename__ = "tuning_runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # prompts, sft, dpo, grpo, judge
    task: Mapped[str]
    state: Mapped[str] = mapped_column(String(16))  # a RunState
    config: Mapped[dict[str, Any]]
    data_hash: Mapped[str] = mapped_column(String(71), default="")
    result: Mapped[dict[str, Any] | None]
    version: Mapped[str | None] = mapped_column(String(71))  # what came of it
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
