import re
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import pytest

from recgpt.config import Config, load, night_of
from recgpt.errors import ConfigError
from recgpt.project import TEMPLATE, demo_settings, init
from recgpt.settings import Form, Seat
from towers.config import FeatureSettings, LossSettings, NetworkSettings, TrainingSettings


def written(folder: Path, text: str) -> Path:
    (folder / "recgpt.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_template_is_the_defaults(tmp_path: Path) -> None:
    init(tmp_path)
    assert load(tmp_path) == Config(folder=tmp_path)


def test_every_commented_key_of_the_template_exists_with_that_default(tmp_path: Path) -> None:
    lines = [re.sub(r"^# (?=\[|\w+ = )", "", line) for line in TEMPLATE.splitlines()]
    assert load(written(tmp_path, "\n".join(lines))) == Config(folder=tmp_path)


def test_the_template_names_every_setting_of_the_towers() -> None:
    text = TEMPLATE[TEMPLATE.index("# [towers]") :]
    for part in (FeatureSettings, NetworkSettings, LossSettings, TrainingSettings):
        for setting in fields(part):
            assert f"# {setting.name} = " in text


def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    text = "[scor]\n[towers.network]\ndimm = 3\n[behaviours.view]\nwrd = 'x'\n[data.columns.events]\nuserid = 'u'\n"
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    message = str(caught.value)
    for hint in (
        "unknown key scor; did you mean score?",
        "unknown key towers.network.dimm; did you mean dim?",
        "unknown key behaviours.view.wrd; did you mean word?",
        "unknown key data.columns.events.userid; did you mean user_id?",
    ):
        assert hint in message
    assert caught.value.exit_code == 2


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="recgpt init"):
        load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[data",
        "[towers.network]\ndim = 'wide'\n",
        "[towers.network]\nbody = 'wide'\n",
        "[towers.loss]\ntemperature = 0\n",
        "[score]\nbeta = 1.5\n",
    ],
)
def test_bad_values_name_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"recgpt\.toml"):
        load(written(tmp_path, text))


def test_a_server_engine_must_name_its_model_and_revision(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs model"):
        load(written(tmp_path, "[engine]\nkind = 'server'\n"))
    with pytest.raises(ConfigError, match="needs revision"):
        load(written(tmp_path, "[engine]\nkind = 'server'\nmodel = 'm'\n"))


def test_a_behaviour_can_be_added_and_changed(tmp_path: Path) -> None:
    text = "[behaviours.coupon]\nreliable = true\nweight = 2\nword = 'redeemed'\n[behaviours.view]\nweight = 0.5\n"
    config = load(written(tmp_path, text))
    assert config.behaviours["coupon"].word == "redeemed"
    assert config.behaviours["view"].weight == 0.5
    assert config.behaviours["view"].reliable
    assert "purchase" in config.behaviours


def test_leave_out_must_name_known_behaviours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"score\.leave_out"):
        load(written(tmp_path, "[score]\nleave_out = ['bought']\n"))


SERVER = (
    "[engine]\nkind = 'server'\nmodel = 'm'\nrevision = 'r'\nin_flight = 9\nthreads = 2\nbase_url = 'http://here/v1'\n"
    "api_key_env = 'KEY'\n"
)


def test_without_a_panel_the_engine_is_the_judge(tmp_path: Path) -> None:
    config = load(written(tmp_path, SERVER + "[judge]\nform = 'verdict'\nvotes = 3\n"))
    assert config.seats == (Seat(config.engine, "verdict", 3, 0.7),)
    assert [load(written(tmp_path, f"[judge]\nform = '{form}'\n")).seats[0].votes for form in get_args(Form)] == [
        1,
        5,
        5,
    ]


def test_a_panels_judge_says_what_is_other_about_it(tmp_path: Path) -> None:
    text = SERVER + (
        "[judge]\nform = 'verdict'\nvotes = 3\n[[judge.panel]]\n[[judge.panel]]\nform = 'said'\ntimeout_s = 5\n"
        "[[judge.panel]]\nmodel = 'other'\nrevision = 'q'\nvotes = 7\n[[judge.panel]]\nkind = 'embedded'\n"
        "[[judge.panel]]\nbase_url = 'http://there/v1'\nmodel = 'm'\nrevision = 'q'\n"
    )
    own, said, other, small, there = load(written(tmp_path, text)).seats
    assert (own.engine.model, own.form, own.votes) == ("m", "verdict", 3)
    assert (said.engine.model, said.engine.timeout_s, said.form, said.votes) == ("m", 5.0, "said", 1)
    assert (other.engine.model, other.engine.revision, other.engine.in_flight, other.votes) == ("other", "q", 9, 7)
    assert other.engine.kind == "server"
    # The key is for our own server.
    assert (other.engine.base_url, other.engine.api_key_env) == ("http://here/v1", "KEY")
    assert (there.engine.base_url, there.engine.api_key_env) == ("http://there/v1", "")
    assert (small.engine.kind, small.engine.model, small.engine.threads) == ("embedded", "", 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[judge.panel]]\nvotes = 3\n", "'said' is asked once"),
        ("[[judge.panel]]\n[[judge.panel]]\nin_flight = 1\n", r"judge\.panel: entry 2 is a judge that it has already"),
        ("[[judge.panel]]\nmodel = 'x'\n", r"judge\.panel: entry 1: .*needs revision"),
        ("[[judge.panel]]\nbase_url = 'http://there/v1'\n", r"judge\.panel: entry 1: .*needs model"),
        ("[[judge.panel]]\nmodle = 'x'\n", r"unknown key judge\.panel\.0\.modle; did you mean model\?"),
    ],
)
def test_a_panel_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(written(tmp_path, "[judge]\n" + text))


def test_bounds_of_an_explanation_must_leave_room(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"explain: min_chars \(50\) is more than max_chars \(40\)"):
        load(written(tmp_path, "[explain]\nmin_chars = 50\nmax_chars = 40\n"))


def test_a_fingerprint_changes_with_a_setting_and_not_with_the_folder(tmp_path: Path) -> None:
    one, other = Config(folder=tmp_path), Config(folder=tmp_path / "elsewhere")
    assert one.fingerprint() == other.fingerprint()
    changed = load(written(tmp_path, "[towers.training]\nseed = 1\n"))
    assert changed.fingerprint() != one.fingerprint()


def test_a_night_reads_up_to_the_end_of_its_day() -> None:
    assert night_of(date(2026, 10, 31)) == datetime(2026, 11, 1, tzinfo=UTC)


def test_init_leaves_an_existing_file_alone(tmp_path: Path) -> None:
    init(tmp_path)
    with pytest.raises(ConfigError, match="left as it is"):
        init(tmp_path)


def test_the_demos_settings_differ_from_the_defaults_where_they_say_so(tmp_path: Path) -> None:
    config = load(written(tmp_path, demo_settings()))
    assert config.data.base_features == ("age", "gender", "city")
    towers = config.towers
    assert (towers.loss.temperature, towers.loss.tag) == (0.15, 1.0)
    assert (towers.features.table_rows, towers.features.text_rows) == (8192, 8192)
    assert towers.network == Config().towers.network
