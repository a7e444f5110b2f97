"""Word similarity data is found where it is, and a bad line is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from x2static.durable.errors import X2StaticError
from x2static.evaluation import files
from x2static.evaluation.word_pairs import Pair, find_word_pairs, read_word_pairs

ROOT = Path(__file__).parents[2]


def write(path: Path, text: str = "cat\tdog\t1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_file_is_one_data_set_named_by_its_stem(tmp_path):
    file = write(tmp_path / "rg65.tsv")
    assert [(found.stem, found) for found in find_word_pairs(file)] == [("rg65", file)]


def test_a_folder_gives_its_wordsim_files_by_name_and_nothing_else(tmp_path):
    for name in ("wordsim/b.tsv", "wordsim/a.tsv", "wordsim/notes.txt", "other/c.tsv", "d.tsv"):
        write(tmp_path / name)
    assert [found.stem for found in find_word_pairs(tmp_path)] == ["a", "b"]


def test_a_folder_without_wordsim_gives_its_own_files(tmp_path):
    for name in ("b.tsv", "a.txt", "README.md"):
        write(tmp_path / name)
    assert [found.stem for found in find_word_pairs(tmp_path)] == ["a", "b"]


def test_two_data_sets_of_one_name_are_refused(tmp_path):
    write(tmp_path / "a.tsv")
    write(tmp_path / "a.txt")
    with pytest.raises(X2StaticError, match="two data sets of one name"):
        find_word_pairs(tmp_path)


@pytest.mark.parametrize("name", ["wordsim", "plain"])
def test_a_folder_without_data_says_what_was_expected(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(X2StaticError, match=r"no word similarity data here; expected .*\.tsv"):
        find_word_pairs(tmp_path)


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(X2StaticError, match="nowhere: no such file or folder"):
        find_word_pairs(tmp_path / "nowhere")


def test_without_data_the_sets_of_gensim_are_read():
    files = find_word_pairs(None)
    assert [file.stem for file in files] == ["wordsim353", "simlex999"]
    assert [len(read_word_pairs(file)) for file in files] == [353, 999]
    assert read_word_pairs(files[0])[0] == Pair("love", "sex", 6.77)


def test_gensim_is_found_without_being_imported():
    code = "import sys, x2static.evaluation.word_pairs as d; d.find_word_pairs(None); sys.exit('gensim' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_without_gensim_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    with pytest.raises(X2StaticError, match=r"pip install x2static\[evaluate\].*--data"):
        find_word_pairs(None)


def test_comments_and_blank_lines_are_no_pairs(tmp_path):
    text = "# first\tsecond\tscore\n\ncat\tdog\t7.5\n  \n#tail\nTiger\tcat\t-1e1"
    assert read_word_pairs(write(tmp_path / "a.tsv", text)) == [Pair("cat", "dog", 7.5), Pair("Tiger", "cat", -10.0)]


def test_windows_files_are_read_like_others(tmp_path):
    assert read_word_pairs(write(tmp_path / "a.tsv", "\ufeffcat\tdog\t1\r\nå\t새\t2\r\n")) == [
        Pair("cat", "dog", 1.0),
        Pair("å", "새", 2.0),
    ]


def test_only_a_newline_ends_a_line(tmp_path):
    assert read_word_pairs(write(tmp_path / "a.tsv", "a\u2028b\tdog\t1\n")) == [Pair("a\u2028b", "dog", 1.0)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cat\tdog", "got 2 columns"),
        ("cat dog 3", "got 1 columns"),
        ("cat\tdog\t3\t4", "got 4 columns"),
        ("\tdog\t3", "expected word<TAB>word<TAB>score"),
        ("cat\t \t3", "expected word<TAB>word<TAB>score"),
        ("cat\tdog\thigh", "'high' is no number"),
        ("word1\tword2\tscore", "put # before a header line"),
        ("cat\tdog\t", "'' is no number"),
        ("cat\tdog\tnan", "'nan' is not finite"),
        ("cat\tdog\tinf", "'inf' is not finite"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_line(tmp_path, line, message):
    file = write(tmp_path / "pairs.tsv", f"# comment\n\na\tb\t1\n{line}\nc\td\t2\n")
    with pytest.raises(X2StaticError, match=r"pairs\.tsv, line 4: .*" + message):
        read_word_pairs(file)


def test_bytes_that_are_no_utf8_are_refused_by_line(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_bytes(b"a\tb\t1\nna\xefve\tb\t2\n")
    with pytest.raises(X2StaticError, match=r"pairs\.tsv, line 2: not valid UTF-8"):
        read_word_pairs(file)


@pytest.mark.parametrize("text", ["", "# nothing but this\n\n"])
def test_a_file_without_pairs_is_refused(tmp_path, text):
    with pytest.raises(X2StaticError, match=r"pairs\.tsv: no word pairs"):
        read_word_pairs(write(tmp_path / "pairs.tsv", text))


def test_all_shared_data_sets_are_read(shared):
    sizes = {file.stem: len(read_word_pairs(file)) for file in find_word_pairs(shared)}
    assert sizes == {"rg65": 65, "rw2034": 2034, "simlex999": 999, "simverb3500": 3500, "ws353": 353}
