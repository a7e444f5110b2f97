"""Data of every task is found where it is, without loading a library, and what is missing is named."""

import pytest

from x2static.durable.errors import X2StaticError
from x2static.evaluation import files
from x2static.evaluation.bias import read_tests
from x2static.evaluation.files import (
    CLASSIFICATION,
    QUESTIONS,
    SENTENCE_PAIRS,
    WORD_LISTS,
    WORD_PAIRS,
    find_files,
    numbered_lines,
)

KINDS = [(WORD_PAIRS, ".tsv"), (SENTENCE_PAIRS, ".txt"), (QUESTIONS, ".txt"), (WORD_LISTS, ".toml")]


@pytest.mark.parametrize(("kind", "ending"), [*KINDS, (CLASSIFICATION, "/all.tsv")], ids=str)
def test_a_file_or_a_folder_or_its_inner_folder_of_files_is_found(kind, ending, tmp_path):
    outer = [tmp_path / f"{name}{ending}" for name in "cd"]
    inner = [tmp_path / kind.folder / f"{name}{ending}" for name in "ba"]
    for path in [*inner, *outer]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert find_files(kind, outer[0]) == outer[:1]
    assert find_files(kind, tmp_path) == find_files(kind, tmp_path / kind.folder) == inner[::-1]
    for path in inner:
        path.unlink()
    with pytest.raises(X2StaticError, match=rf"{kind.folder}: no \*.* here; --data takes"):
        find_files(kind, tmp_path)
    with pytest.raises(X2StaticError, match="nowhere: no such file or folder; --data takes"):
        find_files(kind, tmp_path / "nowhere")


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("a.tsv", "a.csv"):
        (tmp_path / name).touch()
    with pytest.raises(X2StaticError, match="two data sets of one name"):
        find_files(WORD_PAIRS, tmp_path)


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
def test_without_data_and_library_the_message_says_where_data_comes_from(kind, monkeypatch):
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    install = r"pip install x2static\[evaluate\].*" if kind.gensim else ""
    with pytest.raises(X2StaticError, match=rf"{install}`x2static data fetch.*--data a |`x2static data fetch weat`"):
        read_tests(None) if kind == WORD_LISTS else find_files(kind, None)


def test_only_a_newline_ends_a_line_and_what_is_no_utf_8_is_refused_by_line(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffa\u2028b\r\n \nc\n".encode())
    assert [line for _, line in numbered_lines(tmp_path / "a")] == ["a\u2028b", "c"]
    (tmp_path / "a").write_bytes(b"a\nna\xefve\n")
    with pytest.raises(X2StaticError, match="a, line 2: not valid UTF-8"):
        numbered_lines(tmp_path / "a")
