"""`recgpt judge run`, `pairs`, `export` and `import`, as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest
from scripted import instead
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from cli.app import app
from recgpt.errors import BudgetSpent, RecgptError
from recgpt.labels.store import labels
from recgpt.store.tables import Label, Preference, Tag
from recgpt.words import Stage, State, Task


def recgpt(project: Any, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["judge", *arguments, "-c", str(project.folder)])


@pytest.fixture
def made(project: Any) -> Any:
    project.run(Stage.INTERESTS, Stage.TAGS)
    return project


def test_a_sample_of_some_tasks_over_strata_within_a_budget(made: Any) -> None:
    night = ("--date", str(made.night))
    done = recgpt(made, "run", "tags", "--sample", "4", "--strata", "category, user_activity", *night, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["stages"][0]["units"] == 4
    kept = made.rows(Label)
    assert {row.task for row in kept} == {"tags"}
    assert len({row.target_id for row in kept}) == 4
    again = json.loads(recgpt(made, "run", "tags", "interests", "--sample", "4", *night, "--json").stdout)
    assert {row.task for row in made.rows(Label)} == {"interests", "tags"}
    assert again["stages"][0]["units"] == 8
    spent = recgpt(made, "run", "--sample", "9", "--budget", "1", "--seed", "3", *night).exception
    assert isinstance(spent, BudgetSpent)
    assert "1 tokens" in str(spent)


def test_without_a_sample_it_is_the_share_of_the_night(made: Any) -> None:
    made.configure(judge={"share": 0.3})
    done = recgpt(made, "run", "--date", str(made.night), "--json")
    dry = recgpt(made, "run", "--date", str(made.night), "--dry-run", "--json")
    drawn = {(row.task, row.target_id) for row in made.rows(Label)}
    assert json.loads(done.stdout)["stages"][0]["units"] == len(drawn) > 0
    assert json.loads(dry.stdout)["stages"][0]["units"] == len(drawn)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--sample", "4", "--strata", "colour"), "colour; there are user_activity, category"),
        (("run", "--strata", "category"), "say how many with --sample"),
        (("run", "shoes"), "'shoes' is not one of"),
    ],
)
def test_a_wrong_call_says_what_there_is(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["judge", *arguments, "-c", str(tmp_path)], env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 2
    assert said in done.output


def test_pairs_are_judged_and_counted(made: Any) -> None:
    made.server.answer = instead(lambda body: json.dumps({"better": "first"}) if "better" in str(body) else None)
    done = recgpt(made, "pairs", "tags", "--sample", "3", "--date", str(made.night), "--json")
    assert done.exit_code == 0, done.output
    rows = made.rows(Preference)
    assert len({(row.left_target, row.right_target) for row in rows}) == 3
    assert {row.winner for row in rows} == {None}  # whoever always takes the first has said nothing
    assert json.loads(done.stdout)["stages"][0]["notes"] == {"unstable": len(rows)}


def test_labels_go_out_and_come_in(made: Any, tmp_path: Path) -> None:
    tags = {row.id: row.tag for row in made.rows(Tag, Tag.state == State.ACTIVE)}
    first, second = list(tags)[:2]
    file = tmp_path / "mine.csv"
    file.write_text(
        f"target_id,criterion,verdict,evidence\n{first},valid,yes,{tags[first]}\n{second},valid,maybe,\n{second},x,no,\n"
    )
    done = recgpt(made, "import", str(file), "--as", "sheet", "--task", "tags")
    assert done.exit_code == 3, done.output
    assert done.stdout.splitlines() == [
        "1 labels added, 0 known before, 2 rows left out",
        "  import:sheet: 1",
        "  line 3: the verdict is yes or no, not 'maybe'",
        "  line 4: tags has no criterion 'x'; there are consistent, relevant, specific, timely, valid",
    ]
    out = tmp_path / "all.jsonl"
    done = recgpt(made, "export", str(out), "--texts", "--task", "tags", "--judge", "import:sheet", "--json")
    assert json.loads(done.stdout)["labels"] == 1
    (row,) = map(json.loads, out.read_text().splitlines())
    assert (row["target_id"], row["verdict"], row["claim"], row["judge"]) == (first, "yes", tags[first], "import:sheet")
    with Session(made.store) as session:
        session.query(Label).delete()
        session.commit()
    done = recgpt(made, "import", str(out), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"added": 1, "known": 0, "judges": {"import:sheet": 1}, "bad": []}
    assert [one.evidence for one in labels(made.store, Task.TAGS)] == [tags[first]]


def test_a_file_that_is_no_table_is_a_wrong_call(made: Any, tmp_path: Path) -> None:
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    for arguments, code in (
        (("import", str(tmp_path / "labels.xlsx")), 2),
        (("export", str(tmp_path / "out.txt")), 2),
        (("export", str(tmp_path / "nowhere" / "out.csv")), 1),
    ):
        error = recgpt(made, *arguments).exception
        assert isinstance(error, RecgptError)
        assert error.exit_code == code
