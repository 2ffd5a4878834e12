"""A project whose interests, tags and recommendations a test writes itself, so that what is explained is known."""

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from recgpt.store.tables import Explanation, Interest, ModelVersion, Recommendation, Tag, now
from recgpt.words import Stage, State

NIGHT = date(2026, 10, 31)  # autumn
SEEN = datetime(2026, 10, 1, tzinfo=UTC)


class Table:
    """A project whose interests, tags and recommendations are written by the test."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.items = [row["item_id"] for row in self.catalogue()]
        with Session(project.store) as session:
            session.add(ModelVersion(version="v", kind="towers", path="", trained_until=SEEN, created_at=now()))
            session.commit()

    def recommend(self, user: str, name: str, *items: str, night: date = NIGHT, horizon: str = "long_term") -> int:
        """The user's interest of that name (made if need be), and its items as the user's next ranks of the night."""
        with Session(self.project.store) as session:
            mine = session.query(Interest).filter_by(user_id=user, name=name, state=State.ACTIVE).first()
            if mine is None:
                mine = Interest(
                    user_id=user, name=name, horizon=horizon, evidence=[], first_seen=SEEN, last_confirmed=SEEN,
                    state=State.ACTIVE, operation="add", since_night=night,
                )  # fmt: skip
                session.add(mine)
                session.flush()
            tag = Tag(user_id=user, interest_id=mine.id, tag="folding gear", state=State.ACTIVE, since_night=night)
            session.add(tag)
            session.flush()
            rank = session.query(Recommendation).filter_by(user_id=user, night=night).count()
            for place, item in enumerate(items, rank + 1):
                session.add(
                    Recommendation(
                        night=night, user_id=user, item_id=item, rank=place, score=1.0, user_score=1.0, tag_score=1.0,
                        tag_id=tag.id, interest_id=mine.id, model_version="v",
                    )
                )  # fmt: skip
            session.commit()
            return mine.id

    def retire_interest(self, id_: int, night: date = NIGHT) -> None:
        with Session(self.project.store) as session:
            session.execute(update(Interest).where(Interest.id == id_).values(state=State.RETIRED, retired_night=night))
            session.commit()

    def change_item(self, item: str, **columns: Any) -> None:
        path = self.project.folder / "data" / "items.parquet"
        table = pq.read_table(path)
        rows = [{**row, **columns} if row["item_id"] == item else row for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)

    def catalogue(self) -> list[dict[str, Any]]:
        return list(pq.read_table(self.project.folder / "data" / "items.parquet").to_pylist())

    def explain(self, night: date = NIGHT, **options: Any) -> Any:
        (stage,) = self.project.run(Stage.EXPLAIN, day=night, **options).stages
        return stage

    def active(self) -> dict[tuple[str, str], Explanation]:
        rows = self.project.rows(Explanation, Explanation.state == State.ACTIVE)
        found = {(row.interest, row.item_id): row for row in rows}
        assert len(found) == len(rows)
        return found


@pytest.fixture
def table(project: Any) -> Table:
    return Table(project)
