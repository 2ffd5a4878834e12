"""`tune sft`, `dpo` and `judge` as a user runs them: from labels to an adapter that serves."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import Recgpt
from scripted import Body, claim, instead, last, task, verdict
from sqlalchemy.orm import Session
from tiny_llama import tiny_llama
from versions import by_category, trust

from judges import load_criteria
from recgpt.labels.store import add
from recgpt.store.lock import alone
from recgpt.store.tables import Label, ModelVersion, Request, Tag, TuningRun
from recgpt.tuning import adapter
from recgpt.tuning.split import held_out
from recgpt.words import Stage

__all__ = ["tiny_llama"]
CRITERIA = load_criteria("tags")


GOOD, BAD = ("roomy", "soft", "bright", "neat"), ("dull", "bleak", "grey", "stale")


def script(body: Body) -> Any:
    """Everybody's interest is named by its category. The second of the further answers is a bad one, and the judge
    knows it."""
    if task(body) == "interest_tags":
        words = {0: ("light", "sturdy", "folding", "plain"), 2000: BAD}.get(body["seed"], GOOD)
        core = last(body).split()[-1]
        return json.dumps({"tags": [f"{word} {core} gear" for word in words]})
    if task(body) == "tags":
        return verdict(body, "no" if claim(body).split()[0] in BAD else "yes")
    return by_category(body)


@pytest.fixture
def tagged(project: Any, tiny_llama: Path) -> Any:
    """A night's tags, and a folder with the weights that the server is said to serve."""
    short = {"epochs": 1, "batch_size": 8, "micro_batch": 4}
    project.configure(
        **{
            "tuning": {"base": str(tiny_llama), "held_out": 0.3, "balance": 0.0, "shared": "keep"},
            "tuning.lora": {"rank": 2, "alpha": 4},
            "tuning.sft": short, "tuning.dpo": short, "tuning.judge": short,
            "tuning.grpo": {"epochs": 1, "batch_size": 2, "micro_batch": 2, "answers": 2},
            "tags": {"retrievable": 0.0, "duplicate": 1.0, "same_as_done": 1.0},
            "interests": {"min_items": 2, "min_days": 2, "min_span_days": 7},
        }
    )  # fmt: skip
    project.server.answer = instead(script)
    project.run(Stage.INTERESTS, Stage.TAGS)
    return project


def label(project: Any) -> list[Tag]:
    """A person finds every tag good, but for those of each third interest, and the plain ones of held-out users: they
    are not valid."""
    tags: list[Tag] = project.rows(Tag)

    def poor(tag: Tag) -> bool:
        if held_out(tag.user_id, project.config.tuning):
            return tag.tag.startswith("plain")
        return tag.interest_id % 3 == 0

    with Session(project.store) as session:
        rows = [
            Label(task="tags", target_id=one.id, criterion=name.name, judge="human:ann", kind="human",
                  verdict=name.name != "valid" or not poor(one), prompt_version=name.version)
            for one in tags for name in CRITERIA
        ]  # fmt: skip
        add(session, rows)
        session.commit()
    return tags


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_sft_from_labels_to_an_adapter_that_serves(tagged: Any, recgpt: Recgpt) -> None:
    done = recgpt("tune", "sft", "tags")
    assert (done.code, "recgpt judge run" in done.err) == (1, True)  # nothing is labelled
    [failed] = tagged.rows(TuningRun) or [None]
    assert failed is None  # nothing was begun
    label(tagged)
    done = recgpt("tune", "sft", "tags", "--json")
    assert done.code == 0, done.err
    tuned = json.loads(done.out)
    folder = Path(tuned["folder"])
    assert adapter.read(folder).version == tuned["version"]
    assert (tuned["served"], tuned["base"], tuned["parent"]) == ("tags", "fake-model@r1", None)

    bodies = {row.hash: json.loads(row.body) for row in tagged.rows(Request)}
    learnt = lines(folder.parent / "data" / "train.jsonl")
    assert len(learnt) == tuned["data"]["counts"]["rows"] > 0
    for row in learnt:
        assert row["messages"] == bodies[row["source"]["request"]]["messages"]  # what serving sends
        assert not held_out(row["source"]["user"], tagged.config.tuning)
    [version] = tagged.rows(ModelVersion, ModelVersion.kind == "adapter")
    assert not Path(version.path).is_absolute()
    assert tagged.config.path(version.path) == folder
    [run] = tagged.rows(TuningRun)
    assert (run.kind, run.task, run.state, run.version) == ("sft", "tags", "done", tuned["version"])
    assert run.data_hash == tuned["data"]["hash"]

    again = json.loads(recgpt("tune", "sft", "tags", "--json").out)
    assert again == tuned  # there already
    listed = json.loads(recgpt("tune", "list", "--json").out)
    assert [(one["version"], one["kind"], one["task"], one["serves"]) for one in listed] == [
        (tuned["version"], "adapter", "tags", False)
    ]

    tagged.server.adapters = {}
    assert recgpt("promote", tuned["version"], "--force").code == 0
    tagged.run(Stage.TAGS)
    assert tagged.server.adapters == {tuned["name"]: str(folder.resolve())}
    assert tagged.server.requests[-1]["model"] == tuned["name"]
    assert {row.revision for row in tagged.rows(Request, Request.model == tuned["name"])} == {tuned["version"]}
    with alone(tagged.store, "recgpt nightly"):
        assert "in use by 'recgpt nightly'" in recgpt("tune", "sft", "tags").err
    child = recgpt("tune", "sft", "tags", "--parent", "serving")
    assert (child.code, f"from {tuned['version'].removeprefix('sha256:')[:12]}" in child.out) == (0, True), child.err
    assert "Next: 'recgpt tune evaluate" in child.out
    wrong = recgpt("tune", "sft", "interests", "--parent", tuned["version"])
    assert (wrong.code, "no adapter for interests" in wrong.err) == (1, True)


