"""Rules that name a library: what is said where it is missing, other or unknown, and that it works in any thread."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
import pytest

from tests.conftest import ROOT
from x2static.durable.errors import X2StaticError
from x2static.pipeline.export.formats import export
from x2static.schemas.segmentation import LIBRARIES, Library, WordSegmentation
from x2static.schemas.vectors import WordVectors

SPLIT_AT_SPACES = {
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "model": {"type": "WordLevel", "vocab": {}, "unk_token": "[UNK]"},
}


def rules(segmenter: str, runs: str, **changes: object) -> WordSegmentation:
    content = {
        "segmenter": segmenter,
        "versions": LIBRARIES[segmenter].versions if segmenter in LIBRARIES else {segmenter: "1.0"},
        "language": "xx",
        "runs": runs,
        "longest_run": 1000,
        "settings": {"rjieba": {"hmm": True}, "sudachipy": {"mode": "C"}}.get(segmenter, {}),
        "rules": SPLIT_AT_SPACES,
    }
    return WordSegmentation(json.dumps(content | changes))


def chinese(**changes: object) -> WordSegmentation:
    return rules("rjieba", "[一-鿿]+$", **changes)


def test_the_library_cuts_its_runs_and_nothing_else():
    assert chinese().split("图书馆的历史 ab历史 c.d") == ["图书馆", "的", "历史", "ab历史", "c.d"]
    assert chinese().occurrences("c 图书馆的") == [("c", 0, 1), ("图书馆", 2, 5), ("的", 5, 6)]
    assert chinese().name == f"rjieba {version('rjieba')}"
    assert WordSegmentation(json.dumps(SPLIT_AT_SPACES)).name == "rules of the tokenizers library"


def test_long_runs_reach_the_library_in_parts():
    assert chinese(longest_run=2).split("图书馆的历史") == ["图书", "馆", "的", "历史"]
    japanese = rules("sudachipy", "[ぁ-ん]+$")
    assert "".join(japanese.split("あ" * 60_000)) == "あ" * 60_000  # it refuses more than 49,149 bytes at once


def test_another_version_warns_once_and_splits(caplog):
    other = chinese(versions={"rjieba": "0.0.1"})
    assert other.split("历史") == ["历史"]
    assert other.occurrences("历史") == [("历史", 0, 2)]
    [message] = caplog.messages
    assert message.startswith(f"words were cut by rjieba 0.0.1, here is rjieba {version('rjieba')},")


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (chinese(), r"no-such-dictionary cannot be found here; .*pip install rjieba=="),
        (rules("telepathy", "x"), r"does not know telepathy \(telepathy 1.0\); use a newer one"),
        (WordSegmentation('{"segmenter": "rjieba"}'), "word segmentation rules: not what this version"),
        (WordSegmentation("no JSON"), "word segmentation rules: not what this version"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(monkeypatch, segmentation, message):
    monkeypatch.setitem(LIBRARIES, "rjieba", Library(("rjieba", "no-such-dictionary"), lambda hmm: list))
    with pytest.raises(X2StaticError, match=message) as error:
        WordSegmentation(segmentation.rules).split("历史")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("segmenter", "runs", "text"),
    [
        ("rjieba", "[一-鿿]+$", "我昨天在图书馆看了一本关于历史的书"),
        ("sudachipy", "[ぁ-ん一-鿿]+$", "東京は日本の首都である"),
        ("pythainlp", "[ก-๎]+$", "ฉันไปอ่านหนังสือที่ห้องสมุด"),
    ],
)
def test_many_threads_at_once_get_the_same_words(segmenter, runs, text):
    shared = rules(segmenter, runs)
    expected = rules(segmenter, runs).split(text)
    assert len(expected) > 3
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: [shared.split(text) for _ in range(100)], range(4)))
    assert results == [[expected] * 100] * 4


@pytest.mark.parametrize("user", [{}, {"PYTHAINLP_READ_ONLY": "1"}])
def test_cutting_thai_needs_no_home_and_leaves_the_environment_alone(tmp_path, user):
    (tmp_path / "home").write_text("a file, in which no folder can be made")
    code = (
        "import os, sys; from x2static.schemas.segmentation import WordSegmentation; before = dict(os.environ); "
        "assert WordSegmentation(sys.argv[1]).split('ฉันรัก') == ['ฉัน', 'รัก']; assert dict(os.environ) == before"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHAINLP")}
    environment |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)} | user
    command = [sys.executable, "-c", code, rules("pythainlp", "[ก-๎]+$").rules]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_vectors_with_a_segmenter_can_be_exported_where_the_format_needs_no_rules(tmp_path):
    vectors = WordVectors(["历史"], np.ones((1, 2), np.float32), np.ones(1, np.int64), chinese())
    assert export(vectors, "word2vec", tmp_path / "vectors.txt") == []
