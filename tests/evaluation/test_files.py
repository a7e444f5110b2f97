"""Data of every task is found where it is and read as it is published; what is missing or wrong is named."""

import json

import pytest

from x2static.durable.errors import X2StaticError
from x2static.evaluation import files
from x2static.evaluation.analogy import read_questions
from x2static.evaluation.bias import WordLists, read_tests
from x2static.evaluation.files import WORD_LISTS, WORD_PAIRS, Pair, find_files
from x2static.evaluation.sentence_similarity import read_sentence_pairs
from x2static.evaluation.word_pairs import find_word_pairs, read_word_pairs

KINDS = [(WORD_PAIRS, ".tsv"), (files.SENTENCE_PAIRS, ".txt"), (files.QUESTIONS, ".txt"), (WORD_LISTS, ".toml")]


@pytest.mark.parametrize(("kind", "ending"), [*KINDS, (files.CLASSIFICATION, "/all.tsv")], ids=str)
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
    install = r"pip install '?.*x2static.*\[evaluate\].*" if kind.gensim else ""
    with pytest.raises(X2StaticError, match=rf"{install}`x2static data fetch.*--data a |`x2static data fetch weat`"):
        read_tests(None) if kind == WORD_LISTS else find_files(kind, None)


def test_only_a_newline_ends_a_line_and_what_is_no_utf_8_is_refused_by_line(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffa\u2028b\r\n \nc\n".encode())
    assert [line for _, line in files.numbered_lines(tmp_path / "a")] == ["a\u2028b", "c"]
    (tmp_path / "a").write_bytes(b"a\nna\xefve\n")
    with pytest.raises(X2StaticError, match="a, line 2: not valid UTF-8"):
        files.numbered_lines(tmp_path / "a")


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
        "cat;dog;7.5\nTiger;tea cup;2\n",  # RG-65
        "cat, dog, 7.5\r\nTiger, tea cup,2\r\n",  # MTurk-771
        '"cat","dog",7.5\n"Tiger","tea cup",2\n',
        "Word 1,Word 2,Human (mean)\ncat,dog,7.5\nTiger,tea cup,2\n",  # WordSim-353
        "# a comment, with commas; and more\nfirst\tsecond\tlike\n  \ncat\tdog\t7.5\n\n#tail\nTiger\ttea cup\t2e0",
        "word1\tword2\tSimLex999\ncat\tdog\t7.5\nTiger\ttea cup\t2\n",
        f"{SIMLEX}\ncat\tdog\tN\t7.5\t1\t2\t3\t4\t1\t0.4\nTiger\ttea cup\tN\t2\t1\t2\t3\t4\t1\t0.4\n",
        f"Word 1,Word 2,Human (mean),{ANNOTATORS}\ncat,dog,7.5,{SCORES}\nTiger,tea cup,2,{SCORES}\n",
        "cat\tdog\tN\t7.5\tCOHYPONYMS\nTiger\ttea cup\tN\t2\tNONE\n",  # SimVerb-3500
        f"cat\tdog\t7.5\t{RATINGS}\nTiger\ttea cup\t2\t{RATINGS}\n",  # the Rare Words
    ],
)
def test_published_layouts_are_read(write, text):
    assert read_word_pairs(write("pairs.txt", text)) == EXPECTED


def test_columns_may_stand_between_spaces(write):
    for text in ("cat dog  7.500000 \r\nTiger   cup 2.000000\r\n", "a b score\ncat dog 7.5\nTiger cup 2"):
        assert read_word_pairs(write("MEN.txt", text)) == [Pair("cat", "dog", 7.5), Pair("Tiger", "cup", 2.0)]


PLAIN = 'A "cat".\t#2 sat\t4.5\n'
STS = 'main-news\tMSRvid\t2012test\t0001\t4.5\tA "cat".\t#2 sat\n'
FOUR = {"X": ["a", "b"], "Y": ["c", "d"], "A": ["e", "f"], "B": ["g", "h"]}


@pytest.mark.parametrize("text", [PLAIN * 2, STS + STS[:-1] + "\thttp://a.example\thttp://b.example\n"])
def test_plain_files_and_the_sts_benchmark_give_the_same_sentence_pairs(write, text):
    assert read_sentence_pairs(write("pairs", text)) == [Pair('A "cat".', "#2 sat", 4.5)] * 2


