"""Tags -> items: the night's recommendations, each with the tag and the interest that brought it.

What is recommended is `scorer`'s and `selection`'s; here it is written, block by block of users: into SQL, in place of
the night's rows, and with `out` into a folder of Parquet files as well, which appears whole or not at all. A user
without tags gets no recommendation. Nothing is asked of a model here, so the stage simply writes again when it is run
again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from recgpt.errors import ConfigError
from recgpt.sources.logs import History
from recgpt.stages.night import Night, Progress
from recgpt.stages.scorer import Scorer
from recgpt.stages.towers import load_newest
from recgpt.stages.work import digest
from recgpt.store.tables import Recommendation, Unit, now
from recgpt.words import Outcome, Stage
from towers.config import TowersError
from towers.export import whole, write_manifest

BLOCK = 256  # users scored at a time
FILE: Final = "recommendations.parquet"
Rows = dict[str, list[dict[str, Any]]]  # by user

SCHEMA: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float32()),
        ("user_score", pa.float32()),
        ("tag_score", pa.float32()),
        ("tag_id", pa.int64()),
        ("interest_id", pa.int64()),
    ]
)


def run(night: Night, run_id: int, *, out: Path | None = None) -> dict[str, Any]:
    """Write the night's recommendations. Returns the counts for the run's record.

    Raises:
        CheckpointError: there are no towers for this night.
        ConfigError: `out` holds something else.
    """
    version, model = load_newest(night)
    scorer = Scorer(night, model)
    outcomes: Counter[str] = Counter()
    kept = 0
    with _parquet(night, version, out) as put:
        for block in blocks(night.histories()):
            rows = scorer.recommend(block)
            kept += _write(night, run_id, version, block, rows, outcomes)
            put(rows)
            night.progress(Progress(Stage.SCORE, sum(outcomes.values()), night.n_users))
    return {
        "units": sum(outcomes.values()),
        **{outcome.value: outcomes[outcome] for outcome in Outcome},
        "coverage": None,  # no model is asked: a user without tags is counted as invalid, with the reason
        "recommendations": kept,
        "towers": version,
    }


def blocks(histories: Iterator[History]) -> Iterator[list[History]]:
    """The users, so many at a time."""
    block: list[History] = []
    for history in histories:
        block.append(history)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


@contextmanager
def _parquet(night: Night, version: str, out: Path | None) -> Iterator[Callable[[Rows], None]]:
    """What takes the rows of a block; at the end `out` holds them and, written last, a manifest."""
    if out is None:
        yield lambda _: None
        return
    try:
        with whole(out) as folder:
            with pq.ParquetWriter(folder / FILE, SCHEMA, compression="zstd") as writer:

                def put(rows: Rows) -> None:
                    listed = [{"user_id": user_id, **row} for user_id, ranked in rows.items() for row in ranked]
                    if listed:
                        writer.write_table(pa.Table.from_pylist(listed, schema=SCHEMA))

                yield put
            said = {"night": str(night.day), "towers": version, "config": night.config.fingerprint()}
            write_manifest(folder, {**said, "rows": pq.read_metadata(folder / FILE).num_rows})
    except TowersError as error:
        raise ConfigError(str(error)) from error


def _write(
    night: Night,
    run_id: int,
    version: str,
    block: Sequence[History],
    rows: Rows,
    outcomes: Counter[str],
) -> int:
    """Put the block's rows in place of what the night had for these users, in one transaction."""
    users = [history.user_id for history in block]
    listed = [
        {"night": night.day, "user_id": user_id, "model_version": version, "run_id": run_id, **row}
        for user_id, ranked in rows.items()
        for row in ranked
    ]
    with Session(night.store) as session:
        session.execute(
            delete(Recommendation).where(Recommendation.night == night.day, Recommendation.user_id.in_(users))
        )
        if listed:
            session.execute(insert(Recommendation), listed)
        for user_id in users:
            outcome = Outcome.OK if rows.get(user_id) else Outcome.INVALID
            outcomes[outcome] += 1
            session.merge(
                Unit(
                    stage=Stage.SCORE,
                    key=user_id,
                    input_hash=digest(night.day, version),
                    outcome=outcome,
                    reason="" if outcome == Outcome.OK else "no active tag",
                    run_id=run_id,
                    at=now(),
                )
            )
        session.commit()
    return len(listed)
