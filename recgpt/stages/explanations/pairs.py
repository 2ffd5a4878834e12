"""The (interest, item) pairs of a night, and the table of their explanations around the asking.

Before the asking, what is stale is retired: an explanation whose item has another title, category or brand now or is no
longer sold, or whose interest nobody has any more. Its unit is forgotten with it, so that the pair is made again when a
recommendation needs it, out of the ledger if nothing about it changed. A pair that is merely not recommended tonight
keeps its explanation. After the asking, each explanation that the night needed is told how many users it serves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, case, delete, exists, func, select, update
from sqlalchemy.orm import Session

from recgpt.rendering.clean import clean
from recgpt.sources.logs import Catalogue
from recgpt.stages.night import Night
from recgpt.stages.work import digest
from recgpt.store.tables import Explanation, Interest, Recommendation, Unit
from recgpt.words import Horizon, Stage, State

PAGE = 1000  # rows looked at in one transaction


@dataclass(frozen=True)
class Pair:
    interest: str  # the interest's name
    item_id: str
    horizon: Horizon  # what the interest is to most of the users who need the pair


@dataclass(frozen=True)
class Served:
    """Of one night."""

    explanations: int  # that some user got
    users: int  # who got one at least
    mean: float  # users per explanation


def key(interest: str, item_id: str) -> str:
    """The pair's unit: short whatever the names are."""
    return digest(interest, item_id)


def item_record(catalogue: Catalogue, row: int) -> str:
    """All that the catalogue says of an item and a line may use, in one text. No price: it changes more often."""
    parts = (catalogue.titles[row], catalogue.categories[row], catalogue.brands[row])
    return clean(" | ".join(part for part in parts if part), 2000)


def record_hash(interest: str, record: str) -> str:
    """What makes an explanation stale when it changes."""
    return digest(interest, record)


def wanted(night: Night) -> Iterator[Pair]:
    """The distinct pairs that the night's first recommendations need and somebody still has the interest for."""
    lasting = func.sum(case((Interest.horizon == Horizon.LONG_TERM, 1), else_=0))
    query = (
        _needed(night)
        .add_columns(lasting, func.count())
        .order_by(Interest.name, Recommendation.item_id)
        .execution_options(yield_per=PAGE)
    )
    with Session(night.store) as session:
        for interest, item_id, _, lasts, users in session.execute(query):
            yield Pair(interest, item_id, Horizon.LONG_TERM if 2 * lasts >= users else Horizon.SHORT_TERM)


def count(night: Night) -> int:
    with Session(night.store) as session:
        return session.scalar(select(func.count()).select_from(_needed(night).subquery())) or 0


def retire_stale(night: Night) -> int:
    """Retire what is stale, page by page. Returns how many."""
    catalogue, last, retired = night.logs.catalogue, 0, 0
    query = (
        select(
            Explanation.id,
            Explanation.interest,
            Explanation.item_id,
            Explanation.input_hash,
            _is_held(Explanation.interest),
        )
        .where(Explanation.state == State.ACTIVE)
        .order_by(Explanation.id)
        .limit(PAGE)
    )
    while True:
        with Session(night.store) as session:
            rows = session.execute(query.where(Explanation.id > last)).all()
            if not rows:
                return retired
            stale = {
                id_: key(interest, item_id)
                for id_, interest, item_id, input_hash, is_held in rows
                if not is_held or _record_of(catalogue, interest, item_id) != input_hash
            }
            gone = {"state": State.RETIRED, "retired_night": night.day}
            session.execute(update(Explanation).where(Explanation.id.in_(stale)).values(gone))
            session.execute(delete(Unit).where(Unit.stage == Stage.EXPLAIN, Unit.key.in_(stale.values())))
            session.commit()
            last, retired = rows[-1].id, retired + len(stale)


def count_served(night: Night) -> Served:
    """Write to each explanation that the night needed how many users it serves."""
    needed = _needed(night).subquery()
    same = and_(
        Explanation.interest == needed.c.interest,
        Explanation.item_id == needed.c.item_id,
        Explanation.state == State.ACTIVE,
    )
    first = Recommendation.night == night.day, Recommendation.rank <= night.config.explain.top
    readers = (
        select(func.count(Recommendation.user_id.distinct()))
        .join(Interest, Interest.id == Recommendation.interest_id)
        .join(
            Explanation,
            and_(Explanation.interest == Interest.name, Explanation.item_id == Recommendation.item_id),
        )
        .where(*first, Explanation.state == State.ACTIVE)
    )
    with Session(night.store) as session:
        session.execute(
            update(Explanation).where(same).values(served=needed.c.users),
            execution_options={"synchronize_session": False},
        )
        explanations, mean = session.execute(
            select(func.count(), func.avg(needed.c.users)).select_from(Explanation).join(needed, same)
        ).one()
        served = Served(explanations, session.scalar(readers) or 0, round(float(mean or 0.0), 3))
        session.commit()
    return served


def _needed(night: Night) -> Select[str, str, int]:
    """interest, item_id and users of each pair that tonight's first recommendations need."""
    return (
        select(
            Interest.name.label("interest"),
            Recommendation.item_id,
            func.count(Recommendation.user_id.distinct()).label("users"),
        )
        .join(Interest, Interest.id == Recommendation.interest_id)
        .where(
            Recommendation.night == night.day,
            Recommendation.rank <= night.config.explain.top,
            _is_held(Interest.name),
        )
        .group_by(Interest.name, Recommendation.item_id)
    )


def _is_held(name: Any) -> Any:
    """Whether anybody has an active interest of that name."""
    held = Interest.__table__.alias()
    return exists().where(held.c.name == name, held.c.state == State.ACTIVE).label("is_held")


def _record_of(catalogue: Catalogue, interest: str, item_id: str) -> str | None:
    row = catalogue.row_of(item_id)
    return None if row is None else record_hash(interest, item_record(catalogue, row))
