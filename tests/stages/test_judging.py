"""Judging rows by a scripted model: evidence, votes, thresholds, panels, samples and pairs."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from fake_server import Answer, status
from scripted import Body, answer, claim, fields, instead, last, verdict
from sqlalchemy.orm import Session

from judges import load_criteria
from recgpt.errors import EngineError
from recgpt.labels.panel import panel_id
from recgpt.labels.sampling import Drawing
from recgpt.labels.store import labels
from recgpt.store.tables import Answer as AnswerRow
from recgpt.store.tables import Interest, JudgeThreshold, Label, Preference, Rejection, Tag, Unit
from recgpt.words import JudgeKind, Outcome, RunState, Stage, State, Task

VALID = load_criteria("tags", ["valid"])[0]
KNOWN = {(case.given, case.claim): case.verdict for case in VALID.cases}
TAGS = Drawing((Task.TAGS,))
MODEL = "fake-model@r1"


def judged(body: Body) -> tuple[str, str] | None:
    """What is given and claimed, of a request to a judge."""
    if "verdict" not in fields(body):
        return None
    given = last(body).partition("<given>\n")[2].partition("\n</given>")[0]
    return given, claim(body)


def by_the_case(body: Body) -> str | None:
    """Right about the known cases, and yes to all else."""
    asked = judged(body)
    return None if asked is None else verdict(body, "yes" if KNOWN.get(asked, True) else "no")


def configure(project: Any, *panel: str, **sections: dict[str, Any]) -> None:
    """Tags are judged by one criterion, by these judges."""
    project.configure(**sections, **{"judge.criteria": {"interests": [], "tags": ["valid"], "explanations": []}})
    with (project.folder / "recgpt.toml").open("a") as file:
        file.writelines(f"[[judge.panel]]\n{entry}\n" for entry in panel)


@pytest.fixture
def tagged(project: Any) -> Any:
    """A project whose interests and tags are made, and whose tags are to be judged."""
    project.run(Stage.INTERESTS, Stage.TAGS)
    configure(project)
    project.server.answer = instead(by_the_case)
    return project


def active(project: Any) -> list[int]:
    return [row.id for row in project.rows(Tag, Tag.state == State.ACTIVE)]


def asks(project: Any) -> int:
    """How many questions the active tags make: what two users have in the same words is asked once."""
    names = {row.id: row.name for row in project.rows(Interest)}
    return len({(names[row.interest_id], row.tag) for row in project.rows(Tag, Tag.state == State.ACTIVE)})


def with_p(body: Body, p: float) -> Answer:
    """A verdict with token probabilities."""
    word = "yes" if p >= 0.5 else "no"
    content = verdict(body, word)
    cut = content.rindex(word)
    rest = [("yes", p), ("no", 1.0 - p)]
    top = [{"token": token, "logprob": math.log(max(share, 1e-9))} for token, share in rest]
    said = {**top[word == "no"], "top_logprobs": top}
    return Answer(content, logprobs=[{"token": content[:cut], "logprob": 0.0}, said, {"token": '"}', "logprob": 0.0}])


def test_a_label_has_its_evidence_and_a_verdict_without_one_leaves_none(tagged: Any) -> None:
    first, *rest = sorted({row.tag for row in tagged.rows(Tag, Tag.state == State.ACTIVE)})

    def misquote(body: Body) -> str | None:
        said = by_the_case(body)
        asked = judged(body)
        if said is None or asked is None or asked[1] != first:
            return said
        return json.dumps({"evidence": "what nobody wrote", "verdict": "no"})

    tagged.server.answer = instead(misquote)
    tagged.run(Stage.JUDGE, judging=TAGS)
    tags = {row.id: row.tag for row in tagged.rows(Tag)}
    kept = tagged.rows(Label)
    assert {tags[row.target_id] for row in kept} == set(rest)
    assert all((row.evidence, row.judge, row.revision) == (tags[row.target_id], MODEL, "r1") for row in kept)
    refused = tagged.rows(Rejection, Rejection.stage == Stage.JUDGE)
    assert {(row.gate, "what nobody wrote" in row.detail) for row in refused} == {("no_verdict", True)}
    invalid = tagged.rows(Unit, Unit.stage == Stage.JUDGE, Unit.outcome == Outcome.INVALID)
    assert {tags[int(unit.key.split(":")[1])] for unit in invalid} == {first}


def test_a_judge_that_is_not_there_leaves_no_label_and_is_asked_again(tagged: Any, asked: Callable[[], int]) -> None:
    def busy(body: Body) -> Any:
        known = judged(body) in KNOWN
        return by_the_case(body) if known else status(503)

    configure(tagged, engine={"retries": 0})
    tagged.server.answer = instead(busy)
    tagged.run(Stage.JUDGE, judging=Drawing((Task.TAGS,), sample=5))
    assert not tagged.rows(Label)
    tagged.server.answer = instead(by_the_case)
    asked()
    tagged.run(Stage.JUDGE, judging=Drawing((Task.TAGS,), sample=5))
    assert len(tagged.rows(Label)) == 5
    assert 0 < asked() <= 5


def likely(body: Body, p: float) -> Answer:
    """What it was made to say, each word with this probability."""
    (said,) = fields(body)["answer"]["enum"]
    content = json.dumps({"answer": said})
    cut = content.index(said)
    pieces = [(content[:cut], 1.0), (said, p), (content[cut + len(said) :], 1.0)]
    entries = [{"token": token, "logprob": math.log(share)} for token, share in pieces]
    return Answer(content, logprobs=[{**entry, "top_logprobs": [entry]} for entry in entries])


def test_what_is_said_often_anyway_is_no_sign_that_it_fits(tagged: Any) -> None:
    relevant = load_criteria("tags", ["relevant"], form="said")[0]
    known = {(case.given, case.claim): case.verdict for case in relevant.cases}
    wrong, lost, *_ = sorted({row.tag for row in tagged.rows(Tag, Tag.state == State.ACTIVE)})

    def says(body: Body) -> Any:
        if "answer" not in fields(body):
            return None
        given, (said,) = last(body), fields(body)["answer"]["enum"]
        if given == relevant.neutral:
            return status(503) if said == lost else likely(body, 0.6 if said == wrong else 0.1)
        if (given, said) in known:
            return likely(body, 0.3 if known[given, said] else 0.05)
        return likely(body, 0.3)  # the wrong one as likely as the others

    tagged.configure(
        engine={"retries": 0},
        judge={"form": "said"},
        **{"judge.criteria": {"interests": [], "tags": ["relevant"], "explanations": []}},
    )
    tagged.server.answer = instead(says)
    tagged.run(Stage.JUDGE, judging=TAGS)
    tags = {row.id: row.tag for row in tagged.rows(Tag)}
    kept = tagged.rows(Label)
    assert {tags[row.target_id] for row in kept} == set(tags.values()) - {lost}  # no answer is no label
    for row in kept:
        right = tags[row.target_id] != wrong
        assert (row.verdict, row.p_yes) == (right, pytest.approx(0.75 if right else 1 / 3))
        assert row.judge == f"{MODEL}#said"
    unavailable = tagged.rows(Unit, Unit.stage == Stage.JUDGE, Unit.outcome == Outcome.UNAVAILABLE)
    assert {tags[int(unit.key.split(":")[1])] for unit in unavailable} == {lost}


def votes(body: Body, missing: tuple[int, ...] = ()) -> str | None:
    """To a row, in the order of the seeds: yes, no, no, yes, no; a known case, and the probe, as it is."""
    found = judged(body)
    if found is None or found in KNOWN:
        return by_the_case(body)
    if body["seed"] in missing:
        return json.dumps({"evidence": "what nobody wrote", "verdict": "yes"})
    return verdict(body, "yes" if body["seed"] in (0, 3) else "no")


def test_without_probabilities_the_share_of_votes_is_p(tagged: Any, asked: Callable[[], int]) -> None:
    configure(tagged, judge={"votes": 5, "temperature": 0.9})
    tagged.server.answer = instead(votes)
    tagged.run(Stage.JUDGE, judging=TAGS)
    rows = asks(tagged)
    # One probe with probabilities; then five answers to each known case and each tag.
    bodies = [body for body in tagged.server.requests if judged(body) is not None]
    assert len(bodies) == 1 + 5 * (len(KNOWN) + rows)
    assert Counter((body["temperature"], body["seed"], "logprobs" in body) for body in bodies[1:]) == {
        (0.9, seed, False): len(KNOWN) + rows for seed in range(5)
    }
    kept = tagged.rows(Label)
    assert {(row.p_yes, row.votes, row.threshold, row.verdict) for row in kept} == {(0.4, 5, 0.5, False)}
    for row in kept:  # the answer it points to says the same
        (answered,) = tagged.rows(AnswerRow, AnswerRow.request_hash == row.request_hash)
        assert json.loads(answered.content)["verdict"] == "no"
        assert row.tokens // (answered.tokens_in + answered.tokens_out) == 5  # of all five; a yes is no shorter
    asked()
    tagged.run(Stage.JUDGE, judging=TAGS)
    assert asked() == 0
    # A dry run knows from the ledger that there are votes.
    dry = tagged.run(Stage.JUDGE, judging=TAGS, dry_run=True).stages[0].counts
    assert (dry["to_ask"], dry["untouched"]) == (0, dry["units"])


def test_votes_that_are_no_verdicts_are_not_counted(tagged: Any) -> None:
    configure(tagged, judge={"votes": 5})
    tagged.server.answer = instead(lambda body: votes(body, missing=(1, 2)))
    tagged.run(Stage.JUDGE, judging=TAGS)
    assert {(row.p_yes, row.votes, row.verdict) for row in tagged.rows(Label)} == {(2 / 3, 3, True)}
    configure(tagged, judge={"votes": 5}, engine={"revision": "r2"})
    tagged.server.answer = instead(lambda body: votes(body, missing=(1, 2, 4)))
    tagged.run(Stage.JUDGE, judging=TAGS)
    assert not tagged.rows(Label, Label.judge == "fake-model@r2")


@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_that_gives_probabilities_is_asked_once_and_one_that_refuses_them_votes(
    tagged: Any, refuses: bool
) -> None:
    def say(body: Body) -> Any:
        found = judged(body)
        if found is None:
            return None
        if "logprobs" in body and refuses:
            return status(400, "logprobs are not supported")
        return by_the_case(body) if refuses else with_p(body, 0.7 if KNOWN.get(found, True) else 0.2)

    configure(tagged, judge={"votes": 3})
    tagged.server.answer = instead(say)
    tagged.run(Stage.JUDGE, judging=TAGS)
    said = {(row.votes, round(row.p_yes, 6), round(row.threshold, 6)) for row in tagged.rows(Label)}
    assert said == ({(3, 1.0, 0.5)} if refuses else {(None, 0.7, 0.45)})


def test_a_fitted_threshold_takes_the_place_of_the_known_cases(tagged: Any, asked: Callable[[], int]) -> None:
    tagged.server.answer = instead(lambda body: with_p(body, 0.7) if judged(body) else None)
    row = {"judge": MODEL, "prompt_version": VALID.version, "task": "tags", "criterion": "valid", "auc": 1.0,
           "sensitivity": 1.0, "specificity": 1.0, "cases": 20, "fitted_on": "sha256:0"}  # fmt: skip

    def keep(value: float, **columns: Any) -> None:
        with Session(tagged.store) as session:
            session.add(JudgeThreshold(**{**row, **columns}, value=value))
            session.commit()

    keep(0.1, judge="another@r1")
    keep(0.1, prompt_version="sha256:old")
    keep(0.5)
    keep(0.8)
    asked()
    tagged.run(Stage.JUDGE, judging=TAGS)
    assert asked() == asks(tagged)  # the known cases were not asked
    assert {(row.verdict, row.threshold) for row in tagged.rows(Label)} == {(False, 0.8)}
    keep(0.6)
    summary = tagged.run(Stage.JUDGE, judging=TAGS)
    assert asked() == 0  # the same answers, held against another threshold
    held = labels(tagged.store, Task.TAGS)
    assert {(row.verdict, row.threshold) for row in held} == {(True, 0.6)}
    assert len(held) == len(active(tagged))
    assert summary.stages[0].counts["notes"] == {"tags_A": len(held)}


def by_model(body: Body) -> str | None:
    """`strict` says no to every row, the others say yes."""
    found = judged(body)
    if found is None or found in KNOWN or body["model"] != "strict":
        return by_the_case(body)
    return verdict(body, "no")


def test_a_panel_judges_one_after_the_other_and_then_together(tagged: Any, asked: Callable[[], int]) -> None:
    tagged.server.models += ["strict", "mild"]
    tagged.server.answer = instead(by_model)
    configure(tagged, "", 'model = "strict"\nrevision = "s"', 'model = "mild"\nrevision = "m"')
    members = {MODEL, "strict@s", "mild@m"}
    asked()
    summary = tagged.run(Stage.JUDGE, judging=TAGS)
    rows = active(tagged)
    assert asked() == 3 * (asks(tagged) + len(KNOWN))
    held = labels(tagged.store, Task.TAGS)
    together = panel_id(members, "majority")
    assert Counter((row.judge, row.verdict) for row in held) == {
        (MODEL, True): len(rows), ("strict@s", False): len(rows), ("mild@m", True): len(rows),
        (together, True): len(rows),
    }  # fmt: skip
    assert {(row.kind, row.p_yes) for row in held if row.judge == together} == {(JudgeKind.PANEL, 2 / 3)}
    assert summary.stages[0].counts["notes"]["panel_labels"] == len(rows)
    assert summary.stages[0].counts["units"] == 3 * len(rows)
    assert summary.usage.asked == 3 * (asks(tagged) + len(KNOWN))  # what each of them cost
    summary = tagged.run(Stage.JUDGE, judging=TAGS)
    assert asked() == 0
    assert summary.stages[0].counts["notes"]["panel_labels"] == 0
    assert tagged.run(Stage.JUDGE, judging=TAGS, dry_run=True).stages[0].counts["untouched"] == 3 * len(rows)


def test_a_member_that_is_not_there_holds_up_none_of_the_others(tagged: Any) -> None:
    tagged.server.models += ["mild"]
    dead = 'base_url = "http://127.0.0.1:9/v1"\nmodel = "x"\nrevision = "x"'
    configure(tagged, "", dead, 'model = "mild"\nrevision = "m"')
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9"):
        tagged.run(Stage.JUDGE, judging=TAGS)
    held = labels(tagged.store, Task.TAGS)
    assert Counter(row.judge for row in held) == dict.fromkeys([MODEL, "mild@m"], len(active(tagged)))


def test_a_panel_without_the_writing_model_needs_only_its_own_servers(tagged: Any) -> None:
    tagged.server.models[:] = ["strict"]
    tagged.server.answer = instead(by_model)
    configure(tagged, 'model = "strict"\nrevision = "s"')
    tagged.run(Stage.JUDGE, judging=TAGS)
    assert {row.judge for row in labels(tagged.store, Task.TAGS)} == {"strict@s"}  # of one there is no panel


def test_the_budget_is_the_panels(tagged: Any) -> None:
    tagged.server.models += ["mild"]
    configure(tagged, "", 'model = "mild"\nrevision = "m"')
    drawing = Drawing((Task.TAGS,), sample=4)
    spent = tagged.run(Stage.JUDGE, judging=drawing, max_tokens=10**9).usage.tokens
    assert {row.judge for row in labels(tagged.store, Task.TAGS)} > {MODEL, "mild@m"}
    configure(tagged, "", 'model = "mild"\nrevision = "m2"', engine={"revision": "r2", "in_flight": 1})
    summary = tagged.run(Stage.JUDGE, judging=drawing, max_tokens=spent * 3 // 4)
    assert summary.state == RunState.STOPPED
    judges = {row.judge for row in labels(tagged.store, Task.TAGS)}
    assert "fake-model@r2" in judges  # half of the budget was enough for the first
    assert not any(name.endswith("m2") and "panel" in name for name in judges)
    assert spent * 3 // 4 <= summary.usage.tokens < spent
    assert tagged.run(Stage.JUDGE, judging=drawing).state == RunState.DONE


def test_a_sample_is_the_same_again_and_goes_on(tagged: Any, asked: Callable[[], int]) -> None:
    drawing = Drawing((Task.TAGS,), sample=6, strata=("user_activity", "category"))
    tagged.run(Stage.JUDGE, judging=drawing)
    first = {row.target_id for row in tagged.rows(Label)}
    assert len(first) == 6
    asked()
    tagged.run(Stage.JUDGE, judging=drawing)
    assert asked() == 0
    tagged.run(Stage.JUDGE, judging=Drawing((Task.TAGS,), sample=6, strata=("user_activity",), seed=5))
    assert {row.target_id for row in tagged.rows(Label)} > first


def better(body: Body) -> tuple[str, str] | None:
    if "better" not in fields(body):
        return None
    return tuple(re.findall(r"<(?:first|second)>\n(.*?)\n</", last(body), re.DOTALL))  # type: ignore[return-value]


def test_only_what_wins_in_both_orders_has_won(tagged: Any, asked: Callable[[], int]) -> None:
    """The longer tag is better; of two as long the first is."""

    def say(body: Body) -> str | None:
        texts = better(body)
        return None if texts is None else json.dumps({"better": "second" if len(texts[1]) > len(texts[0]) else "first"})

    tagged.server.answer = instead(say)
    asked()
    drawing = Drawing((Task.TAGS,), sample=20, pairs=True)
    summary = tagged.run(Stage.JUDGE, judging=drawing)
    rows = tagged.rows(Preference)
    assert len(rows) == 20
    assert asked() == 2 * len({(row.input_hash, row.left, row.right) for row in rows})
    tags = {row.id: row for row in tagged.rows(Tag)}
    for row in rows:
        one, other = tags[row.left_target], tags[row.right_target]
        assert one.interest_id == other.interest_id
        assert (row.left, row.right, row.judge, row.criterion) == (one.tag, other.tag, MODEL, "valid")
        assert row.left_version == row.right_version != ""
        same = len(one.tag) == len(other.tag)
        longer = "left" if len(one.tag) > len(other.tag) else "right"
        assert (row.first, row.second, row.winner) == (("left", "right", None) if same else (longer, longer, longer))
        assert row.tokens > 0
    wins = sum(row.winner is not None for row in rows)
    assert wins > 0
    assert summary.stages[0].counts["notes"] == {
        name: count for name, count in (("stable_wins", wins), ("unstable", len(rows) - wins)) if count
    }
    tagged.run(Stage.JUDGE, judging=drawing)
    assert asked() == 0
    assert len(tagged.rows(Preference)) == len(rows)


def test_a_pair_half_of_which_is_no_answer_is_none(tagged: Any) -> None:
    def say(body: Body) -> str | None:
        texts = better(body)
        return None if texts is None else "{}" if texts[0] < texts[1] else json.dumps({"better": "first"})

    tagged.server.answer = instead(say)
    tagged.run(Stage.JUDGE, judging=Drawing((Task.TAGS,), sample=5, pairs=True))
    assert not tagged.rows(Preference)
    assert {unit.outcome for unit in tagged.rows(Unit, Unit.key.startswith("pair:"))} == {Outcome.INVALID}


def test_a_night_judges_as_before_and_says_what_the_rows_are_worth(project: Any) -> None:
    project.server.answer = answer
    notes = project.run().stages[-1].counts["notes"]
    assert set(notes) == {"interests_A", "tags_A", "explanations_A"}  # yes to all, and no threshold for an S
    assert notes["tags_A"] == len(active(project))