def test_own_lists_are_read_from_json_and_toml_alike_and_named_by_file_where_there_are_several(write, tmp_path):
    write("bias/two.toml", "\n".join(["[test]", *(f"{name} = {words}" for name, words in FOUR.items())]))
    one = write("bias/one.json", json.dumps({"test": FOUR}))
    assert read_tests(one) == {"test": WordLists(**FOUR)}
    assert read_tests(tmp_path) == dict.fromkeys(("one: test", "two: test"), WordLists(**FOUR))


BAD = {
    read_questions: [
        (": s\na b c d\na b c\n", "line 3: expected four words, .* got 3: 'a b c'"),
        ("\na b c d\n: s\n", "line 2: a question before the first section"),
        (": s\n\n", "no questions in it"),
    ],
    read_sentence_pairs: [
        ("a,b,3\n", "line 1: expected 3 columns, got 1"),
        (PLAIN + STS, "line 2: expected 3 columns, got 7"),
        (STS + PLAIN, "line 2: expected 7 to 9 columns, as in the first line, got 3"),
        ("\t".join("0123456789") + "\n", "line 1: expected 3 columns, got 10"),  # GLUE's, with a header
        ("sentence1\tsentence2\tscore\n" + PLAIN, "line 1: the score 'score' is no finite number; mend or remove"),
        (STS.replace("4.5", "nan"), "line 1: the score 'nan' is no finite number"),
        (PLAIN + "a\t \t3\n", "line 2: a sentence is empty"),
        ("", "no sentence pairs in it"),
    ],
    read_tests: [
        ("", "neither valid JSON nor TOML"),
        ("[]", "no tests in it"),
        ('{"na\udcefve": 1}', "neither valid JSON"),
        (json.dumps({"test": {"X": ["a"]}}), "test, Y: Field required"),
        (json.dumps({"test": FOUR | {"C": ["k"]}}), "test, C: Extra inputs"),
        (json.dumps({"test": FOUR | {"X": "ab"}}), "test, X: Input should be a valid list"),
        (json.dumps({"test": FOUR | {"X": ["a", "c"]}}), "test: 'c' stands more than once in X and Y; keep it once"),
        (json.dumps({"flowers": ["aster"]}), r"no list 'insects', so this is of another WEFE"),
    ],
    read_word_pairs: [
        ("cat dog\n", "line 1: .*got 2 columns"),
        ("cat\tdog\t1\t2\n", "line 1: .*got 4 columns"),
        ("cat\tdog\tNN\t2\tNONE\n", "line 1: .*got 5 columns"),
        ("cat\tdog\tN\tNONE\t2\n", "line 1: .*got 5 columns"),
        (f"cat\tdog\thigh\t{RATINGS}\n", "line 1: .*a header that names the score"),
        ("word1\tword2\tscore\tsimilarity\n", "line 1: .*a header that names the score"),
        ("cat\tdog\t\n", "line 1: .*'' is no finite number"),
        ("cat\tdog\t7,5\ncat\tcup\t2\n", "line 1: .*'7,5' is no finite number"),
        ("cat\tdog\tnan\n", "line 1: .*'nan' is no finite number"),
        ("cat,dog,1\ncat\tdog\t2\n", "line 2: .*expected word,word,score, got 1 columns"),
        ("cat dog 1\ncat dog mouse 2\n", "line 2: .*expected word word score, got 4 columns"),
        ("word1,word2,score\ncat,dog,high\n", "line 2: .*'high' is no finite number"),
        (f"{SIMLEX}\n", "no word pairs in it"),
        ("# nothing\n\n", "no word pairs in it"),
        (f"{SIMLEX}\ncat\tdog\t7.5\n", "line 2: .*expected 10 columns as in the first line.* got 3 columns"),
        ('cat,dog,1\n"cat,dog,2\n', "line 2: .*unexpected end of data"),
        ("# comment\n\ncat\tdog\t1\ncat\t \t3\n", "line 4: .*expected word<TAB>word<TAB>score"),
    ],
}


@pytest.mark.parametrize(("read", "text", "message"), [(read, *row) for read, rows in BAD.items() for row in rows])
def test_a_bad_file_is_refused_by_path_and_line(write, read, text, message):
    with pytest.raises(X2StaticError, match=r"bad\.tsv(: |, )" + message):
        read(write("bad.tsv", text))
