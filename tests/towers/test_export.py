import copy
import json
import sys

import numpy as np
import pytest
import torch

from towers.config import NetworkSettings, TowersConfig, TowersError
from towers.export import MANIFEST, ExportRefused, export, load_export, write_manifest
from towers.model import ThreeTowers
from towers.topk import top_k


@pytest.fixture(scope="module")
def model() -> ThreeTowers:
    torch.manual_seed(0)
    network = NetworkSettings(dim=4, hidden=16, interaction="cross", tasks=("purchase",), dropout=0.3)
    return ThreeTowers(TowersConfig(network=network)).eval()


ITEMS = [f"i{n}" for n in range(30)]
USERS = ["ann", "bob", "chloé"]


def blocks(ids, vectors, size=2):
    return [(ids[n : n + size], vectors[n : n + size]) for n in range(0, len(ids), size)]


@pytest.fixture
def vectors():
    torch.manual_seed(1)
    return torch.randn(30, 8), torch.randn(3, 8)


@pytest.fixture
def write(tmp_path, model, vectors):
    def write(**options):
        items, users = vectors
        options = {"index": False, "onnx": False, **options}
        version, towers = options.pop("version", "sha256:one"), options.pop("model", model)
        manifest = export(
            tmp_path / "out", towers, version=version, items=blocks(ITEMS, items), users=blocks(USERS, users), **options
        )
        return tmp_path / "out", manifest

    return write


def test_vectors_that_hold_no_score_for_repeats_say_so(tmp_path, model):
    apart = ThreeTowers(model.config.but(network={"repeats": True}))
    manifest = export(tmp_path / "out", apart, version="x", items=[], users=[], index=False, onnx=False)
    assert manifest["ranks"] == load_export(tmp_path / "out").manifest["ranks"] == "new"


def test_vectors_come_back_with_their_ids(write, vectors):
    folder, manifest = write()
    found = load_export(folder)
    for name, ids, wanted in (("items", ITEMS, vectors[0]), ("users", USERS, vectors[1])):
        back, values = found.vectors(name)
        assert back == ids
        assert np.array_equal(values, wanted.numpy())
        assert values.dtype == np.float32
        assert manifest[name]["rows"] == len(ids)
    assert found.manifest == manifest
    assert manifest["config"]["network"]["dim"] == 4
    assert (manifest["towers"], manifest["ranks"]) == ("sha256:one", "all")


def test_hashes_are_of_ids_and_vectors_in_their_order(write, vectors):
    _, first = write()
    again = write()[1]
    assert again == first
    assert {name: first["items"][name][:7] for name in ("ids", "vectors")} == dict.fromkeys(
        ("ids", "vectors"), "sha256:"
    )
    assert {said[:7] for said in first["files"].values()} == {"sha256:"}
    vectors[1][0, 0] += 1e-6
    changed = write()[1]
    assert changed["users"]["vectors"] != first["users"]["vectors"]
    assert changed["users"]["ids"] == first["users"]["ids"]
    assert changed["items"] == first["items"]


def test_the_index_answers_as_the_exact_top_k(write, vectors):
    faiss = pytest.importorskip("faiss")
    folder, _ = write(index=True)
    load_export(folder)
    index = faiss.read_index(str(folder / "items.faiss"))
    scores, rows = index.search(vectors[1].numpy(), 5)
    wanted, found = top_k(vectors[1], vectors[0], 5)
    assert np.array_equal(rows, found.numpy())
    assert np.allclose(scores, wanted.numpy(), atol=1e-5)


def test_onnx_gives_the_same_vectors(write, model):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder, _ = write(onnx=True, model=copy.deepcopy(model).train())  # as it may come from a training
    load_export(folder)
    for name in ("item", "user", "tag"):
        session = runtime.InferenceSession(folder / f"{name}.onnx")
        tower = getattr(model, name)
        for n in (1, 2, 7):
            fields = torch.randn(n, tower.fields, 8)
            (found,) = session.run(None, {"fields": fields.numpy()})
            with torch.no_grad():
                assert np.abs(found - tower(fields).numpy()).max() < 1e-5