def test_dpo_learns_from_further_answers_that_were_judged(tagged: Any, recgpt: Recgpt) -> None:
    refused = recgpt("tune", "dpo", "tags", "--samples", "2", "--date", str(tagged.night))
    assert (refused.code, "no passport" in refused.err, "--force" in refused.err) == (1, True, True)
    trust(tagged, "tags")
    before = len(tagged.rows(Tag))
    done = recgpt("tune", "dpo", "tags", "--samples", "2", "--date", str(tagged.night), "--json")
    assert done.code == 0, done.err
    tuned = json.loads(done.out)
    pairs = lines(Path(tuned["folder"]).parent / "data" / "train.jsonl")
    assert pairs
    for row in pairs:
        assert "roomy" in row["chosen"]
        assert "dull" in row["rejected"]
        assert (row["source"]["chosen"]["round"], row["source"]["rejected"]["round"]) == (1, 2)
        assert row["source"]["chosen"]["judge"] == "fake-model@r1"
        assert not held_out(row["source"]["chosen"]["user"], tagged.config.tuning)
    assert len(tagged.rows(Tag)) == before  # nothing of it became a tag
    assert not tagged.rows(Label)
    asked = len(tagged.server.requests)
    again = recgpt("tune", "dpo", "tags", "--samples", "2", "--date", str(tagged.night), "--json")
    assert json.loads(again.out) == tuned
    assert len(tagged.server.requests) == asked  # nor is anything asked twice


def test_a_judge_is_tuned_on_what_people_said(tagged: Any, recgpt: Recgpt) -> None:
    label(tagged)
    done = recgpt("tune", "judge", "tags")
    assert done.code == 0, done.err
    assert "for judge.tags, on fake-model@r1, from the base itself" in done.out
    assert "tags.relevant is left out" in done.out  # nobody found one that is not
    [version] = tagged.rows(ModelVersion, ModelVersion.kind == "adapter")
    rows = lines(tagged.config.path(version.path).parent / "data" / "train.jsonl")
    (valid,) = [one for one in CRITERIA if one.name == "valid"]
    tags = {one.id: one for one in tagged.rows(Tag)}
    answers = {row["source"]["target"]: json.loads(row["completion"]) for row in rows}
    assert {one["verdict"] for one in answers.values()} == {"yes", "no"}
    for target, said in answers.items():
        assert said["evidence"] == tags[target].tag
    assert all(row["messages"][0] == valid.messages(given="", claim="")[0] for row in rows)

    tagged.server.adapters = {}
    measured = recgpt("tune", "evaluate", version.version, "--json")
    assert measured.code == 0, measured.err
    gate = json.loads(measured.out)
    assert (gate["judge"], gate["against"], gate["promoted"]) == ("human:ann", None, False)  # both say the same
    assert gate["differences"]["valid"]["mean"] == 0.0
    assert tagged.server.adapters == {version.name: str(tagged.config.path(version.path).resolve())}
    assert "the gate did not pass it" in recgpt("promote", version.version).err


def test_grpo_asks_what_the_stage_asks_and_rewards_nothing_that_no_stage_can_read(tagged: Any, recgpt: Recgpt) -> None:
    options = ("--users", "1", "--date", str(tagged.night))
    refused = recgpt("tune", "grpo", "tags", *options)
    assert (refused.code, "no passport" in refused.err) == (1, True)
    trust(tagged, "tags")
    done = recgpt("tune", "grpo", "tags", *options, "--json")
    assert done.code == 0, done.err
    tuned = json.loads(done.out)
    questions = lines(Path(tuned["folder"]).parent / "data" / "train.jsonl")
    asked = [json.loads(row.body)["messages"] for row in tagged.rows(Request, Request.task == "interest_tags")]
    assert questions
    assert all(row["messages"] in asked for row in questions)
    assert tuned["figures"]["reward"] == {"first": 0.0, "last": 0.0}  # random weights write no JSON
    assert tuned["figures"]["steps"] == len(questions)
    assert len(tagged.rows(TuningRun, TuningRun.kind == "grpo", TuningRun.state == "done")) == 1
