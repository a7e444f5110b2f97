"""The speed of static vectors and of the teacher: processes of their own, one core, the same sentences."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.teachers import make_teacher
from x2static.durable.errors import X2StaticError
from x2static.pipeline import teacher_speed
from x2static.pipeline.teacher_speed import Measurement, measure, read_sentences, sample
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words

SENTENCES = ["the cat sees the dog", "a river and a house", ""] * 20


@pytest.mark.exhaustive
def test_both_are_timed_in_processes_of_their_own(tmp_path):
    words = ["the", "cat", "dog", "river"]
    WordVectors(words, np.eye(4, dtype=np.float32), np.ones(4, np.int64), default_words()).save(tmp_path / "vectors")
    make_teacher(tmp_path / "teacher", "bert", 24)
    measurement = Measurement(tmp_path / "vectors", str(tmp_path / "teacher"), "float32", False, SENTENCES, 0.05)
    seen = []
    speed = measure(measurement, 1, lambda progress: seen.append((progress.done, progress.total, progress.detail)))
    assert speed["sentences"] == len(SENTENCES)
    assert speed["rounds"] == {"static": [speed["static_per_second"]], "teacher": [speed["teacher_per_second"]]}
    assert speed["ratio"] == speed["static_per_second"] / speed["teacher_per_second"] > 0
    assert seen == [(0, 2, "static"), (1, 2, "teacher"), (2, 2, "")]


def test_the_rounds_take_turns_and_their_medians_count(tmp_path, monkeypatch):
    rates = iter([100.0, 3.0, 300.0, 1.0, 200.0, 2.0])
    turns = []
    monkeypatch.setattr(teacher_speed, "alone", lambda _, name, __: turns.append(name) or next(rates))
    speed = measure(Measurement(tmp_path, "demo", "float32", False, SENTENCES), 3)
    assert turns == ["static", "teacher"] * 3
    assert (speed["static_per_second"], speed["teacher_per_second"], speed["ratio"]) == (200.0, 2.0, 100.0)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that can keep a process on a core")
def test_all_threads_of_a_measurement_stay_on_one_core():
    code = (
        "import os, threading\n"
        "from pathlib import Path\n"
        "from x2static.pipeline import teacher_speed\n"
        "wait = threading.Event()\n"
        "threading.Thread(target=wait.wait, daemon=True).start()\n"  # as numpy's: there before
        "teacher_speed.stay_on_one_core()\n"
        "threading.Thread(target=wait.wait, daemon=True).start()\n"
        "tasks = Path('/proc/self/task')\n"
        "ids = [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]\n"
        "cores = {core for one in ids for core in os.sched_getaffinity(one)}\n"
        "print(len(ids) >= 3 or not tasks.is_dir(), len(cores), os.environ['TOKENIZERS_PARALLELISM'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "1", "false"], done.stderr


def test_sentences_are_read_line_by_line_and_sampled_by_seed_from_those_that_hold_something(tmp_path):
    texts = [f"sentence {number}" for number in range(50)] + [" ", ""]
    first = sample(texts, 0, 10)
    assert len(set(first)) == 10
    assert sample(texts, 0, 10) == first != sample(texts, 1, 10)
    assert sorted(sample(texts, 0, 100)) == sorted(texts[:50])
    path = tmp_path / "text.txt"
    path.write_text("\ufeffone two\n\n three \n", encoding="utf-8")
    assert read_sentences(path) == ["one two", "", "three"]
    assert read_sentences(path, 1) == ["one two"]
    path.write_bytes("naïve".encode("latin-1"))
    with pytest.raises(X2StaticError, match=r"text\.txt: not valid UTF-8"):
        read_sentences(path)
