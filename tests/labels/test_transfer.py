"""Labels out to files and in again, and files that are anything but in order."""

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from judges import Criterion
from recgpt.errors import ConfigError, DataError
from recgpt.labels.store import labels
from recgpt.labels.targets import load_targets
from recgpt.labels.transfer import Imported, export, read_file
from recgpt.store.tables import now
from recgpt.words import Task

Criteria = dict[str, Criterion]
GOOD = {"task": "tags", "target_id": 1, "criterion": "valid", "verdict": "yes", "judge": "other"}


@pytest.fixture
def tag(shelf: Any) -> int:
    number = int(shelf.tag(shelf.interest(), "red light torch"))
    assert number == GOOD["target_id"]
    return number


def bring(shelf: Any, logs: Any, file: Path, **options: Any) -> Imported:
    return read_file(shelf.store, logs, shelf.config, file, **options)


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def held(shelf: Any) -> list[tuple[str, str, bool]]:
    return [(row.judge, row.criterion, row.verdict) for row in labels(shelf.store, Task.TAGS)]


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_what_went_out_comes_in_again(
    shelf: Any, logs: Any, tags: Criteria, tag: int, tmp_path: Path, name: str
) -> None:
    said = {"evidence": "red light", "rationale": 'It is, "so" to say,\nred; ünïcode.', "p_yes": 0.1 + 0.2}
    shelf.label("human:eva", tags["valid"], [(tag, True)], queued="random", **said)
    shelf.label("m@r#said", tags["specific"], [(tag, False)], threshold=0.4, votes=5, tokens=70, revision="r", **said)
    file = tmp_path / name
    assert export(shelf.store, list(Task), file) == 2
    before = [{**row.__dict__, "id": 0} for row in labels(shelf.store, Task.TAGS)]

    other = type(shelf)(tmp_path / "other")
    other.tag(other.interest(), "red light torch")
    found = bring(other, logs, file)
    assert (found.added, found.known, found.bad) == (2, 0, [])
    assert found.judges == {"human:eva": 1, "import:m@r#said": 1}
    after = [{**row.__dict__, "id": 0} for row in labels(other.store, Task.TAGS)]
    # A model's label has no request behind it here, so it is not the model's any more; all else is as it was.
    before[1] |= {"judge": "import:m@r#said", "kind": "import", "revision": ""}
    assert after == before
    again = bring(other, logs, file)
    assert (again.added, again.known, again.bad) == (0, 2, [])


def test_only_what_is_asked_for_goes_out_and_only_what_holds(
    shelf: Any, logs: Any, tags: Criteria, tag: int, tmp_path: Path
) -> None:
    shelf.label("human:eva", tags["valid"], [(tag, True)])
    shelf.label("human:eva", tags["valid"], [(tag, False)])
    shelf.label("human:tom", tags["valid"], [(tag, True)])
    file = tmp_path / "labels.csv"

    def shown(task: Task, ids: Any) -> Any:
        return load_targets(shelf.store, logs, shelf.config, task, ids)

    assert export(shelf.store, [Task.TAGS], file, judges=["human:eva"], shown=shown) == 1
    with file.open(newline="") as opened:
        (row,) = csv.DictReader(opened)
    assert (row["verdict"], row["judge"], row["p_yes"]) == ("no", "human:eva", "")
    assert (row["given"], row["claim"]) == ("stargazing", "red light torch")
    assert export(shelf.store, [Task.INTERESTS], file) == 0
    assert [path.name for path in tmp_path.glob("labels*")] == ["labels.csv"]


def test_each_bad_row_is_named_with_its_line_and_the_others_come_in(
    shelf: Any, logs: Any, tag: int, tmp_path: Path
) -> None:
    wrong: list[tuple[Any, str]] = [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no JSON object"),
        ({**GOOD, "verdict": "perhaps"}, "yes or no, not 'perhaps'"),
        ({**GOOD, "verdict": None}, "it has no verdict"),
        ({**GOOD, "target_id": 99}, "there is no row 99 in tags"),
        ({**GOOD, "target_id": "1; drop"}, "target_id is a whole number"),
        ({**GOOD, "target_id": 10**400}, "target_id is a whole number"),
        ({**GOOD, "target_id": True}, "target_id is a whole number"),
        ({**GOOD, "criterion": "tasty"}, "no criterion 'tasty'; there are consistent"),
        ({**GOOD, "criterion": ["valid"]}, "criterion is neither a text nor a number"),
        ({**GOOD, "task": "shoes"}, "there is no task 'shoes'"),
        ({**GOOD, "p_yes": 1.5}, "p_yes is a number from 0 to 1, not '1.5'"),
        ({**GOOD, "p_yes": float("nan")}, "p_yes is a number"),
        ({**GOOD, "votes": -1}, "votes is a whole number"),
        ({**GOOD, "tokens": 2**31}, "tokens is a whole number"),
        ({**GOOD, "time": "yesterday"}, "no ISO 8601"),
        ({**GOOD, "time": "0001-01-01T00:00:00+12:00"}, "no ISO 8601"),
        ({**GOOD, "time": (now() + timedelta(days=3)).isoformat()}, "in the future"),
        ({**GOOD, "evidence": "a blue torch"}, "evidence 'a blue torch' is not in what was judged"),
        ({**GOOD, "rationale": "x" * 10_001}, "10,001 characters"),
        ({**GOOD, "rationale": "a\0b"}, "no UTF-8 text"),
        ({**GOOD, "rationale": "\ud83d"}, "no UTF-8 text"),
        ({**GOOD, "judge": ""}, "it names no judge; give one with --as"),
        ({**GOOD, "judge": "a\x1b[2J"}, "can't be printed"),
        ({**GOOD, "judge": "x" * 600}, "too long"),
        ({**GOOD, "prompt_version": "x" * 80}, "prompt_version"),
    ]
    file = lines(tmp_path / "in.jsonl", *(row for pair in wrong for row in (pair[0], "")), GOOD)
    found = bring(shelf, logs, file)
    assert found.added == 1
    assert [(one.line, said in one.reason) for one, (_, said) in zip(found.bad, wrong, strict=True)] == [
        (2 * number + 1, True) for number in range(len(wrong))
    ]
    assert held(shelf) == [("import:other", "valid", True)]


