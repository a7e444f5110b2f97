"""Teachers and data sets from the Hugging Face hub, which here is a server on the loopback interface."""

import io
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stage1_encode.forks import shared_hub
from tests.stage1_encode.hub_server import Hub
from tests.stage1_encode.runs import as_options, assert_same_rows, config_of, files_of, paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.stage1_encode.hub import answered
from x2static.stage1_encode.teacher.files import resolve_model


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = shared_hub()
    yield hub
    hub.close()
    hub.open()
    hub.requests.clear()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "corpus.txt", paragraphs(4))


def encode_options(model: str, corpus: Path | str, cache: Path, **options: object) -> list[str]:
    return as_options(config_of(Path(model), corpus, cache, **options))


def test_a_model_is_downloaded_without_needless_files_and_found_again_offline(hub, forks, teacher, corpus, tmp_path):
    needless = {"pytorch_model.bin": b"x", "onnx__config.json": b"{}", "a.h5": b"x"}
    commit = hub.add_model("tiny/bert", teacher, **needless)
    forks.succeed(*encode_options("tiny/bert", corpus, tmp_path / "online"))
    manifest = Cache.open(tmp_path / "online").manifest
    assert (manifest.teacher, manifest.revision) == ("tiny/bert", commit)
    fetched = {line.split("/")[-1] for line in hub.requests if line.startswith("GET /tiny/bert/resolve/")}
    assert fetched == {path.name for path in teacher.iterdir() if path.suffix in (".json", ".txt", ".safetensors")}
    assert not [line for line in hub.requests if "onnx/" in line]
    run(teacher, corpus, tmp_path / "local")
    assert_same_rows(tmp_path / "online", tmp_path / "local")
    hub.close()
    forks.succeed(*encode_options("tiny/bert", corpus, tmp_path / "offline"))
    assert files_of(tmp_path / "offline") == files_of(tmp_path / "online")


def test_a_tag_or_commit_is_taken_and_the_commit_that_it_names_recorded(hub, forks, teacher, readers, corpus, tmp_path):
    name = "v1.0"
    named = hub.add_model(f"tiny/{name}", teacher)
    other = hub.add_model(f"tiny/{name}", readers("bert", 256).teacher.folder)
    hub.repositories["models", f"tiny/{name}"].names[name] = named
    options = encode_options(f"tiny/{name}", corpus, tmp_path / "cache", revision=name)
    forks.succeed(*options)
    manifest = Cache.open(tmp_path / "cache").manifest
    assert (manifest.revision, manifest.encoding.window) == (named, 512)
    assert forks.run(*encode_options(f"tiny/{name}", corpus, tmp_path / "cache", revision=named))[0] == 0
    hub.close()
    assert forks.run(*options)[0] == 0, "found again without a network"
    hub.open()
    hub.repositories["models", f"tiny/{name}"].names[name] = other  # it has moved on
    status, output = forks.run(*options)
    assert status == 1
    assert "this cache was made otherwise (cache != asked for): weights: " in output or "teacher_config: " in output


