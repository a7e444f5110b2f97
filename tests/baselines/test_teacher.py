"""The teacher reads texts as if each were alone; that of a cache is found where it is, and refused before it reads."""

import random
from pathlib import Path

import numpy as np
import pytest

from tests.baselines.caches import TEXTS, alone, common, cosines, encoded, made, reader
from tests.teachers import FAMILIES, SCRIPTS, english_sentence
from x2static.baselines.teacher import TeacherSentences
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.teacher.teacher import Teacher


def load(folder: Path | str) -> TeacherSentences:
    return TeacherSentences.load(str(folder), "cpu", "float32")


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(family, monkeypatch):
    monkeypatch.setattr("x2static.stage1_encode.texts.TEXTS_AT_ONCE", 17)
    slow, drawn, seen = reader(family, 24), random.Random(0), []
    texts = [english_sentence(drawn) for _ in range(40)]
    texts += [*SCRIPTS, "one [SEP] two </s> three", " ".join(texts[:9]), "a"]
    vectors = load(slow.teacher.folder).encode(texts, lambda progress: seen.append((progress.done, progress.total)))
    assert vectors.dtype == np.float32
    assert len({len(slow.plain_pieces(text)) > slow.teacher.room for text in texts}) == 2, "some have to be cut"
    assert cosines(vectors, np.stack([alone(slow, text) for text in texts])).min() >= 0.9999
    assert seen[:2] == [(0, len(texts)), (17, len(texts))]
    assert seen[-1] == (len(texts), len(texts))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_text_without_pieces_has_zeros_no_text_gives_no_vector_and_bad_states_are_refused(family, monkeypatch):
    sentences = load(reader(family, 24).teacher.folder)
    assert sentences.encode(["the cat", "", "the dog"]).any(axis=1).tolist() == [True, False, True]
    assert sentences.encode([]).shape == (0, sentences.teacher.dim)
    states = sentences.teacher.states
    monkeypatch.setattr(sentences.teacher, "states", lambda batch: states(batch) * np.nan)
    with pytest.raises(X2StaticError, match=r"states are not finite; try --precision float32"):
        sentences.encode(["the cat sees the dog"])


def test_words_that_the_teacher_never_reads_are_left_out_and_counted(tmp_path: Path) -> None:
    cache = encoded(tmp_path, [f"\ufffd {text}" for text in TEXTS])  # a BERT's tokenizer drops this character
    (tmp_path / "words.txt").write_text("\ufffd\n")
    for name, options in (("ase", {}), ("ase", {"pooling": "max"}), ("pca", {}), ("model2vec", {})):
        ours = made(name, cache, tmp_path / f"{name}{len(options)}", **options)
        assert "\ufffd" not in ours
        assert ours.run["words_left_out"] == 1
        with pytest.raises(X2StaticError, match="none of the 1 words of the vocabulary has a vector"):
            made(name, cache, tmp_path / f"none-{name}{len(options)}", vocab=tmp_path / "words.txt", **options)


LAYERS = r"this teacher has layers 0 \(its embeddings\) to 2"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ase", {"layer": 9}, rf"--layer 9: {LAYERS}"),
        ("ase", {"layer": 9, "pooling": "min"}, rf"--layer 9: {LAYERS}"),
        ("pca", {"layer": 9}, rf"--layer 9: {LAYERS}"),
        ("decontextualized", {"layer": -4}, rf"--layer -4: {LAYERS}"),
        ("decontextualized", {"model": "gpt2"}, r"cache != here.*weights"),
        ("model2vec", {"model": "/nowhere"}, "needs it, name it where it is now with --model"),
        (
            "ase",
            {"precision": "bfloat16", "pooling": "min"},
            r"take 0\.0 GB, and of the 0\.0 GB of memory here 80% .* --max-vocab",
        ),
        ("pca", {}, r"take 0\.0 GB, and of the 0\.0 GB of memory here 80% .* --max-vocab"),
    ],
)
def test_a_wrong_layer_another_teacher_and_too_many_words_are_refused_before_the_teacher_reads(
    name: str, options: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if options.get("model") == "gpt2":
        options = {"model": str(reader("gpt2").teacher.folder)}
    monkeypatch.setattr("x2static.baselines.occurrences.memory_of", lambda _: 10_000)
    monkeypatch.setattr(Teacher, "layers", lambda *_: pytest.fail("the teacher reads"))
    with pytest.raises(X2StaticError, match=message):
        made(name, common(), tmp_path / "out", min_count=3, **options)


def test_a_cache_whose_words_and_pieces_do_not_meet_is_refused_where_they_have_to(tmp_path: Path) -> None:
    cache = encoded(tmp_path, compat="paper")
    (tmp_path / "text.txt").unlink()
    with pytest.raises(X2StaticError, match=r"made with --compat paper, .*; ase needs a cache without it"):
        made("ase", cache, tmp_path / "out")
    assert len(made("decontextualized", cache, tmp_path / "words")) > 30


def test_a_moved_corpus_and_teacher_are_named(tmp_path: Path) -> None:
    cache = encoded(tmp_path)
    (tmp_path / "text.txt").rename(tmp_path / "moved.txt")
    with pytest.raises(X2StaticError, match=r"is needed to encode its shards again, and is not found .* with --corpus"):
        made("ase", cache, tmp_path / "out")
    moved = {"model": str(reader().teacher.folder), "corpus": (str(tmp_path / "moved.txt"),)}
    assert len(made("ase", cache, tmp_path / "out", **moved)) > 30