def test_a_manifest_is_for_people_to_read(tmp_path):
    assert write_manifest(tmp_path, {"towers": "Süßes"})["towers"] == "Süßes"
    assert '"towers": "Süßes"' in (tmp_path / MANIFEST).read_text("utf-8")


def test_no_users_no_items_and_a_folder_in_one_that_is_to_be_made(tmp_path, model):
    out = tmp_path / "exports" / "today"
    export(out, model, version="v", items=[], users=[], index=False, onnx=False)
    ids, vectors = load_export(out).vectors("users")
    assert ids == []
    assert vectors.shape == (0, 8)


class TestRefused:
    def test_without_a_manifest(self, write, tmp_path):
        folder, _ = write()
        (folder / MANIFEST).unlink()
        with pytest.raises(ExportRefused, match="no finished export"):
            load_export(folder)
        with pytest.raises(ExportRefused, match="no finished export"):
            load_export(tmp_path / "nothing")

    @pytest.mark.parametrize("name", ["items.parquet", "users.parquet"])
    def test_changed_or_missing_files(self, write, name):
        folder, _ = write()
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ExportRefused, match=name):
            load_export(folder)
        (folder / name).unlink()
        with pytest.raises(ExportRefused, match=name):
            load_export(folder)

    def test_a_file_that_was_added(self, write):
        folder, _ = write()
        (folder / "more.parquet").write_bytes(b"")
        with pytest.raises(ExportRefused, match=r"more\.parquet"):
            load_export(folder)

    @pytest.mark.parametrize(("name", "key"), [("items", "ids"), ("users", "vectors"), ("items", "rows")])
    def test_a_manifest_of_other_ids_or_vectors(self, write, name, key):
        folder, manifest = write()
        manifest[name][key] = "sha256:0"
        (folder / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(ExportRefused, match="other ids or vectors"):
            load_export(folder)

    def test_another_format_or_no_json(self, write):
        folder, manifest = write()
        (folder / MANIFEST).write_text(json.dumps({**manifest, "format": 0}))
        with pytest.raises(ExportRefused, match="another format"):
            load_export(folder)
        (folder / MANIFEST).write_text("{")
        with pytest.raises(ExportRefused, match="can't be read"):
            load_export(folder)

    def test_of_other_towers(self, write):
        folder, _ = write()
        load_export(folder, version="sha256:one")
        with pytest.raises(ExportRefused, match="not from sha256:two"):
            load_export(folder, version="sha256:two")


class TestWhole:
    def test_a_failure_leaves_the_former_export(self, write, model, tmp_path, vectors):
        folder, manifest = write()

        def broken():
            yield USERS[:1], vectors[1][:1]
            raise OSError("the disk is full")

        with pytest.raises(OSError, match="full"):
            export(folder, model, version="v", items=[], users=broken(), index=False, onnx=False)
        assert load_export(folder).manifest == manifest
        assert [file.name for file in tmp_path.iterdir()] == ["out"]

    def test_a_new_one_takes_the_place_of_the_former(self, write, tmp_path):
        write()
        folder, _ = write(version="sha256:two")
        assert load_export(folder).manifest["towers"] == "sha256:two"
        assert [file.name for file in tmp_path.iterdir()] == ["out"]

    def test_a_folder_of_something_else_is_left_alone(self, write, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("years of work")
        with pytest.raises(TowersError, match="name another folder"):
            write()
        assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.txt"]

    def test_an_empty_folder_is_taken(self, write, tmp_path):
        (tmp_path / "out").mkdir()
        load_export(write()[0])


@pytest.mark.parametrize(("option", "package"), [("index", "faiss"), ("onnx", "onnxscript")])
def test_a_missing_package_is_named_with_the_remedy_before_anything_is_written(
    write, monkeypatch, tmp_path, option, package
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TowersError, match=rf"{package} is not installed: pip install recgpt\[export\]"):
        write(**{option: True})
    assert list(tmp_path.iterdir()) == []
