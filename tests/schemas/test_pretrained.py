"""Vectors are found by a folder's name or the hub's; what is not found is one line that says what to do."""

from pathlib import Path

import pytest

from tests.pipeline.publish.conftest import hub  # noqa: F401
from tests.schemas.test_vectors import random_vectors
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import sealed_json
from x2static.schemas.pretrained import find_pretrained
from x2static.schemas.vectors import WordVectors


def test_a_folder_is_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    assert find_pretrained(folder) == folder
    assert find_pretrained("owner/name") == Path("owner/name")
    with pytest.raises(X2StaticError, match="this is a folder, and has no revision v1"):
        find_pretrained("owner/name", "v1")


def test_what_can_be_no_name_is_not_asked_for(hub, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("runs/none", "./a/b", "/a/b", "a/b/c", "demo", "", "~/a", Path("a/b"), "a/b\n", "a\\b"):
        with pytest.raises(X2StaticError, match="no such folder, and no name on the Hugging Face hub"):
            find_pretrained(name, endpoint=hub.url)
    with pytest.raises(X2StaticError, match="this is a file"):
        find_pretrained("file", endpoint=hub.url)
    with pytest.raises(X2StaticError, match="no name on the Hugging Face hub"):
        find_pretrained("a--b/c..d", endpoint=hub.url)  # which the hub's own rules refuse
    assert hub.requests == []


def test_what_the_hub_has_not_is_said(hub, tmp_path):  # noqa: F811
    def find(name: str, revision: str | None = None) -> Path:
        return find_pretrained(name, revision, tmp_path / "downloads", hub.url)

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    hub.add_model("some/model", tmp_path / "model")
    for name, revision, said in (
        (
            "some/nothing",
            None,
            "neither a folder here nor on the Hugging Face hub; a private one needs `hf auth login`",
        ),
        ("some/model", None, "has no word vectors of x2static"),
        ("some/model", "v9", "has no revision v9"),
    ):
        with pytest.raises(X2StaticError, match=said):
            find(name, revision)
    random_vectors().save(tmp_path / "v")
    hub.add_model("some/vectors", tmp_path / "v")
    hub.trouble = lambda path, *_: "drop" if path == "vectors.safetensors" else None
    with pytest.raises(X2StaticError, match=r"some/vectors: .*the Hugging Face hub cannot be reached"):
        find("some/vectors")
    hub.trouble = lambda *_: None
    assert len(WordVectors.load(find("some/vectors"))) == 50, "the next call has all of it"
    hub.close()
    with pytest.raises(X2StaticError, match=r"the Hugging Face hub cannot be reached \(.*needs a network"):
        find("some/other")


def test_only_the_files_of_the_vectors_are_downloaded(hub, tmp_path):  # noqa: F811
    vectors = random_vectors()
    vectors.save(tmp_path / "v")
    hub.add_model("some/vectors", tmp_path / "v", **{"pytorch_model.bin": b"x", "onnx__model.onnx": b"x"})
    there = find_pretrained("some/vectors", cache_dir=tmp_path / "downloads", endpoint=hub.url)
    assert {path.name for path in there.rglob("*")} == {"run.json", "vectors.safetensors", "vocabulary.arrow"}
    # A list of hostile names leads to nothing but files of the repository.
    (tmp_path / "v" / "run.json").write_bytes(sealed_json({"files": {"*": "0", "../../x": "0", "/etc/passwd": "0"}}))
    hub.add_model("some/hostile", tmp_path / "v")
    there = find_pretrained("some/hostile", cache_dir=tmp_path / "downloads", endpoint=hub.url)
    assert [path.name for path in there.rglob("*")] == ["run.json"]
    with pytest.raises(X2StaticError, match="damaged"):
        WordVectors.load(there)
