"""Teachers that OpenVINO runs: the vectors are those of an unbatched computation by PyTorch, whatever the family."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reference import Reader, assert_rows_equal, cosine, default_rows
from tests.stage1_encode.conftest import Encode, Readers
from tests.stage1_encode.runs import config_of, files_of, paragraphs, read_back, run, write_lines
from tests.stage1_encode.test_families import PARAGRAPHS, families, loaded, reader  # noqa: F401  # a fixture
from tests.teachers import EVERY_FAMILY, WINDOW
from x2static.durable.errors import X2StaticError
from x2static.machine import packages
from x2static.pipeline.cli import run as command_line
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import Precision
from x2static.stage1_encode import encoder
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage1_encode.plan.origin import Origin, find_teacher
from x2static.stage1_encode.teacher import openvino_model
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.teacher import Teacher
from x2static.stage1_encode.text.windows import Window

OPENVINO = {"backend": "openvino"}


def backend_of(cache: Path) -> str:
    return Cache.open(cache).manifest.encoding.backend


def batch_of(*lengths: int) -> list[Window]:
    return [Window(np.arange(3, 3 + length), np.zeros((0, 3), np.int64)) for length in lengths]


@families
def test_every_family_is_read_as_pytorch_reads_it(reader: Reader, encode: Encode):  # noqa: F811
    encoded = encode(reader, PARAGRAPHS, **OPENVINO)
    assert_rows_equal(encoded.rows, default_rows(reader, PARAGRAPHS, encoded.rules, "paragraph"))


@families
def test_every_layer_is_the_models(reader: Reader, family: str):  # noqa: F811
    files, device = TeacherFiles.find(str(reader.teacher.folder), None), torch.device("cpu")
    number, batch = EVERY_FAMILY[family].layers - 1, batch_of(9, 4)
    teacher = Teacher(files, "float32", device, False, number, backend="openvino", lanes=2)
    ours, theirs = teacher.layers(batch), loaded(reader.teacher.folder).layers(batch)
    assert len(ours) == len(theirs)
    for row, window in enumerate(batch):
        for states, expected in zip([*ours, teacher.states(batch)], [*theirs, theirs[number]], strict=True):
            of_window = slice(0, len(window.pieces))
            np.testing.assert_allclose(states[row, of_window], expected[row, of_window], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("precision", "least"), [("bfloat16", 0.999), ("int8", 0.99)])
def test_lower_precisions_keep_the_direction(readers: Readers, encode: Encode, precision: str, least: float):
    if precision == "bfloat16" and not torch.cpu.get_capabilities().get("avx512_bf16"):
        pytest.skip("this processor does not compute with bfloat16")
    encoded = encode(readers("bert", WINDOW), PARAGRAPHS, precision=precision, **OPENVINO)
    expected = default_rows(readers("bert", WINDOW), PARAGRAPHS, encoded.rules, "paragraph")
    pairs = list(zip(encoded.rows, expected, strict=True))
    assert min(cosine(row.vector, other.vector) for row, other in pairs) >= least
    assert max(np.abs(row.vector - other.vector).max() for row, other in pairs) > 2e-3, "it ran in this precision"


def test_a_cache_that_was_stopped_is_the_same_bytes_as_one_in_one_go(teacher: Path, tmp_path: Path):
    torch.set_num_threads(2)  # two lanes; the fixture of the folder gives the threads back
    corpus = write_lines(tmp_path / "text.txt", paragraphs(40))
    run(teacher, corpus, tmp_path / "once", unit=10, **OPENVINO)
    run(teacher, corpus, tmp_path / "twice", unit=10, limit=20, **OPENVINO)
    shards = files_of(tmp_path / "twice" / "shards")
    assert len(Cache.open(tmp_path / "twice").indices()) == 2
    whole = files_of(tmp_path / "once" / "shards")
    assert shards and all(whole[name] == content for name, content in shards.items() if not name.endswith(".json"))
    (tmp_path / "once" / "shards" / "000002" / "shard.json").unlink()  # it is as never written
    assert run(teacher, corpus, tmp_path / "once", unit=10)["shards_resumed"] == 3, (
        "auto is what the cache was begun with"
    )
    assert files_of(tmp_path / "once" / "shards") == whole


def test_the_backend_is_part_of_what_a_cache_is(teacher: Path, corpus: Path, tmp_path: Path, capsys):
    cache = tmp_path / "cache"
    run(teacher, corpus, cache, **OPENVINO)
    assert backend_of(cache) == "openvino"
    assert command_line(["cache", "info", str(cache)]) == 0
    assert ", 32 dimensions, float32 (OpenVINO), windows of " in capsys.readouterr().out
    assert "openvino" in Cache.open(cache).manifest.versions
    with pytest.raises(X2StaticError, match=r"made otherwise \(cache != asked for\): backend: 'openvino' != 'torch'"):
        run(teacher, corpus, cache, backend="torch")


@pytest.mark.parametrize(("options", "expected"), [({}, "openvino"), ({"backend": "torch"}, "torch")])
def test_much_text_is_read_with_it_unasked(teacher, corpus, tmp_path, monkeypatch, log, options, expected):
    run(teacher, corpus, tmp_path / "little", **options)
    assert backend_of(tmp_path / "little") == "torch"
    monkeypatch.setattr(encoder, "FEWEST_PARAGRAPHS", 10)
    run(teacher, corpus, tmp_path / "much", **options)
    assert backend_of(tmp_path / "much") == expected
    assert ("OpenVINO, which is installed; --backend torch would be" in log.text) == (expected == "openvino")
    monkeypatch.setattr(encoder, "package_version", lambda _: packages.NOT_INSTALLED)
    run(teacher, corpus, tmp_path / "without", **options)
    assert backend_of(tmp_path / "without") == "torch"


def test_a_plan_of_a_part_is_timed_with_what_reads_it(teacher, corpus, tmp_path, monkeypatch):
    backends, make = [], encoder.Teacher
    monkeypatch.setattr(encoder, "FEWEST_PARAGRAPHS", 10)
    monkeypatch.setattr(encoder, "Teacher", lambda *given: backends.append(given[6]) or make(*given))
    options = {"unit": 2, "part": "2/5"}
    estimate(config_of(teacher, corpus, tmp_path / "cache", **options))
    run(teacher, corpus, tmp_path / "cache", **options)
    assert backends == ["openvino", "openvino"]


@pytest.mark.parametrize(("backend", "precision"), [("openvino", "float16"), ("torch", "int8")])
def test_another_precision_than_the_caches_finds_what_computes_with_it(
    teacher: Path, corpus: Path, tmp_path: Path, backend: str, precision: Precision
):
    run(teacher, corpus, tmp_path / "cache", backend=backend)
    cache, origin = Cache.open(tmp_path / "cache"), Origin(None, (), "cpu", False)
    (text,) = cache.plans()
    exact, other = (find_teacher(cache, text, origin, precision=of).teacher for of in ("float32", precision))
    ours, theirs = (one.states(batch_of(9)).float() for one in (other, exact))
    assert float(torch.cosine_similarity(ours, theirs, dim=-1).min()) > 0.99
    assert float((ours - theirs).abs().max()) > 1e-5, "it is another precision"


@pytest.mark.exhaustive
def test_several_encoders_read_with_what_the_cache_was_begun_with(teacher, tmp_path, log):
    corpus = write_lines(tmp_path / "text.txt", paragraphs(30))
    arguments = ["--model", str(teacher), "--corpus", str(corpus), "--cache", str(tmp_path / "cache"), "--unit", "10"]
    arguments += ["--device", "cpu", "--precision", "float32", "--encoders", "2"]
    assert command_line(["encode", *arguments, "--backend", "openvino"]) == 0
    run(teacher, corpus, tmp_path / "one", unit=10, **OPENVINO)
    ours, theirs = read_back(tmp_path / "cache").rows, read_back(tmp_path / "one").rows
    np.testing.assert_allclose([row.vector for row in ours], [row.vector for row in theirs], rtol=2e-3, atol=1e-3)


@pytest.fixture
def of_another_model(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO converts wrongly: states of another teacher come out."""
    other, convert = loaded(readers("roberta", WINDOW).teacher.folder)._model, openvino_model._converted
    monkeypatch.setattr(openvino_model, "_converted", lambda _, layer: convert(other, layer))


