"""The rows that a tuned judge has learnt from, which say nothing of what it is worth.

A judge is tuned on rows of users that are not held out (`recgpt.tuning.split`). All of these users' rows are left out
where it is held against people, those too that were labelled later: much of what is asked about one user is the same.
"""

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recgpt.store.tables import Explanation, Interest, ModelVersion, Tag
from recgpt.tuning.settings import Tuning
from recgpt.tuning.split import held_out, key_of
from recgpt.words import Task


def learnt(store: Engine, task: Task, judge: str) -> frozenset[int]:
    """The ids of the task's rows that a judge may have learnt from; none for one that was not tuned."""
    version = judge.partition("@")[2].partition("#")[0]
    with Session(store) as session:
        row = session.get(ModelVersion, version)
        made = {} if row is None else row.result or {}
        if made.get("kind") != "judge":
            return frozenset()
        rules = Tuning(seed=made["split"]["seed"], held_out=made["split"]["held_out"])
        match task:
            case Task.INTERESTS:
                whose = [(row.id, row.user_id) for row in session.execute(select(Interest.id, Interest.user_id))]
            case Task.TAGS:
                whose = [(row.id, row.user_id) for row in session.execute(select(Tag.id, Tag.user_id))]
            case Task.EXPLANATIONS:
                lines = session.execute(select(Explanation.id, Explanation.interest))
                whose = [(row.id, key_of(None, row.interest)) for row in lines]
    return frozenset(target for target, key in whose if not held_out(key, rules))
