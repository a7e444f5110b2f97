"""The text that gensim's methods read."""

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.baselines.texts import cache_of, counted, cut_by, request_of, two_topics
from x2static.baselines import text as module
from x2static.baselines.text import write_text
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.text.segmentation import default_words, paper_words

LINES = ["The sea is cold. The sea, though, is blue!", "A hill is not cold.", "Hills are the sea's edge"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


@pytest.mark.parametrize("slice_", [3, 1 << 16])
def test_a_cache_gives_its_sentences_with_words_outside_the_vocabulary_left_out(tmp_path, monkeypatch, slice_):
    monkeypatch.setattr(module, "SLICE", slice_)
    drawn = random.Random(0)
    words = [*"abcdef", "naïve", "새", "</s>"]
    sentences = [drawn.choices(words, k=drawn.randint(0, 7)) for _ in range(50)]
    cache = cache_of(tmp_path / "cache", sentences[:20], sentences[20:])
    vocabulary = counted(sentences, least=counted(sentences).most_common(6)[-1][1])
    assert 0 < len(vocabulary) < len(words)
    text = write_text(request_of(tmp_path, cache, vocabulary))
    expected = [kept for sentence in sentences if (kept := [word for word in sentence if word in vocabulary])]
    assert [line.split(" ") for line in text.file.read_text(encoding="utf-8").splitlines()] == expected
    assert text.words == list(vocabulary)
    assert text.counts.tolist() == list(vocabulary.values())
    assert text.n_words == sum(vocabulary.values())
    assert text.n_lines == len(expected)
    assert text.longest == max(map(len, expected))


def test_a_long_sentence_goes_on_in_another_line(tmp_path):
    sentences = [list("abcabca"), list("ab"), [], list("ccc")]
    cache = cache_of(tmp_path / "cache", sentences)
    text = write_text(request_of(tmp_path, cache, counted(sentences)), longest_line=3)
    assert text.file.read_text().splitlines() == ["a b c", "a b c", "a", "a b", "c c c"]
    assert (text.longest, text.n_lines) == (3, 5)
    files = tmp_path / "long.txt"
    files.write_text("a b c a b c a\n")
    text = write_text(request_of(tmp_path, None, Counter(), corpus=[str(files)], min_count=1), longest_line=3)
    assert text.file.read_text().splitlines() == ["a b c", "a b c", "a"]


@pytest.mark.parametrize("word", ["new york", "a\nb", ""])
def test_a_word_that_gensims_reader_would_cut_is_refused(tmp_path, word):
    cache = cache_of(tmp_path / "cache", [["a", word]])
    with pytest.raises(X2StaticError, match=r"white space; leave such words out by a --vocab file"):
        write_text(request_of(tmp_path, cache, Counter({"a": 1, word: 1})))
    assert write_text(request_of(tmp_path, cache, Counter({"a": 1}))).file.read_text() == "a\n"


@pytest.mark.parametrize("compressed", [False, True])
def test_text_files_are_cut_into_sentences_and_words_as_a_cache_is(tmp_path, corpus, compressed):
    if compressed:
        plain, corpus = corpus, corpus.with_suffix(".txt.gz")
        corpus.write_bytes(gzip.compress(plain.read_bytes()))
    text = write_text(request_of(tmp_path, None, Counter(), corpus=[str(corpus)], min_count=2))
    expected = [
        "the sea is cold .",
        "the sea , though , is blue !",
        "a hill is not cold .",
        "hills are the sea ' s edge",
    ]
    assert text.file.read_text().splitlines() == expected
    vocabulary = counted([line.split() for line in expected], least=2)
    assert text.words == list(vocabulary)
    assert text.counts.tolist() == list(vocabulary.values())
    assert text.n_words == sum(len(line.split()) for line in expected)
    assert text.segmentation.split("The Sea's") == ["the", "sea", "'", "s"]
    assert len(text.origin["corpus"]) == 1


def test_of_text_files_the_most_frequent_words_are_kept(tmp_path, corpus):
    text = write_text(request_of(tmp_path, None, Counter(), corpus=[str(corpus)], min_count=1, max_vocab=3))
    assert text.words == ["is", "sea", "the"]
    text = write_text(request_of(tmp_path, None, Counter({"hill": 0, "sea": 0}), corpus=[str(corpus)], min_count=1))
    assert text.words == ["sea", "hill"]


def test_with_cache_and_text_files_the_vocabulary_is_the_caches_and_the_counts_are_the_files(tmp_path, corpus):
    cache = cut_by(cache_of(tmp_path / "cache", [["sea", "hill", "valley"]]), default_words())
    vocabulary = Counter({"hill": 30, "valley": 20, "sea": 10})
    text = write_text(request_of(tmp_path, cache, vocabulary, corpus=[str(corpus)], min_count=10))
    assert dict(zip(text.words, text.counts.tolist(), strict=True)) == {"sea": 3, "hill": 1}
    assert text.origin["words_absent"] == 1
    assert len(text.file.read_text().splitlines()) == 4


def test_beside_a_cache_of_the_papers_mode_text_files_are_cut_by_its_rules(tmp_path, corpus):
    corpus.write_text("The sea is cold . Cold? sea\n")
    cache = cut_by(cache_of(tmp_path / "cache", [["sea"]]), paper_words(), compat="paper")
    text = write_text(request_of(tmp_path, cache, Counter({"sea": 1, "cold?": 1}), corpus=[str(corpus)]))
    assert text.file.read_text().splitlines() == ["the sea is cold .", "cold? sea"]
    assert text.words == ["sea", "cold?"]


def test_text_without_valid_utf8_is_left_out_and_counted(tmp_path, corpus):
    corpus.write_bytes(corpus.read_bytes() + b"\nbad \xff line\n")
    text = write_text(request_of(tmp_path, None, Counter(), corpus=[str(corpus)], min_count=1))
    assert text.origin["paragraphs_skipped"] == 1
    assert "bad" not in text.words


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"", {}, "holds no paragraph"),
        (b"\xff\xfe\n", {}, "holds no paragraph"),
        (b"a few words\n", {"min_count": 3}, "no word occurs --min-count 3 times or more; the highest count is 1"),
    ],
)
def test_text_files_without_a_vocabulary_are_refused(tmp_path, content, settings, message):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    with pytest.raises(X2StaticError, match=message):
        write_text(request_of(tmp_path, None, Counter(), corpus=[str(path)], **settings))


def test_a_vocabulary_of_which_no_word_occurs_is_refused(tmp_path, corpus):
    with pytest.raises(X2StaticError, match="none of the 1 words of the vocabulary occurs"):
        write_text(request_of(tmp_path, None, Counter({"Sea": 0}), corpus=[str(corpus)]))


def test_without_any_text_it_says_what_to_give(tmp_path):
    with pytest.raises(X2StaticError, match="skipgram needs text: give --cache, or text files with --corpus"):
        write_text(request_of(tmp_path, None, Counter()))
    with pytest.raises(X2StaticError, match="hf://name: skipgram reads files alone"):
        write_text(request_of(tmp_path, None, Counter(), corpus=["hf://name"]))
    with pytest.raises(X2StaticError, match=r"nowhere\.txt: no such file"):
        write_text(request_of(tmp_path, None, Counter(), corpus=[str(tmp_path / "nowhere.txt")]))


def test_what_is_written_for_gensim_is_what_it_reads(tmp_path):
    from gensim.models.word2vec import LineSentence

    sentences = two_topics(50)
    text = write_text(request_of(tmp_path, cache_of(tmp_path / "cache", sentences), counted(sentences)))
    assert list(LineSentence(str(text.file))) == sentences
