"""Files of word pairs are found, read as they are published, and what is like none of them is refused."""

import pytest

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import Pair
from x2static.evaluation.word_pairs import find_word_pairs, read_word_pairs

EXPECTED = [Pair("cat", "dog", 7.5), Pair("Tiger", "tea cup", 2.0)]
RATINGS = "\t".join("7 7 6 1 4 8 10 6 3 6".split())
SIMLEX = "word1\tword2\tPOS\tSimLex999\tconc(w1)\tconc(w2)\tconcQ\tAssoc(USF)\tSimAssoc333\tSD(SimLex)"
ANNOTATORS = ",".join(map(str, range(1, 14)))
SCORES = ",".join(["5"] * 13)


def test_in_a_folder_wordsim_a_text_is_a_note(write, tmp_path):
    for name in ("wordsim/ws.tsv", "wordsim/ws-part.csv", "wordsim/notes.txt", "d.txt", "README.md"):
        write(name, "")
    assert [path.stem for path in find_word_pairs(tmp_path)] == ["ws", "ws-part"]
    write("other/a.txt", "")
    assert [path.stem for path in find_word_pairs(tmp_path / "other")] == ["a"]


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
        "cat, dog, 7.5\r\nTiger, tea cup,2\r\n",
        '"cat","dog",7.5\n"Tiger","tea cup",2\n',
        "Word 1,Word 2,Human (mean)\ncat,dog,7.5\nTiger,tea cup,2\n",
        "# a comment, with commas; and more\nfirst\tsecond\tlike\n  \ncat\tdog\t7.5\n\n#tail\nTiger\ttea cup\t2e0",
        "word1\tword2\tSimLex999\ncat\tdog\t7.5\nTiger\ttea cup\t2\n",
        f"{SIMLEX}\ncat\tdog\tN\t7.5\t1\t2\t3\t4\t1\t0.4\nTiger\ttea cup\tN\t2\t1\t2\t3\t4\t1\t0.4\n",
        f"Word 1,Word 2,Human (mean),{ANNOTATORS}\ncat,dog,7.5,{SCORES}\nTiger,tea cup,2,{SCORES}\n",
        "cat\tdog\tN\t7.5\tCOHYPONYMS\nTiger\ttea cup\tN\t2\tNONE\n",
        f"cat\tdog\t7.5\t{RATINGS}\nTiger\ttea cup\t2\t{RATINGS}\n",
    ],
    ids=[
        *("tabs", "RG-65", "MTurk-771", "quoted", "WordSim-353", "header", "a header with a digit", "SimLex-999"),
        *("WordSim-353 with its annotators", "SimVerb-3500", "rare words"),
    ],
)
def test_published_layouts_are_read(write, text):
    assert read_word_pairs(write("pairs.txt", text)) == EXPECTED


def test_columns_may_stand_between_spaces(write):
    for text in ("cat dog  7.500000 \r\nTiger   cup 2.000000\r\n", "a b score\ncat dog 7.5\nTiger cup 2"):
        assert read_word_pairs(write("MEN.txt", text)) == [Pair("cat", "dog", 7.5), Pair("Tiger", "cup", 2.0)]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("cat dog\n", 1, "got 2 columns"),
        ("cat\tdog\t1\t2\n", 1, "got 4 columns"),
        ("cat\tdog\tNN\t2\tNONE\n", 1, "got 5 columns"),
        ("cat\tdog\tN\tNONE\t2\n", 1, "got 5 columns"),
        (f"cat\tdog\thigh\t{RATINGS}\n", 1, "a header that names the score"),
        ("word1\tword2\tscore\tsimilarity\n", 1, "a header that names the score"),
        ("cat\tdog\t\n", 1, "'' is no finite number"),
        ("cat\tdog\t7,5\ncat\tcup\t2\n", 1, "'7,5' is no finite number"),
        ("cat\tdog\tnan\n", 1, "'nan' is no finite number"),
        ("cat,dog,1\ncat\tdog\t2\n", 2, "expected word,word,score, got 1 columns"),
        ("cat dog 1\ncat dog mouse 2\n", 2, "expected word word score, got 4 columns"),
        ("word1,word2,score\ncat,dog,high\n", 2, "'high' is no finite number"),
        (f"{SIMLEX}\n", None, "no word pairs in it"),
        ("# nothing\n\n", None, "no word pairs in it"),
        (f"{SIMLEX}\ncat\tdog\t7.5\n", 2, "expected 10 columns as in the first line.* got 3 columns"),
        ('cat,dog,1\n"cat,dog,2\n', 2, "unexpected end of data"),
        ("# comment\n\ncat\tdog\t1\ncat\t \t3\n", 4, "expected word<TAB>word<TAB>score"),
    ],
)
def test_what_is_like_no_layout_is_refused_by_file_and_line(write, text, line, message):
    where = rf"pairs\.txt, line {line}" if line else r"pairs\.txt"
    with pytest.raises(X2StaticError, match=rf"{where}: .*{message}"):
        read_word_pairs(write("pairs.txt", text))
