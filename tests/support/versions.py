"""Tuned versions of prompts in a project's store, and a judge that is trusted, as an audit would have left it."""

import json
from collections.abc import Iterable
from typing import Any

from scripted import Body, claim, last, task, verdict
from sqlalchemy.orm import Session

import prompts
from judges import load_criteria
from recgpt.store.tables import Passport, PromptVersion

JUDGE = "fake-model@r1"


def tuned(project: Any, name: str = "interest_name", said: str = "Name it BETTER.", **columns: Any) -> str:
    """A prompt that says something more to the model, as tuning would keep it. Gives its version."""
    packaged = prompts.load(name)
    changed = prompts.parse(name, packaged.text.replace("## system\n", f"## system\n{said}\n", 1))
    row = {"task": name, "text": changed.text, "parent": packaged.version, **columns}
    with Session(project.store) as session:
        session.merge(PromptVersion(version=changed.version, **row))
        session.commit()
    return changed.version


def trust(project: Any, *tasks: str, judge: str = JUDGE, criteria: Iterable[str] | None = None, **columns: Any) -> None:
    """A passport above the bar for each task, of the criteria as they are."""
    for judged in tasks or ("interests", "tags", "explanations"):
        versions = {one.name: one.version for one in load_criteria(judged, criteria)}
        row = {"kappa": 0.8, "specificity": 0.9, "n": 100, "figures": {"against": "people"}, "labels_hash": "sha256:0"}
        with Session(project.store) as session:
            session.add(Passport(task=judged, judge=judge, prompt_versions=versions, **{**row, **columns}))
            session.commit()


def by_category(body: dict[str, Any]) -> str | None:
    """For `scripted.instead`: an interest is named by the category of its first product."""
    if task(body) != "interest_name":
        return None
    return json.dumps({"interest": last(body).partition(":")[0].removeprefix("- ")})


def told_better(body: Body) -> Any:
    """For `scripted.instead`: the packaged prompt names every interest "sundries", which no judge accepts; one that is
    told BETTER names well, and a reflection says so."""
    if task(body) == "reflection":
        return json.dumps({"findings": "All sundries.", "system": "Name it BETTER, please.", "examples": []})
    if task(body) == "interest_name" and "BETTER" not in system(body):
        return json.dumps({"interest": "sundries"})
    if task(body) == "interests" and claim(body) == "sundries":
        return verdict(body, "no")
    return by_category(body)


def system(body: dict[str, Any]) -> str:
    """What a request says first."""
    return str(body["messages"][0]["content"])