def test_a_wrong_conversion_is_seen_and_pytorch_reads_instead(
    teacher: Path, corpus: Path, tmp_path: Path, of_another_model: None, monkeypatch: pytest.MonkeyPatch, log
):
    wrong = r"--backend openvino: OpenVINO converts this model wrongly \(its states of 5 pieces have a cosine of "
    with pytest.raises(X2StaticError, match=wrong + r"-?0\.\d+ to PyTorch's\); use --backend torch"):
        run(teacher, corpus, tmp_path / "cache", **OPENVINO)
    assert not (tmp_path / "cache" / "manifest.json").exists()
    monkeypatch.setattr(encoder, "FEWEST_PARAGRAPHS", 10)
    run(teacher, corpus, tmp_path / "cache")
    assert backend_of(tmp_path / "cache") == "torch"
    assert "; PyTorch reads instead" in log.text


def test_what_cannot_be_converted_is_said_with_the_reason(teacher, corpus, tmp_path, monkeypatch):
    import openvino

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no rule for aten::strange\nand more")

    monkeypatch.setattr(openvino, "convert_model", fail)
    with pytest.raises(X2StaticError, match=r"cannot convert this model \(no rule for aten::strange\); use --backend"):
        run(teacher, corpus, tmp_path / "cache", **OPENVINO)


