"""`recgpt judge audit`, in this process: what it prints for people and for programs, and the file it writes."""

import json
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from recgpt.errors import ConfigError, DataError


def run(desk: Any, *arguments: str) -> Result:
    command = ["judge", "audit", "tags", "--config", str(desk.folder), *arguments]
    return CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.fixture
def judged(desk: Any) -> Any:
    for name in ("human:ann", "human:bob"):
        desk.label(name, ((n, n % 2 == 0) for n in range(40)))
    desk.label("good@1", ((n, n % 2 == 0) for n in range(40)), p_yes=0.5, tokens=1234)
    desk.label("yes@1", ((n, True) for n in range(40)), criterion="[b]valid")
    desk.label("yes@1", ((n, True) for n in range(40)))
    desk.label("yes@1", [(1, True)], criterion="rare\x1b[2J")
    return desk


def test_every_judge_but_people_has_its_table(judged: Any) -> None:
    text = run(judged).stdout
    assert "good@1 on tags, against people (human:ann, human:bob): 40 verdicts on 40 targets" in text
    assert "1.00 [1.00, 1.00]" in text
    assert "1,234" in text
    assert "human:ann and human:bob: kappa 1.00 [1.00, 1.00]" in text
    assert "Nothing speaks against it." in text
    assert "yes@1 on tags" in text
    assert "! It always says yes." in text
    assert "human:ann on tags" not in text


def test_names_reach_the_terminal_as_they_are_spelt(judged: Any) -> None:
    text = run(judged, "--judge", "yes@1").stdout
    assert "[b]valid: no case has both a verdict and a truth" in text
    assert "rare\\x1b[2J" in text
    assert "\x1b" not in text


def test_json_holds_every_figure_and_what_speaks_against_it(judged: Any) -> None:
    (found,) = json.loads(run(judged, "--json", "--judge", "yes@1").stdout)
    assert found["judge"] == "yes@1"
    kappa = found["groups"]["all"]["figures"]["kappa"]
    assert (kappa["value"], kappa["low"], kappa["n"]) == (0.0, 0.0, 40)
    assert found["groups"]["[b]valid"]["figures"]["kappa"]["value"] is None
    assert any("always says yes" in line for line in found["findings"])
    assert "cases" not in found
    assert len(json.loads(run(judged, "--json").stdout)) == 2


def test_one_that_only_compared_pairs_is_audited_and_not_fitted(judged: Any) -> None:
    judged.prefer("pairs@1", 2, 1, "left", "left")
    text = run(judged, "--fit").stdout
    assert "yes@1: no threshold for specific: the judge gives no P(yes)" in text
    assert "pairs@1: " not in text
    assert "pairs@1 on tags" in text
    with pytest.raises(ConfigError, match="pairs@1: it has no labels"):
        run(judged, "--fit", "--judge", "pairs@1")


def test_a_second_audit_shows_the_drift(judged: Any) -> None:
    run(judged)
    judged.label("good@1", ((n, n % 4 == 0) for n in range(40)))
    text = run(judged, "--judge", "good@1").stdout
    assert "(0 new targets):" in text
    assert "all: kappa -0.50 [" in text
    assert "] worse" in text
    assert "! Its kappa has really fallen since the audit of" in text


def test_html_is_written_where_it_is_asked_for(judged: Any) -> None:
    file = judged.folder / "passports.html"
    assert f"Written: {file}" in run(judged, "--html", str(file)).stdout
    text = file.read_text("utf-8")
    assert "good@1" in text
    assert "yes@1" in text
    assert json.loads(run(judged, "--json", "--html", str(file)).stdout)


def test_against_another_judge_that_one_is_not_audited(judged: Any) -> None:
    (found,) = json.loads(run(judged, "--json", "--against", "good@1").stdout)
    assert (found["judge"], found["against"]) == ("yes@1", "good@1")


def test_fit_gives_the_judge_its_thresholds_first(desk: Any) -> None:
    desk.label("human:ann", ((n, n % 2 == 0) for n in range(40)))
    for n in range(40):
        desk.label("yes@1", [(n, True)], p_yes=0.9 if n % 2 == 0 else 0.7, threshold=0.5)
    desk.label("yes@1", [(1, True)], criterion="valid")
    text = run(desk).stdout
    assert "! Its P(yes) ranks better than its verdicts say (AUC 1.00): fit its thresholds with --fit." in text
    text = run(desk, "--fit").stdout
    assert "yes@1: yes on specific from P(yes) 0.800 on (fitted on 40 rows: AUC 1.00" in text
    assert "yes@1: no threshold for valid: the judge gives no P(yes)" in text
    assert "yes@1: 20 labels say something else now" in text
    assert "by thresholds fitted on other rows than those judged: specific" in text
    assert "1.00 [1.00, 1.00]" in text
    (found,) = json.loads(run(desk, "--fit", "--json").stdout)
    assert found["fitting"]["fitted"]["specific"]["value"] == pytest.approx(0.8)
    assert found["fitting"]["changed"] == 0


def test_without_labels_or_people_the_error_names_the_remedy(desk: Any) -> None:
    with pytest.raises(DataError, match="recgpt judge run"):
        run(desk)
    desk.label("good@1", [(1, True)])
    with pytest.raises(DataError, match="recgpt judge label tags"):
        run(desk)
    with pytest.raises(ConfigError, match="there are: good@1"):
        run(desk, "--judge", "bad@1")


def test_a_task_that_there_is_not_is_a_wrong_call(desk: Any) -> None:
    command = ["judge", "audit", "songs", "--config", str(desk.folder)]
    assert CliRunner().invoke(app, command).exit_code == 2
