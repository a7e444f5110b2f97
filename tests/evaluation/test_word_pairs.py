"""Files of word pairs are found, read as they are published, and what is like none of them is refused."""

from pathlib import Path

import pytest

from x2static.durable.errors import X2StaticError
from x2static.evaluation.word_pairs import Pair, find_word_pairs, read_word_pairs

EXPECTED = [Pair("cat", "dog", 7.5), Pair("Tiger", "tea cup", 2.0)]
ONE_WORD = [Pair("cat", "dog", 7.5), Pair("Tiger", "cup", 2.0)]
RATINGS = "\t".join("7 7 6 1 4 8 10 6 3 6".split())
SIMLEX = "word1\tword2\tPOS\tSimLex999\tconc(w1)\tconc(w2)\tconcQ\tAssoc(USF)\tSimAssoc333\tSD(SimLex)"
ANNOTATORS = ",".join(map(str, range(1, 14)))
SCORES = ",".join(["5"] * 13)


def write(path: Path, text: str | bytes = "cat\tdog\t1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["wordsim/b.tsv", "wordsim/a.csv", "wordsim/notes.txt", "other/c.tsv", "d.tsv"], ["a", "b"]),
        (["b.tsv", "a.txt", "c.csv", "README.md"], ["a", "b", "c"]),
        (["ws.tsv", "ws-part.tsv"], ["ws", "ws-part"]),
    ],
)
def test_a_folder_gives_its_wordsim_files_by_name_or_else_its_own(tmp_path, files, names):
    for name in files:
        write(tmp_path / name)
    assert [path.stem for path in find_word_pairs(tmp_path)] == names


def test_without_data_the_sets_of_gensim_are_read():
    files = find_word_pairs(None)
    assert [file.stem for file in files] == ["wordsim353", "simlex999"]
    assert [len(read_word_pairs(file)) for file in files] == [353, 999]
    assert read_word_pairs(files[0])[0] == Pair("love", "sex", 6.77)


def test_all_shared_data_sets_are_read(shared):
    sizes = {file.stem: len(read_word_pairs(file)) for file in find_word_pairs(shared)}
    assert sizes == {"rg65": 65, "rw2034": 2034, "simlex999": 999, "simverb3500": 3500, "ws353": 353}


@pytest.mark.parametrize(
    "text",
    [
        "cat\tdog\t7.5\nTiger\ttea cup\t2\n",
        "cat;dog;7.5\nTiger;tea cup;2\n",
        "cat,dog,7.5\r\nTiger,tea cup,2\r\n",
        "cat, dog, 7.5\nTiger, tea cup, 2\n",
        '"cat","dog",7.5\n"Tiger","tea cup",2\n',
        "Word 1,Word 2,Human (mean)\ncat,dog,7.5\nTiger,tea cup,2\n",
        "\ufeffWord 1\tWord 2\tHuman (mean)\r\ncat\tdog\t7.5\r\nTiger\ttea cup\t2\r\n",
        "# a comment, with commas; and more\nfirst\tsecond\tlike\n  \ncat\tdog\t7.5\n\n#tail\nTiger\ttea cup\t2e0",
        "word1\tword2\tSimLex999\ncat\tdog\t7.5\nTiger\ttea cup\t2\n",
        f"{SIMLEX}\ncat\tdog\tN\t7.5\t1\t2\t3\t4\t1\t0.4\nTiger\ttea cup\tN\t2\t1\t2\t3\t4\t1\t0.4\n",
        f"Word 1,Word 2,Human (mean),{ANNOTATORS}\ncat,dog,7.5,{SCORES}\nTiger,tea cup,2,{SCORES}\n",
        "cat\tdog\tN\t7.5\tCOHYPONYMS\nTiger\ttea cup\tN\t2\tNONE\n",
        "word1\tword2\tPOS\tscore\trelation\ncat\tdog\tN\t7.5\tCOHYPONYMS\nTiger\ttea cup\tN\t2\tNONE\n",
        f"cat\tdog\t7.5\t{RATINGS}\nTiger\ttea cup\t2\t{RATINGS}\n",
    ],
    ids=[
        *("tabs", "RG-65", "MTurk-771", "commas and spaces", "quoted", "WordSim-353 csv", "WordSim-353 tab", "header"),
        "a header with a digit",
        *("SimLex-999", "WordSim-353 with its annotators", "SimVerb-3500", "SimVerb-3500 with header", "rare words"),
    ],
)
def test_published_layouts_are_read(tmp_path, text):
    assert read_word_pairs(write(tmp_path / "pairs.txt", text)) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        "cat dog 7.5\nTiger cup 2\n",
        "cat dog  7.500000 \r\nTiger   cup 2.000000\r\n",
        "a b score\ncat dog 7.5\nTiger cup 2",
    ],
    ids=["MEN", "wide spaces", "header"],
)
def test_columns_may_stand_between_spaces(tmp_path, text):
    assert read_word_pairs(write(tmp_path / "pairs.txt", text)) == ONE_WORD


