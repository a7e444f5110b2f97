"""The text that gensim's methods read."""

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest
from gensim.models.word2vec import LineSentence

from tests.baselines.caches import cache_of, counted, cut_by, request_of
from x2static.baselines import text as module
from x2static.baselines.text import Text, write_text
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.text.segmentation import default_words, paper_words

LINES = ["The sea is cold. The sea, though, is blue!", "A hill is not cold.", "Hills are the sea's edge"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


def text_of(corpus: Path, cache: Path | None = None, words: dict[str, int] | None = None, **settings: object) -> Text:
    request = request_of(corpus.parent, cache, Counter(words or {}), corpus=[str(corpus)], **settings)
    return write_text(request)


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
    chosen = [[word for word in sentence if word in vocabulary] for sentence in sentences]
    expected = [sentence for sentence in chosen if sentence]
    assert list(LineSentence(str(text.file))) == expected  # as gensim reads it
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


def test_text_files_are_cut_into_sentences_and_words_as_a_cache_is(corpus):
    compressed = corpus.with_suffix(".txt.gz")
    compressed.write_bytes(gzip.compress(corpus.read_bytes() + b"\nbad \xff line\n"))
    text = text_of(compressed, min_count=2)
    expected = ["the sea is cold .", "the sea , though , is blue !", "a hill is not cold ."]
    expected += ["hills are the sea ' s edge"]
    assert text.file.read_text().splitlines() == expected
    vocabulary = counted([line.split() for line in expected], least=2)
    assert text.words == list(vocabulary)
    assert text.counts.tolist() == list(vocabulary.values())
    assert text.n_words == sum(len(line.split()) for line in expected)
    assert text.segmentation.split("The Sea's") == ["the", "sea", "'", "s"]
    assert len(text.origin["corpus"]) == 1
    assert text.origin["paragraphs_skipped"] == 1


def test_the_vocabulary_of_text_files(tmp_path, corpus):
    assert text_of(corpus, min_count=1, max_vocab=3).words == ["is", "sea", "the"]
    assert text_of(corpus, words={"hill": 0, "sea": 0}, min_count=1).words == ["sea", "hill"]
    cache = cut_by(cache_of(tmp_path / "cache", [["sea", "hill", "valley"]]), default_words())
    text = text_of(corpus, cache, {"hill": 30, "valley": 20, "sea": 10}, min_count=10)  # the cache's words
    assert dict(zip(text.words, text.counts.tolist(), strict=True)) == {"sea": 3, "hill": 1}
    assert text.origin["words_absent"] == 1


def test_beside_a_cache_of_the_papers_mode_text_files_are_cut_by_its_rules(tmp_path, corpus):
    corpus.write_text("The sea is cold . Cold? sea\n")
    cache = cut_by(cache_of(tmp_path / "cache", [["sea"]]), paper_words(), compat="paper")
    text = text_of(corpus, cache, {"sea": 1, "cold?": 1})
    assert text.file.read_text().splitlines() == ["the sea is cold .", "cold? sea"]
    assert text.words == ["sea", "cold?"]


@pytest.mark.parametrize(
    ("content", "words", "settings", "message"),
    [
        (b"", [], {}, "holds no paragraph"),
        (b"\xff\xfe\n", [], {}, "text in UTF-16, not in UTF-8"),
        (b"a few words\n", [], {"min_count": 3}, "vocabulary occurs 3 times or more; the highest count is 1"),
        (b"the sea\n", ["Sea"], {"min_count": 1}, "vocabulary occurs 1 times or more; the highest count is 0"),
        (b"", [], {"corpus": []}, "skipgram needs text: give --cache, or text files with --corpus"),
        (b"", [], {"corpus": ["hf://name"]}, "hf://name: skipgram reads files alone"),
        (b"", [], {"corpus": ["nowhere.txt"]}, r"nowhere\.txt: no such file"),
    ],
)
def test_text_without_a_vocabulary_is_refused(tmp_path, content, words, settings, message):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    with pytest.raises(X2StaticError, match=message):
        write_text(request_of(tmp_path, None, Counter(dict.fromkeys(words, 0)), **{"corpus": [str(path)]} | settings))


@pytest.mark.parametrize("word", ["new york", "a\nb", ""])
def test_a_word_that_gensims_reader_would_cut_is_refused(tmp_path, word):
    cache = cache_of(tmp_path / "cache", [["a", word]])
    with pytest.raises(X2StaticError, match=r"white space; leave such words out by a --vocab file"):
        write_text(request_of(tmp_path, cache, Counter({"a": 1, word: 1})))