def test_a_package_that_cannot_be_loaded_is_no_reason_to_stop(teacher, corpus, tmp_path, monkeypatch, log):
    monkeypatch.setattr(encoder, "FEWEST_PARAGRAPHS", 10)
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "__init__.py").write_text("raise ImportError('libtbb.so.12: no such file')")
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    run(teacher, corpus, tmp_path / "cache")
    assert backend_of(tmp_path / "cache") == "torch"
    assert "OpenVINO cannot convert this model (libtbb.so.12: no such file); PyTorch reads instead" in log.text


def test_what_the_processor_refuses_is_said_with_the_reason(teacher, corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(openvino_model.PRECISIONS, "float32", {"INFERENCE_PRECISION_HINT": "f4"})
    with pytest.raises(X2StaticError, match=r"--backend openvino: OpenVINO cannot run this model here \(.+\); use"):
        run(teacher, corpus, tmp_path / "cache", **OPENVINO)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "openvino", "precision": "float16"}, "computes in float32, bfloat16, int8, not in float16"),
        ({"backend": "torch", "precision": "int8"}, "--precision int8: OpenVINO alone computes with it"),
        ({"backend": "openvino", "compile": True}, "--compile is for PyTorch; leave it out"),
    ],
)
def test_what_does_not_go_together_is_refused(teacher, corpus, tmp_path, options, message):
    with pytest.raises(X2StaticError, match=message):
        run(teacher, corpus, tmp_path / "cache", **options)
    assert not (tmp_path / "cache" / "manifest.json").exists()


def test_int8_alone_is_enough(teacher: Path, corpus: Path, tmp_path: Path):
    run(teacher, corpus, tmp_path / "cache", precision="int8")
    encoding = Cache.open(tmp_path / "cache").manifest.encoding
    assert (encoding.backend, encoding.precision) == ("openvino", "int8")


def test_without_the_package_its_extra_is_named(teacher, corpus, tmp_path, monkeypatch):
    found: Callable[[str], object] = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "openvino" else found(name))
    with pytest.raises(X2StaticError, match=r"this needs openvino: .* install .*\[openvino\]"):
        run(teacher, corpus, tmp_path / "cache", **OPENVINO)


SIGNALLED = """
import signal, sys, threading
import torch
from x2static.machine.progress import StopRequest
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.teacher import Teacher

files = TeacherFiles.find(sys.argv[1], None)
kept = [Teacher(files, "float32", torch.device("cpu"), False, "last", backend="openvino", lanes=1)]
thread = threading.Thread(target=kept.clear)
thread.start()
thread.join()
with StopRequest() as stop:
    signal.raise_signal(signal.SIGTERM)
    print("stopped by", stop.signal.name)
"""


def test_a_signal_after_the_teacher_is_let_go_stops_and_does_not_kill(teacher: Path):
    """Another thread let the last model go, and the stack that this one's signal handlers run on with it."""
    done = subprocess.run([sys.executable, "-c", SIGNALLED, str(teacher)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped by SIGTERM\n"), done.stderr


def test_nothing_is_told_to_a_server(teacher: Path, corpus: Path, tmp_path: Path):
    run(teacher, corpus, tmp_path / "cache", **OPENVINO)
    assert sys.modules["openvino_telemetry"] is None
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
