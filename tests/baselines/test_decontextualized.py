"""Decontextualised vectors: each word alone, whatever words it shares a batch with."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.baselines.caches import TEXTS, cosines, encoded, made, reader
from tests.teachers import FAMILIES
from x2static.durable.errors import X2StaticError

Alone = np.ndarray


def alone(word: str, family: str, layer: int, special: bool) -> Alone:
    """Return the mean of a layer's states over the pieces of a word, one word at a time."""
    slow = reader(family)
    pieces = slow.plain.encode(word, add_special_tokens=False).ids
    ids = [*slow.teacher.begin, *pieces, *slow.teacher.end]
    with torch.no_grad():
        states = slow.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].numpy()
    begin = len(slow.teacher.begin)
    mean: Alone = (states if special else states[begin : begin + len(pieces)]).mean(axis=0)
    return mean


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_an_unbatched_computation(family: str, tmp_path: Path) -> None:
    cache = encoded(tmp_path, [f"{TEXTS[0]} Straßenbahnhaltestelle."] * 2 + TEXTS, family)
    for layer, number in (("last", 2), (0, 0), (-2, 1)):
        found = made("decontextualized", cache, tmp_path / f"{layer}", layer=layer)
        expected = np.array([alone(word, family, number, special=False) for word in found.words])
        assert cosines(found.matrix, expected).min() >= 0.9999
        np.testing.assert_allclose(found.matrix, expected, rtol=1e-4, atol=1e-4)
    assert len(found) > 40
    assert found.run["pooling"] == "mean over the pieces of the word alone"


def test_blocks_of_words_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = encoded(tmp_path)
    whole = made("decontextualized", cache, tmp_path / "whole")
    monkeypatch.setattr("x2static.baselines.teacher.WORDS_AT_ONCE", 7)
    cut = made("decontextualized", cache, tmp_path / "cut")
    np.testing.assert_allclose(cut.matrix, whole.matrix, rtol=1e-4, atol=1e-5)


def test_a_word_without_pieces_is_left_out_and_a_long_one_is_cut(tmp_path: Path) -> None:
    long = "x" * 600  # a piece a letter, and the teacher holds 512
    cache = encoded(tmp_path, [f"The cat \ue000 reads. {long}."] * 2)
    found = made("decontextualized", cache, tmp_path / "out")
    assert sorted(found.words) == sorted(["the", "cat", "reads", ".", long])
    assert found.run["words_left_out"] == 1
    expected = alone("x" * 510, "bert", 2, special=False)
    np.testing.assert_allclose(found[long], expected, rtol=1e-4, atol=1e-4)


def test_the_corpus_is_not_needed_and_compat_does_not_matter(tmp_path: Path) -> None:
    cache = encoded(tmp_path, compat="paper")
    (tmp_path / "text.txt").unlink()
    assert len(made("decontextualized", cache, tmp_path / "out")) > 30


def test_a_wrong_layer_and_another_teacher_are_refused(tmp_path: Path) -> None:
    cache = encoded(tmp_path)
    with pytest.raises(X2StaticError, match=r"--layer -4: this teacher has layers 0"):
        made("decontextualized", cache, tmp_path / "out", layer=-4)
    with pytest.raises(X2StaticError, match=r"cache != here.*weights"):
        made("decontextualized", cache, tmp_path / "out", model=str(reader("gpt2").teacher.folder))
    with pytest.raises(X2StaticError, match="needs it, name it where it is now with --model"):
        made("decontextualized", cache, tmp_path / "out", model=str(tmp_path / "nowhere"))
