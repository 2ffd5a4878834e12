"""The reviewer's grades: what a judge's labels on all criteria come to for each row."""

from collections import defaultdict

from sqlalchemy import Engine

from judges import REVIEWER, Verdict, grade
from judges.reviewer import Grade
from recgpt.labels.store import each
from recgpt.labels.thresholds import newest, reviewed, verdict_of
from recgpt.words import Task


def grades(store: Engine, task: Task, judge: str) -> dict[int, Grade]:
    """S, A or B by row, of the judge's labels by the newest version of each criterion.

    A row that has a defect is B whatever is missing; one without any has a grade only once every criterion has been
    asked that this judge has labels of. Nothing is S as long as no threshold for it was fitted.
    """
    versions: dict[str, str] = {}
    said: dict[int, dict[str, tuple[str, Verdict]]] = defaultdict(dict)
    for row in each(store, task, judges=[judge]):  # oldest first: the last version stays
        versions[row.criterion] = row.prompt_version
        said[row.target_id][row.criterion] = (row.prompt_version, verdict_of(row))
    least = newest(store, judge, task).get((REVIEWER, reviewed(versions)))
    thresholds = {} if least is None else {REVIEWER: least.value}
    found: dict[int, Grade] = {}
    for target_id, given in said.items():
        now = {name: verdict for name, (version, verdict) in given.items() if version == versions[name]}
        if len(now) == len(versions) or not all(verdict.verdict for verdict in now.values()):
            found[target_id] = grade(now, thresholds)
    return found