def test_only_a_newline_ends_a_line(tmp_path):
    assert read_word_pairs(write(tmp_path / "a.tsv", "a\u2028b\tdog\t1\n")) == [Pair("a\u2028b", "dog", 1.0)]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("cat\n", 1, "got 1 columns"),
        ("cat dog\n", 1, "got 2 columns"),
        ("cat dog 1 2\n", 1, "got 4 columns"),
        ("cat\tdog\t1\t2\n", 1, "got 4 columns"),
        ("cat\tdog\tNN\t2\tNONE\n", 1, "got 5 columns"),
        ("cat\tdog\tN\tNONE\t2\n", 1, "got 5 columns"),
        (f"cat\tdog\t7.5\t{RATINGS}\t3\n", 1, "got 14 columns"),
        (f"cat\tdog\thigh\t{RATINGS}\n", 1, "a header that names the score"),
        ("word1\tword2\tPOS\tliking\n", 1, "a header that names the score"),
        ("word1\tword2\tscore\tsimilarity\n", 1, "a header that names the score"),
        ("cat\tdog\t\n", 1, "'' is no number"),
        ("cat\tdog\t7,5\ncat\tcup\t2\n", 1, "'7,5' is no number; put # before a header line"),
        ("cat\tdog\tO.5\ncat\tcup\t2\n", 1, "'O.5' is no number"),
        ("cat\tdog\tnan\n", 1, "'nan' is not finite"),
        ("cat,dog,1\ncat,dog\n", 2, "expected word,word,score, got 2 columns"),
        ("cat,dog,1\ncat\tdog\t2\n", 2, "expected word,word,score, got 1 columns"),
        ("cat;dog;1\n;dog;1\n", 2, "expected word;word;score"),
        ("cat dog 1\ncat dog mouse 2\n", 2, "expected word word score, got 4 columns"),
        ("word1,word2,score\ncat,dog,high\n", 2, "'high' is no number"),
        (f"{SIMLEX}\ncat\tdog\t7.5\n", 2, "expected 10 columns as in the first line.* got 3 columns"),
        ('cat,dog,1\n"cat,dog,2\n', 2, "unexpected end of data"),
        ("# comment\n\ncat\tdog\t1\ncat\t \t3\n", 4, "expected word<TAB>word<TAB>score"),
        ("cat\tdog\t1\ncat\tdog\tinf\n", 2, "'inf' is not finite"),
        ("cat\tdog\t1\nword1\tword2\tscore\n", 2, "put # before a header line"),
        (b"a\tb\t1\nna\xefve\tb\t2\n", 2, "not valid UTF-8"),
    ],
)
def test_what_is_like_no_layout_is_refused_by_file_and_line(tmp_path, text, line, message):
    with pytest.raises(X2StaticError, match=rf"pairs\.txt, line {line}: .*{message}"):
        read_word_pairs(write(tmp_path / "pairs.txt", text))


@pytest.mark.parametrize("text", ["word1\tword2\tscore\n", f"{SIMLEX}\n", "# nothing\n\n", ""])
def test_a_file_without_a_pair_is_refused(tmp_path, text):
    with pytest.raises(X2StaticError, match=r"pairs\.txt: no word pairs in it"):
        read_word_pairs(write(tmp_path / "pairs.txt", text))
