"""Which rows are judged: a share of all, or so many of each task, spread over strata.

Either way a hash of the row and the seed decides, so the same call draws the same rows tonight and tomorrow, and one
that was cut short goes on. With strata each gets its share of the sample, and none that is there goes without a row
as long as there are as many rows to draw as strata: what few users do, or few items are, is judged too.

The strata are `user_activity`, how many events the row's user has, by powers of four (of an explanation, which has no
user: how many it is served to); and `category`, the first part of the category of what the row is about.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from recgpt.labels.targets import PAGE, TABLES, active
from recgpt.stages.night import Night
from recgpt.stages.texts import evidence_rows
from recgpt.stages.work import digest
from recgpt.store.tables import Explanation, Interest, Tag
from recgpt.words import CATEGORY_SEPARATOR, Task

Stratum = Literal["user_activity", "category"]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Drawing:
    """What is to be judged. Without a sample: `judge.share` of the rows."""

    tasks: tuple[Task, ...] = tuple(Task)
    sample: int | None = None  # rows of each task; with `pairs` pairs
    pairs: bool = False  # judge which of two is better, instead of each by itself
    strata: tuple[Stratum, ...] = ()
    seed: int | None = None  # judge.seed


NIGHTLY: Final = Drawing()


def drawn(night: Night, drawing: Drawing) -> Iterator[tuple[Task, list[int]]]:
    """The ids of active rows that are drawn, by task and id, in pages. No list grows with users, and no transaction
    stays open while the judge thinks."""
    seed = night.config.judge.seed if drawing.seed is None else drawing.seed
    for task in drawing.tasks:
        if drawing.sample is None:
            share = night.config.judge.share
            for page in active(night.store, task):
                ids = [number for number in page if _part(seed, task, number) < share]
                if ids:
                    yield task, ids
        else:
            ids = _stratified(night, task, drawing.sample, drawing.strata, seed)
            for start in range(0, len(ids), PAGE):
                yield task, ids[start : start + PAGE]


def _stratified(night: Night, task: Task, n: int, strata: Sequence[Stratum], seed: int) -> list[int]:
    counts: Counter[tuple[str, ...]] = Counter()
    first: dict[tuple[str, ...], list[tuple[float, int]]] = defaultdict(list)
    for page in active(night.store, task):
        lots: dict[tuple[str, ...], list[tuple[float, int]]] = defaultdict(list)
        for number, key in _keys(night, task, page, strata):
            lots[key].append((_part(seed, task, number), number))
        for key, found in lots.items():
            counts[key] += len(found)
            first[key] = nsmallest(n, first[key] + found)
    shares = allocate(counts, n)
    return sorted(number for key, found in first.items() for _, number in found[: shares[key]])


def allocate(counts: Mapping[Key, int], n: int) -> dict[Key, int]:
    """How many of a sample of n fall to each stratum: its share of the rows, by largest remainders, and at least one
    where there are as many to draw as strata."""
    total = sum(counts.values())
    if n >= total:
        return dict(counts)
    least = int(n >= len(counts))
    exact = {key: n * count / total for key, count in counts.items()}
    given = {key: max(least, int(part)) for key, part in exact.items()}
    order = sorted(counts, key=str)
    while (missing := n - sum(given.values())) != 0:
        step = 1 if missing > 0 else -1
        room = [key for key in order if (given[key] < counts[key] if step > 0 else given[key] > least)]
        # The one that is furthest from its exact share, to the side where it moves.
        given[max(room, key=lambda key: step * (exact[key] - given[key]))] += step
    return given


def _keys(
    night: Night, task: Task, ids: Sequence[int], strata: Sequence[Stratum]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The stratum of each row."""
    columns: list[list[str]] = []
    rows = _rows(night, task, ids) if strata else []
    if "user_activity" in strata:
        columns.append(_activity(night, rows))
    if "category" in strata:
        columns.append(_categories(night, rows))
    keys: Sequence[tuple[str, ...]] = list(zip(*columns, strict=True)) if strata else [()] * len(ids)
    yield from zip([row.id for row in rows] if strata else ids, keys, strict=True)


def _activity(night: Night, rows: Sequence[Any]) -> list[str]:
    users = {row.user_id for row in rows if not isinstance(row, Explanation)}
    events = night.logs.sizes(users) if users else {}
    many = [row.served if isinstance(row, Explanation) else events.get(row.user_id, 0) for row in rows]
    return [str(4 ** ((number.bit_length() + 1) // 2)) for number in many]


def _categories(night: Night, rows: Sequence[Any]) -> list[str]:
    catalogue = night.logs.catalogue
    interests: dict[int, Interest] = {}
    wanted = [row.interest_id for row in rows if isinstance(row, Tag)]
    if wanted:
        with Session(night.store, expire_on_commit=False) as session:
            found = session.scalars(select(Interest).where(Interest.id.in_(set(wanted))))
            interests = {row.id: row for row in found}
    named = []
    for row in rows:
        if isinstance(row, Explanation):
            item = catalogue.row_of(row.item_id)
        else:
            known = evidence_rows(catalogue, (interests[row.interest_id] if isinstance(row, Tag) else row).evidence)
            item = known[0] if known else None
        named.append("" if item is None else catalogue.categories[item].split(CATEGORY_SEPARATOR)[0])
    return named


def _rows(night: Night, task: Task, ids: Sequence[int]) -> list[Any]:
    table = TABLES[task]
    with Session(night.store, expire_on_commit=False) as session:
        return list(session.scalars(select(table).where(table.id.in_(ids)).order_by(table.id)))


def _part(seed: int, task: Task, number: int) -> float:
    """A row's own number from 0 up to 1."""
    return int(digest(seed, task, number).removeprefix("sha256:")[:16], 16) / 16.0**16