def test_an_older_sentence_transformers_model_comes_with_its_transformers_folder(hub, forks, teacher, corpus, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(teacher, bundle / "0_Transformer")
    module = {"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}
    (bundle / "modules.json").write_text(json.dumps([module]))
    (bundle / "1_Dense").mkdir()
    (bundle / "1_Dense" / "model.safetensors").write_bytes(b"x")
    hub.add_model("tiny/bundle", bundle)
    forks.succeed(*encode_options("tiny/bundle", corpus, tmp_path / "cache"))
    assert not [line for line in hub.requests if "1_Dense" in line]
    run(teacher, corpus, tmp_path / "local")
    assert_same_rows(tmp_path / "cache", tmp_path / "local")


def test_a_model_without_safetensors_is_downloaded_with_its_older_weights(hub, forks, teacher, corpus, tmp_path):
    others = {"1_Dense__model.safetensors": b"x", "onnx__model.safetensors": b"x"}
    hub.add_model("tiny/old", teacher, **{"pytorch_model.bin": b"no pickle of ours"}, **others)
    files = next(reversed(hub.repositories["models", "tiny/old"].commits.values()))
    del files["model.safetensors"]
    status, output = forks.run(*encode_options("tiny/old", corpus, tmp_path / "cache"))
    assert status == 1, output  # they are no weights
    assert [line for line in hub.requests if line.startswith("GET ") and line.endswith("/pytorch_model.bin")]


@pytest.mark.parametrize("revision", [None, "0123456789abcdef0123456789abcdef01234567"])
def test_a_model_or_revision_that_is_not_there_is_one_clear_line(hub, forks, teacher, corpus, tmp_path, revision):
    hub.add_model("tiny/known", teacher)
    name = "tiny/known" if revision else "tiny/unknown"
    status, output = forks.run(*encode_options(name, corpus, tmp_path / "cache", revision=revision))
    assert status == 1
    said, line = output.splitlines()
    assert said.startswith(f"{name} reads "), "what takes seconds is said before"
    assert line.startswith(f"error: model {name}: not on the Hugging Face hub (")
    assert not (tmp_path / "cache").exists()


def test_a_download_that_breaks_off_is_one_line_and_finished_by_the_next_call(hub, forks, teacher, corpus, tmp_path):
    hub.add_model("tiny/broken", teacher)
    hub.trouble = lambda path, *_: "drop" if path == "model.safetensors" else None
    status, output = forks.run(*encode_options("tiny/broken", corpus, tmp_path / "cache"))
    hub.trouble = lambda *_: None
    assert status == 1
    assert output.splitlines()[-1].startswith("error: model tiny/broken: the Hugging Face hub cannot be reached (")
    forks.succeed(*encode_options("tiny/broken", corpus, tmp_path / "cache"))


@pytest.mark.parametrize(("silent", "reason"), [(False, ""), (True, "no answer within 0.4 seconds")])
@pytest.mark.parametrize("missing", ["model", "corpus"])
def test_a_hub_that_gives_no_answer_is_one_line_with_ways_out(
    hub, forks, teacher, corpus, tmp_path, silent, reason, missing
):
    hub.talking.clear() if silent else hub.close()
    spec = "hf://tiny/unseen:train#text"
    model, text = ("tiny/unseen", corpus) if missing == "model" else (str(teacher), spec)
    status, output = forks.run(*encode_options(model, text, tmp_path / "cache"), patience=0.4)
    _, line = output.splitlines()
    what, way_out = (f"model {model}", "--model demo") if missing == "model" else (f"corpus {spec}", "--corpus demo")
    assert status == 1
    assert line.startswith(f"error: {what}: the Hugging Face hub cannot be reached ({reason}")
    assert line.endswith(way_out)


def test_a_data_set_of_the_hub_is_streamed_at_its_commit(hub, forks, teacher, tmp_path):
    lines = paragraphs(9)
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["\n".join(lines[i : i + 3]) for i in range(0, 9, 3)]}), sink)
    commit = hub.add_dataset("tiny/texts", {"data/train-00000-of-00001.parquet": sink.getvalue()})
    spec, cache = "hf://tiny/texts:train#text", tmp_path / "cache"
    forks.succeed(*encode_options(str(teacher), spec, cache, unit=4, limit=5))
    assert Cache.open(cache).plans()[0].identity["revision"] == commit
    # A commit that comes later does not change what the cache is made of.
    hub.add_dataset("tiny/texts", {"data/train-00000-of-00001.parquet": b"something else"})
    forks.succeed(*encode_options(str(teacher), spec, cache, unit=4))
    run(teacher, write_lines(tmp_path / "same.txt", lines), tmp_path / "local")
    assert_same_rows(cache, tmp_path / "local")
    status, output = forks.run(*encode_options(str(teacher), "hf://tiny/none", tmp_path / "other"))
    assert (status, len(output.splitlines())) == (1, 2)
    assert "\nerror: corpus hf://tiny/none: not on the Hugging Face hub (" in output


def test_what_can_be_no_id_is_not_asked_for_on_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    messages = dict.fromkeys(
        ("./nowhere", "/nowhere/at/all", "~/models/x", "a/b/c", "models/none", "x/"), "no such folder"
    )
    messages |= dict.fromkeys(("myfolder", "my-bert"), r"neither a folder nor an id on the hub \(no such folder here")
    for name, message in (messages | {"not an id!": "neither a folder nor an id on the hub"}).items():
        with pytest.raises(X2StaticError, match=f"model {name}: {message}"):
            resolve_model(name, None)
    assert not hub.requests


def test_patience_gives_results_and_errors_through_and_ends_at_its_end():
    def fail(error: Exception) -> None:
        raise error

    assert answered(lambda: 7, 5) == 7
    with pytest.raises(ConnectionError, match=r"^the library of the day says this$"):
        answered(lambda: fail(RuntimeError("the library of the day says this\nat length")), 5)
    with pytest.raises(OSError, match="No space left") as caught:
        answered(lambda: fail(OSError(28, "No space left on device")), None)
    assert not isinstance(caught.value, ConnectionError)
    never = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 seconds"):
        answered(never.wait, 0.05)
    never.set()