def test_a_table_with_broken_rows(shelf: Any, logs: Any, tag: int, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_bytes(
        b"\xef\xbb\xbftarget_id, criterion,verdict,rationale\r\n"
        b'1,valid,YES,"two\nlines"\r\n'
        b"1,specific,no,caf\xe9\r\n"
        b"\r\n"
        b"1,specific,no,a,b\r\n"
        b"1,specific\r\n" + b"1,specific,no," + b"x" * 140_000 + b"\r\n"
        b"1,timely,0,\r\n"
    )
    found = bring(shelf, logs, file, name="sheet", task=Task.TAGS)
    assert [(one.line, one.reason) for one in found.bad] == [
        (4, "rationale is no UTF-8 text"),
        (6, "it has 5 cells under 4 names"),
        (7, "it has no verdict"),
        (8, "no CSV: field larger than field limit (131072)"),
    ]
    assert held(shelf) == [("import:sheet", "valid", True), ("import:sheet", "timely", False)]
    assert found.added == 2


def test_who_gave_a_label(shelf: Any, logs: Any, tag: int, tmp_path: Path) -> None:
    names = {"human:eva": "human:eva", "import:x": "import:x", "human:": "import:human:", "panel:p": "import:panel:p"}
    file = lines(tmp_path / "in.jsonl", *({**GOOD, "judge": name} for name in names))
    bring(shelf, logs, file)
    assert [judge for judge, _, _ in held(shelf)] == list(names.values())
    bring(shelf, logs, lines(tmp_path / "in.jsonl", {**GOOD, "judge": "human:eva"}), name="theirs")
    assert held(shelf)[-1][0] == "import:theirs"


def test_the_newest_label_holds_whatever_the_order_of_the_files(
    shelf: Any, logs: Any, tag: int, tmp_path: Path
) -> None:
    new, old = {**GOOD, "verdict": "no", "time": "2026-10-02T00:00:00"}, {**GOOD, "time": "2026-10-01T00:00:00+00:00"}
    assert bring(shelf, logs, lines(tmp_path / "a.jsonl", new)).added == 1
    found = bring(shelf, logs, lines(tmp_path / "b.jsonl", old))
    assert (found.added, found.known) == (0, 1)
    assert held(shelf) == [("import:other", "valid", False)]
    found = bring(shelf, logs, lines(tmp_path / "c.jsonl", {**old, "judge": "o"}, {**new, "judge": "o"}, old))
    assert (found.added, found.known) == (1, 1)
    assert held(shelf)[-1] == ("import:o", "valid", False)
    # Without a time: news only if it says something else.
    assert bring(shelf, logs, lines(tmp_path / "d.jsonl", {**GOOD, "verdict": "no"})).known == 1
    assert bring(shelf, logs, lines(tmp_path / "d.jsonl", GOOD)).added == 1


def test_a_quote_of_the_season_is_evidence_where_the_season_was_asked_about(
    shelf: Any, logs: Any, tag: int, tmp_path: Path
) -> None:
    row = {**GOOD, "evidence": "autumn"}
    found = bring(shelf, logs, lines(tmp_path / "in.jsonl", {**row, "criterion": "timely"}, row))
    assert (found.added, len(found.bad)) == (1, 1)


def test_what_is_no_such_file_is_refused_with_the_remedy(shelf: Any, logs: Any, tag: int, tmp_path: Path) -> None:
    for file in ("labels.txt", "labels"):
        (tmp_path / file).write_text("")
        with pytest.raises(ConfigError, match=r"neither \.csv nor \.jsonl"):
            bring(shelf, logs, tmp_path / file)
        with pytest.raises(ConfigError, match=r"neither \.csv nor \.jsonl"):
            export(shelf.store, [Task.TAGS], tmp_path / file)
    (tmp_path / "in.csv").write_text("target,criterion\n")
    with pytest.raises(DataError, match="no column target_id, verdict"):
        bring(shelf, logs, tmp_path / "in.csv")
    with pytest.raises(DataError, match="can't be read"):
        bring(shelf, logs, tmp_path / "gone.csv")


def test_a_long_file_comes_in_whole(shelf: Any, logs: Any, tmp_path: Path) -> None:
    interest = shelf.interest()
    ids = [shelf.tag(interest, f"tag {number}") for number in range(1_100)]
    file = lines(tmp_path / "in.jsonl", *({**GOOD, "target_id": number} for number in ids), "x")
    found = bring(shelf, logs, file)
    assert (found.added, [one.line for one in found.bad]) == (1_100, [1_101])
    assert export(shelf.store, [Task.TAGS], tmp_path / "out.jsonl") == 1_100
