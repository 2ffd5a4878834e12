import hashlib
import json
import math

import pytest
import torch

from towers import checkpoint
from towers.checkpoint import CheckpointRefused
from towers.model import ThreeTowers


@pytest.fixture
def saved(tmp_path, small):
    torch.manual_seed(0)
    model = ThreeTowers(small)
    folder = tmp_path / "work" / "towers" / "latest"
    version = checkpoint.save(folder, model, metrics={"ndcg@10": 0.25}, item_ids=["a", "b"])
    return folder, model, version


def test_what_is_saved_is_loaded(saved, small):
    folder, model, version = saved
    found = checkpoint.load(folder, expected=small.but(training={"learning_rate": 1.0}))
    assert found.config == small
    assert found.version == version == checkpoint.version_of(folder)
    assert found.metrics == {"ndcg@10": 0.25}
    assert found.items_hash == checkpoint.ids_hash(["a", "b"]) != checkpoint.ids_hash(["ab", ""])
    assert not found.model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, found.model.state_dict()[name])


def test_the_version_is_the_content(saved, tmp_path):
    folder, model, version = saved
    again = checkpoint.save(tmp_path / "again", model, metrics={"ndcg@10": 0.25}, item_ids=["a", "b"])
    assert again == version
    with torch.no_grad():
        model.text.weight[0] += 1
    assert checkpoint.save(folder, model, metrics={"ndcg@10": 0.25}, item_ids=["a", "b"]) != version
    assert [path.name for path in folder.parent.iterdir()] == ["latest"]  # nothing is left of the old one


def test_half_a_checkpoint_is_refused(saved, tmp_path):
    folder, _, _ = saved
    (folder / "DONE").unlink()
    assert checkpoint.version_of(folder) is None
    with pytest.raises(CheckpointRefused, match="train the towers first"):
        checkpoint.load(folder)
    with pytest.raises(CheckpointRefused, match="train the towers first"):
        checkpoint.load(tmp_path / "nowhere")


def test_an_id_is_hashed_with_its_length_in_eight_bytes():
    content = b"\x02" + b"\0" * 7 + "é".encode() + b"\x01" + b"\0" * 7 + b"b"
    assert checkpoint.ids_hash(["é", "b"]) == "sha256:" + hashlib.sha256(content).hexdigest()


def test_the_version_is_a_hash_of_the_two_files_hashes(saved):
    folder, _, version = saved
    parts = [hashlib.sha256((folder / name).read_bytes()).digest() for name in ("config.json", "weights.safetensors")]
    assert version == "sha256:" + hashlib.sha256(parts[0] + parts[1]).hexdigest()
    assert (folder / "DONE").read_text() == version + "\n"
    settings = json.loads((folder / "config.json").read_text())
    assert (folder / "config.json").read_text() == json.dumps(settings, indent=2, sort_keys=True) + "\n"


def test_what_a_killed_save_left_is_cleared_away_and_no_number_is_nan(saved):
    folder, model, version = saved
    for name in ("latest.new", "latest.old"):
        (folder.parent / name).mkdir()
        (folder.parent / name / "half").write_bytes(b"x")
    with pytest.raises(ValueError, match="JSON"):
        checkpoint.save(folder, model, metrics={"ndcg@10": math.nan}, item_ids=[])
    assert checkpoint.load(folder).version == version
    checkpoint.save(folder, model, metrics={}, item_ids=[])
    assert [path.name for path in folder.parent.iterdir()] == ["latest"]
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_changed_or_missing_bytes_are_refused(saved, name):
    folder, _, _ = saved
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointRefused, match="not what was saved"):
        checkpoint.load(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointRefused, match="can't be read"):
        checkpoint.load(folder)


def test_other_features_are_refused(saved, small):
    folder, _, _ = saved
    with pytest.raises(CheckpointRefused, match="other features"):
        checkpoint.load(folder, expected=small.but(inputs={"behaviours": ("purchase", "view")}))


def test_features_of_another_version_of_the_code_are_refused(saved):
    folder, _, _ = saved
    settings = json.loads((folder / "config.json").read_text())
    settings["feature_hash"] = "sha256:0"
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "DONE").write_text(checkpoint._version(folder) + "\n")
    with pytest.raises(CheckpointRefused, match="another version"):
        checkpoint.load(folder)
