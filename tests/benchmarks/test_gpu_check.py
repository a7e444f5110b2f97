"""The check of a GPU, tried on the CPU: what it records, that it fails for what is wrong, and that it goes on then."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import device_checks, gpu_check
from tests.conftest import ROOT
from tests.stage1_encode.runs import paragraphs, write_lines
from tests.teachers import make_teacher
from x2static.stage1_encode.teacher.teacher import Teacher

SLOW = ("benchmark", "compile")  # half a minute each


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    texts = [" ".join(paragraphs(2, seed=number)) for number in range(160)]
    make_teacher(tmp_path / "teacher", "bert")
    named = {"teacher": tmp_path / "teacher", "out": tmp_path / "out", "device": "cpu", "size": "tiny"}
    named["corpus"] = write_lines(tmp_path / "corpus.txt", texts)
    return [part for name, value in named.items() for part in (f"--{name}", str(value))]


def in_a_process(options: list[str], *only: str) -> tuple[dict[str, Any], str]:
    """Run the checks as a user does; return the JSON line and what stands before it."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", *options, "--only", *only]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    shown, _, line = ran.stdout.rstrip().rpartition("\n")
    return json.loads(line), shown


def here(options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the checks in this process; return the exit status and the records by check and setting."""
    monkeypatch.setattr(sys, "argv", ["gpu_check", *options])
    status = gpu_check.main()
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    return status, {(record["check"], record["setting"]): record for record in report["checks"]}


@pytest.mark.exhaustive
def test_every_check_is_made_and_its_figures_stand_in_table_and_json(options, tmp_path):
    names = {name for name, _, _ in device_checks.all_checks() if name not in SLOW}
    report, shown = in_a_process(options, *names)
    assert (report["ok"], report["failed"], report["skipped"]) == (30, 0, 0)
    assert report == json.loads((tmp_path / "out" / "gpu-check.json").read_text())
    found = {(record["check"], record["setting"]): record["figures"] for record in report["checks"]}
    assert found["environment", ""]["torch"] == torch.__version__
    for family in ("teacher", "bert", "roberta", "gpt2", "modernbert", "t5-encoder"):
        exact, half, brief = (found[f"encode {family}", of] for of in ("float32", "float16", "bfloat16"))
        assert exact["least_cosine"] == 1.0 > half["least_cosine"] > brief["least_cosine"] > 0.99
        assert exact["contexts"] == half["contexts"] == brief["contexts"] >= device_checks.SIZES["tiny"].n_compared
        assert exact["pieces_per_second"] > 0
    assert found["cache", "with word states and phrases"]["shards"] == 8
    resumed = found["resume", "interrupted after 2 units"]
    assert (resumed["units"], resumed["files_otherwise"]) == (8, 0)
    assert 0 < resumed["units_before"] < 8
    short = found["out of memory", "batches that do not fit"]
    assert short["max_tokens_after"] < short["max_tokens"]
    assert short["share_left"] < 1
    losses = {name: found[f"train {name}", "the CPU's draws"].get("loss_cpu") for name in device_checks.OBJECTIVES}
    assert [name for name, loss in losses.items() if loss is None] == ["closed-form", "views"]
    assert found["training rate", "paper, the device's draws"]["words_per_second"] > 0
    assert found["training launches", "paper, profiled"]["operations_per_step"] > 50
    table = (tmp_path / "out" / "gpu-check.md").read_text()
    assert table in f"{shown}\n"
    assert table.splitlines()[0] == "| check | setting | result | figures | seconds |"
    rows = [line for line in table.splitlines() if line.startswith("| ") and " | ok | " in line]
    assert len(rows) == 30
    assert f"least cosine {brief['least_cosine']}, " in rows[-1]


@pytest.mark.exhaustive  # a compiler takes its time, and the benchmark starts five processes
def test_benchmark_and_compiled_teacher_are_taken_into_the_report(options):
    report, _ = in_a_process(options, *SLOW)
    measured, compiled = (record["figures"] for record in report["checks"])
    assert measured["benchmark"] == "encode"
    assert measured["encode_over_bare"] > 0
    assert compiled["least_cosine"] > 0.99
    assert compiled["compile_seconds"] > 0


def test_a_wrong_vector_fails_its_check_and_the_rest_goes_on(options, monkeypatch, capsys):
    forward = Teacher.forward

    def unmasked(self: Teacher, pieces: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        half = next(self._model.parameters()).dtype == torch.bfloat16
        return forward(self, pieces, torch.ones_like(mask) if half else mask)

    monkeypatch.setattr(Teacher, "forward", unmasked)
    monkeypatch.setattr(device_checks, "resume", lambda setup: 1 / 0)
    status, records = here([*options, "--only", "encode teacher", "resume", "cache"], monkeypatch, capsys)
    assert status == 1
    wrong, lost = records["encode teacher", "bfloat16"], records["resume", "interrupted after 2 units"]
    assert (wrong["status"], lost["status"]) == ("failed", "failed")
    assert re.match(r"least_cosine 0\.\d+ < 0\.99($|;)", wrong["error"])
    assert wrong["figures"]["least_cosine"] < 0.99
    assert lost["error"].startswith("ZeroDivisionError: division by zero (test_gpu_check.py:")
    assert records["encode teacher", "float32"]["status"] == "ok"
    assert records["cache", "with word states and phrases"]["status"] == "ok"


def test_checks_that_begin_after_the_budget_or_lack_a_package_are_skipped(options, monkeypatch, capsys):
    monkeypatch.setattr(device_checks, "find_spec", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    status, records = here([*options, "--only", *SLOW], monkeypatch, capsys)
    assert status == 0
    assert [record["status"] for record in records.values()] == ["skipped", "skipped"]
    assert records["benchmark", "benchmarks.encode"]["error"].startswith("needs sentence-transformers")
    assert records["compile", "the teacher"]["error"].startswith("needs g++")
    status, records = here([*options, "--budget", "-1"], monkeypatch, capsys)
    assert {record["error"] for record in records.values()} == {"no time left"}
    assert len(records) == 32


def test_other_draws_and_values_that_are_no_numbers_miss_the_limits():
    vectors = torch.randn(20, 8, generator=torch.Generator().manual_seed(0)).double().numpy()
    assert device_checks.agreement(vectors, vectors, least=0.9999)[1] == []
    assert device_checks.agreement(vectors[::-1], vectors, least=0.99)[1] != []
    assert "least_cosine nan < 0.99" in device_checks.agreement(vectors * float("nan"), vectors, least=0.99)[1]
    assert device_checks.loss_missed(1.02, 1.0, 0.01) == ["loss 1.02000 is 2.0% off the CPU's 1.00000"]


def test_without_a_demo_corpus_the_text_is_made_up_and_always_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("x2static.stage1_encode.demo._package_folder", no_package)
    monkeypatch.setattr("x2static.stage1_encode.demo.user_cache", lambda: tmp_path)
    said = [gpu_check.write_corpus("demo", tmp_path / f"{number}.txt", 50) for number in range(2)]
    assert said[0] == "made-up words, without a demo corpus (no gensim): 50 paragraphs"
    assert (tmp_path / "0.txt").read_bytes() == (tmp_path / "1.txt").read_bytes()
    assert len(set((tmp_path / "0.txt").read_text().splitlines())) == 50


def no_package(*_: object) -> Path:
    raise gpu_check.X2StaticError("no gensim")
