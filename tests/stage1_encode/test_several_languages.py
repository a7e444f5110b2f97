"""Corpora of several languages in one cache, each cut and read by the rules of its own."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.ran import run_here
from tests.stage1_encode.runs import files_of, read_back, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.pipeline.caches import merge
from x2static.schemas.cache import Cache
from x2static.schemas.phrases import newest_blocks
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode import encode as stage
from x2static.stage1_encode.phrases import carrier_phrases, in_phrases, languages_of, read_phrases
from x2static.stage1_encode.plan.origin import Origin, find_teacher
from x2static.stage1_encode.repair import repair
from x2static.stage1_encode.text.segmentation import SentenceSplitter, choose_words

TEXTS = {
    "en": ["The gift was small. We had a gift for you.", "It rained all day in the town. Nobody came.", "A gift."],
    "de": ["Das Gift war stark. Wir hatten z. B. ein Gift.", "Es regnete in der Stadt. Wer war da?", "Das Gift."],
    "zh": [
        "我昨天在图书馆看了一本关于历史的书。北京是中国的首都。",
        "科学家发现了一种新的方法。他们正在研究生命的起源。",
    ],
}
SEVERAL = {"language": "de+en+zh", "corpus_language": ("en", "de", "zh"), "unit": 1}
MARKED = {**SEVERAL, "mark_language": True}
HERE = Origin(None, (), "cpu", False)


@pytest.fixture
def xlmr(readers) -> Path:
    return readers("xlm-roberta").teacher.folder


@pytest.fixture
def corpora(tmp_path) -> tuple[Path, ...]:
    return tuple(write_lines(tmp_path / f"{language}.txt", texts) for language, texts in TEXTS.items())


def test_each_corpus_is_cut_by_the_rules_of_its_language_and_its_words_are_kept_apart_if_asked(xlmr, corpora, tmp_path):
    run(xlmr, corpora, tmp_path / "plain", **SEVERAL)
    run(xlmr, corpora, tmp_path / "marked", **MARKED)
    expected = []  # a sentence at a time, by the rules of one language alone
    for language, texts in TEXTS.items():
        rules = choose_words(None, language)
        for text in texts:
            sentences = [text[start:stop] for start, stop in SentenceSplitter(language).spans(text)]
            expected += [[(language, word) for word in rules.split(sentence)] for sentence in sentences]
    assert ("zh", "图书馆") in expected[10]
    assert read_back(tmp_path / "plain").words == [[word for _, word in row] for row in expected]
    assert read_back(tmp_path / "marked").words == [[":".join(pair) for pair in row] for row in expected]
    vectors = [[row.vector.tolist() for row in read_back(tmp_path / name).rows] for name in ("plain", "marked")]
    assert vectors[0] == vectors[1]  # the teacher reads no mark
    cache = Cache.open(tmp_path / "marked")
    assert [plan.language for plan in cache.plans()] == ["en", "de", "zh"]
    assert (cache.manifest.encoding.language, cache.segmentation().languages) == ("de+en+zh", ("de", "en", "zh"))
    assert [corpus["language"] for corpus in cache.origin("")["corpora"]] == ["en", "de", "zh"]


def test_rules_of_several_languages_ask_for_the_language_of_a_text():
    rules = choose_words(None, "de+zh", marked=True)
    assert rules.of("zh").split("北京 Gift") == ["zh:北京", "zh:gift"]
    assert rules.of("de").occurrences("Das  Gift") == [("de:das", 0, 3), ("de:gift", 5, 9)]
    assert (rules.marked, rules.bare("de:gift"), rules.bare("de::")) == (True, "gift", ":")
    with pytest.raises(X2StaticError, match=r"words of de, zh are cut by rules of each; which language is the text\?"):
        rules.split("Gift")
    with pytest.raises(X2StaticError, match=r"none are there for fr\?"):
        rules.of("fr")
    alike = choose_words(None, "de+en")
    assert alike.rules == choose_words(None, "en").rules  # so that such vectors are like those of one language
    assert alike.of("fr").split("Gift") == ["gift"]
    assert "rjieba" in rules.name


@pytest.mark.parametrize(
    "options", [pytest.param(SEVERAL, marks=pytest.mark.exhaustive), MARKED], ids=["plain", "marked"]
)
def test_resumed_after_a_kill_appended_merged_and_repaired_it_is_the_same_bytes(
    xlmr, corpora, tmp_path, monkeypatch, options
):
    run(xlmr, corpora, tmp_path / "whole", **options)
    whole = files_of(tmp_path / "whole")
    with monkeypatch.context() as patch, suppress(ZeroDivisionError):
        commit, count = stage.Work._commit, iter(range(100))
        patch.setattr(stage.Work, "_commit", lambda *given: commit(*given) if next(count) < 4 else 1 / 0)
        run(xlmr, corpora, tmp_path / "killed", **options)
    assert 0 < len(list((tmp_path / "killed" / "shards").glob("0*"))) < 8
    run(xlmr, corpora, tmp_path / "killed", **options)
    assert files_of(tmp_path / "killed") == whole

    for number in (1, 2):
        run(xlmr, corpora, tmp_path / f"part{number}", **options, part=f"{number}/2")
    merge(tmp_path / "merged", [tmp_path / "part1", tmp_path / "part2"])
    assert files_of(tmp_path / "merged") == whole

    (tmp_path / "whole/shards/000007/words.arrow").write_bytes(b"?")  # of zh
    (tmp_path / "whole/word_segmentation.json").unlink()
    assert repair(tmp_path / "whole", HERE)["shards_encoded"] == 1
    assert files_of(tmp_path / "whole") == whole


def test_text_of_its_languages_is_appended_and_of_another_refused(xlmr, corpora, tmp_path):
    run(xlmr, corpora, tmp_path / "cache", **MARKED)
    with pytest.raises(X2StaticError, match=r"language: 'en' != 'de'"):
        run(xlmr, corpora, tmp_path / "cache", **{**MARKED, "corpus_language": ("de", "en", "zh")})
    with pytest.raises(X2StaticError, match="mark_language: True != False; words: "):
        run(xlmr, corpora, tmp_path / "cache", **SEVERAL)
    more = write_lines(tmp_path / "more.txt", ["Mehr Gift. Noch mehr Gift."])
    run(xlmr, more, tmp_path / "cache", language="de", mark_language=True, append=True)
    assert read_back(tmp_path / "cache").words[-1] == ["de:noch", "de:mehr", "de:gift", "de:."]
    assert Cache.open(tmp_path / "cache").plans()[-1].language == "de"
    before = files_of(tmp_path / "cache")
    french = write_lines(tmp_path / "fr.txt", ["Le chat dort."])
    with pytest.raises(X2StaticError, match="is of de and en and zh, and can have no words of fr; encode all its corp"):
        run(xlmr, french, tmp_path / "cache", language="fr", mark_language=True, append=True)
    assert files_of(tmp_path / "cache") == before


@pytest.mark.parametrize("marked", [True, False])
def test_carrier_phrases_are_those_of_a_words_language(xlmr, corpora, tmp_path, marked):
    run(xlmr, corpora, tmp_path / "cache", **(MARKED if marked else SEVERAL))
    cache = Cache.open(tmp_path / "cache")
    read_phrases(cache, HERE, 1)
    (block,) = newest_blocks(cache.path, of_dictionary=False)
    assert block.marker.phrases[1] == "de: was ist {}?; en: what is {}?; zh: 什么是{}？"
    encoder, places = find_teacher(cache, cache.plans()[0], HERE), {word: row for row, word in enumerate(block.words())}
    # "war" is only in the German text, "gift" twice in the English and three times in the German one
    words = {"de:war": ("de", "war"), "en:gift": ("en", "gift"), "zh:图书馆": ("zh", "图书馆")}
    if not marked:
        words = {"war": ("de", "war"), "gift": ("de", "gift"), "it": ("en", "it"), "图书馆": ("zh", "图书馆")}
    assert languages_of(cache, list(words)) == {word: language for word, (language, _) in words.items()}
    for word, (language, bare) in words.items():
        (expected,) = in_phrases(encoder, [bare], carrier_phrases(language))
        read = block.vectors()[places[word]]
        assert abs(read - expected).max() < 0.02 * abs(expected).max()  # codes of eight bits


def test_where_a_language_has_no_phrases_all_words_are_read_in_neutral_ones(xlmr, corpora, tmp_path):
    options = {"language": "de+en+ko", "corpus_language": ("en", "de", "ko"), "mark_language": True}
    run(xlmr, corpora, tmp_path / "cache", **options)
    cache = Cache.open(tmp_path / "cache")
    read_phrases(cache, HERE, 2)
    (block,) = newest_blocks(cache.path, of_dictionary=False)
    assert block.marker.phrases == carrier_phrases("neutral")
    (expected,) = in_phrases(find_teacher(cache, cache.plans()[0], HERE), ["gift"], carrier_phrases("neutral"))
    for word in ("de:gift", "en:gift"):
        assert abs(block.vectors()[block.words().index(word)] - expected).max() < 0.02 * abs(expected).max()


def test_what_is_of_one_language_is_refused_for_words_of_several(xlmr, corpora, tmp_path, capsys):
    marked = ["encode", "--model", str(xlmr), "--cache", tmp_path / "cache", "--mark-language"]
    named = [part for corpus in corpora for part in ("--corpus", corpus, "--language", corpus.stem)]
    for arguments, said in (
        (
            [*marked, *named, "--language", "en"],
            "4 of --language for 3 of --corpus; give one for each corpus, in their",
        ),
        ([*marked, *named[:2], "--language", "de+en"], "--language de+en is several; give --language once for each"),
        ([*marked, *named[:4], *named[4:6], "--language", "xx"], "--language xx: no language that is known here has"),
        ([*marked, *named, "--compat", "paper"], "--compat paper reads text of one language, and does not mark it"),
        ([*marked, *named, "--ase", write_lines(tmp_path / "list", ["gift"])], "--ase: words that are looked for are"),
    ):
        result = run_here(capsys, arguments)
        assert result.status != 0, arguments
        assert said in " ".join(result.err.split()), result.err
    run(xlmr, corpora, tmp_path / "cache", **MARKED)
    info = run_here(capsys, ["cache", "info", tmp_path / "cache"])
    assert "de (" in info.out
    assert "words marked" in info.out
    entries = write_lines(tmp_path / "entries", ["new york"])
    train = ["train", "--cache", tmp_path / "cache", "--out", tmp_path / "run", "--multiword", entries]
    assert "entries of several words are of one language, and words here of de, en, zh" in run_here(capsys, train).err


@pytest.mark.parametrize("objective", ["views", pytest.param("negative-sampling", marks=pytest.mark.exhaustive)])
def test_vectors_are_trained_centred_by_language_and_translated(xlmr, corpora, tmp_path, capsys, objective):
    encode = ["encode", "--model", xlmr, "--cache", tmp_path / "cache", "--mark-language", "--precision", "float32"]
    named = [part for corpus in corpora for part in ("--corpus", corpus, "--language", corpus.stem)]
    assert run_here(capsys, [*encode, *named]).status == 0
    run_here(capsys, ["cache", "phrases", tmp_path / "cache", "--min-count", "1"])
    train = ["train", "--cache", tmp_path / "cache", "--min-count", "1", "--objective", objective, "--subsample", "0"]
    train += ["--components", "1", "--device", "cpu"]
    for name, options in (("plain", []), ("centred", ["--centre-languages"])):
        result = run_here(capsys, [*train, *options, "--out", tmp_path / name])
        assert result.status == 0, result.err
    plain, centred = (WordVectors.load(tmp_path / name) for name in ("plain", "centred"))
    sums: dict[str, list] = {}
    for word in plain:
        sums.setdefault(word[:2], []).append(plain[word] / np.linalg.norm(plain[word]))
    for word in plain:
        moved = plain[word] / np.linalg.norm(plain[word]) - np.mean(sums[word[:2]], axis=0)
        expected = moved / np.linalg.norm(moved) * np.linalg.norm(plain[word])
        np.testing.assert_allclose(centred[word], expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    assert set(sums) == {"en", "de", "zh"}
    assert centred.split("das Gift", language="de") == ["de:das", "de:gift"]
    dictionary = write_lines(tmp_path / "en-de.txt", ["gift gift", "in in", "town stadt"])
    scored = run_here(
        capsys, ["evaluate", tmp_path / "centred", "--task", "translation", "--data", dictionary, "--json"]
    )
    assert scored.json["tasks"]["en-de"]["covered"] == 3
    export = ["export", tmp_path / "centred", "--to", "sentence-transformers", "--out", tmp_path / "export"]
    assert "a tokenizer does not know which to use; give --language" in " ".join(run_here(capsys, export).err.split())
    assert run_here(capsys, [*export, "--language", "de"]).status == 0
    run(xlmr, corpora, tmp_path / "unmarked", **SEVERAL)
    refused = run_here(
        capsys, ["train", "--cache", tmp_path / "unmarked", "--out", tmp_path / "x", "--centre-languages"]
    )
    assert "its words are not kept apart by language (encode --mark-language)" in refused.err


def test_rules_of_languages_go_to_another_process_whole():
    rules = choose_words(None, "de+en", marked=True).of("de")
    function, arguments = rules.__reduce__()
    assert function(*arguments).split("Gift") == ["de:gift"]
    assert isinstance(function(*arguments), WordSegmentation)


@pytest.mark.parametrize("pooling", ["content", "sif"])
def test_one_language_may_be_marked_and_marks_change_no_weight(xlmr, corpora, tmp_path, pooling):
    options = {"pooling": pooling, "unit": 1, "language": "en"}
    run(xlmr, corpora[:1], tmp_path / "plain", **options)
    run(xlmr, corpora[:1], tmp_path / "marked", **options, mark_language=True)
    run(xlmr, corpora[:1], tmp_path / "marked", **options, mark_language=True)  # there is nothing left to do
    plain, marked = (Cache.open(tmp_path / name) for name in ("plain", "marked"))
    for ours, theirs in zip(marked.shards(), plain.shards(), strict=True):
        np.testing.assert_array_equal(ours.contexts(), theirs.contexts())
    weights = [cache.manifest.encoding.word_weights for cache in (plain, marked)]
    assert weights[0]
    assert {word.removeprefix("en:"): weight for word, weight in weights[1].items()} == weights[0]
