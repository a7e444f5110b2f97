"""The classifier computes what the paper describes, text by text, however texts are batched."""

import numpy as np
import pytest
import torch

from tests.evaluation.made import random_vectors, write
from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification import network
from x2static.evaluation.classification.data import read_tasks
from x2static.evaluation.classification.network import FILTERS, UNKNOWN, Examples, Inputs
from x2static.schemas.vectors import WordVectors

DIM, CLASSES = 7, 3
MATRIX = torch.randn(20, DIM, generator=torch.Generator().manual_seed(1))
MATRIX[UNKNOWN] = 0


def examples(lengths, seed=0):
    random = np.random.default_rng(seed)
    ids = random.integers(0, len(MATRIX), sum(lengths))
    return Examples(ids, np.array(lengths), random.integers(0, CLASSES, len(lengths)))


def drawn():
    return network.Network(DIM, CLASSES, torch.Generator().manual_seed(0))


def naive_scores(net, ids):
    """One text through PyTorch's own convolution, zeros beside it; without words nothing is found."""
    features = torch.zeros(FILTERS)
    if len(ids):
        kernel = net.filters.view(DIM, 3, FILTERS).permute(2, 0, 1)
        convolved = torch.nn.functional.conv1d(MATRIX[ids].T[None], kernel, net.bias, padding=1)
        features = torch.relu(convolved)[0].amax(dim=1)
    return (features @ net.weights + net.offsets).detach().numpy()


def test_batched_scores_equal_those_of_each_text_alone_by_a_plain_convolution():
    net, texts = drawn(), examples([5, 0, 1, 2, 9, 3, 1, 14])
    starts = np.cumsum(texts.lengths) - texts.lengths
    expected = {}
    for batch in texts.batches(3, np.random.default_rng(0)):
        scores = net.scores(MATRIX, batch).detach().numpy()
        for row, of_text in zip(batch.rows, scores, strict=True):
            expected[row] = naive_scores(net, texts.ids[starts[row] : starts[row] + texts.lengths[row]])
            np.testing.assert_allclose(of_text, expected[row], atol=1e-5)
    assert network.predict(net, MATRIX, texts).tolist() == [int(expected[row].argmax()) for row in range(8)]


def test_batches_hold_texts_of_about_one_length_in_an_order_that_changes():
    texts, random = examples([length for length in range(1, 11) for _ in range(20)]), np.random.default_rng(0)
    first, second = ([batch.rows.tolist() for batch in texts.batches(20, random)] for _ in range(2))
    assert all(len(set(texts.lengths[rows])) == 1 for rows in first)
    assert first != second
    assert sorted(map(sorted, first)) == sorted(map(sorted, second))


def test_dropout_drops_half_of_the_features_and_keeps_their_mean():
    net = drawn()
    net.weights, net.offsets = torch.eye(FILTERS), torch.zeros(FILTERS)
    (batch,) = examples([6] * 200).batches(200, np.random.default_rng(0))
    whole, dropped = (net.scores(MATRIX, batch, draws).detach() for draws in (None, torch.Generator().manual_seed(3)))
    alive = whole > 0
    kept = dropped[alive] > 0
    assert kept.float().mean().item() == pytest.approx(1 - network.DROPOUT, abs=0.02)
    torch.testing.assert_close(dropped[alive][kept], whole[alive][kept] / (1 - network.DROPOUT))


def test_training_learns_all_parameters_and_leaves_the_vectors_alone():
    before = MATRIX.clone()
    trained = next(network.train(MATRIX, examples([3] * 64), CLASSES, 1e-2, seed=0))
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in trained.parameters)
    assert torch.equal(MATRIX, before)


def task(tmp_path, texts):
    for name in ("train", "dev", "test"):
        write(tmp_path / f"A/{name}.tsv", [(number % 2, text) for number, text in enumerate(texts)])
    return read_tasks(tmp_path, 0)[0]


def test_words_are_looked_up_as_written_else_lower_cased_and_counted(tmp_path):
    inputs = Inputs.of(random_vectors(["US", "us", "cat"]), task(tmp_path, ["US Cat cat", "us nowhere", ""]))
    assert inputs.train.ids.tolist() == [1, 2, 2, 3, UNKNOWN]
    assert inputs.train.lengths.tolist() == [3, 2, 0]
    assert (inputs.covered, inputs.total) == (12, 15)
    assert not inputs.matrix[UNKNOWN].any()


def test_the_scale_of_the_vectors_changes_nothing(tmp_path):
    given = random_vectors(["a", "b", "c"])
    larger = WordVectors(given.words, given.matrix * 1000, given.counts)
    one, other = (Inputs.of(of, task(tmp_path, ["a b", "c c x"])).matrix for of in (given, larger))
    torch.testing.assert_close(one, other)
    a, b, c = one[1:].norm(dim=1).tolist()
    assert (a + b + 2 * c) / 4 == pytest.approx(network.MEAN_LENGTH)


@pytest.mark.parametrize(("word", "length"), [("x", 1), ("a", 0)])
def test_a_task_none_of_whose_words_has_a_vector_is_one_clear_line(tmp_path, word, length):
    given = WordVectors([word], np.full((1, 4), length, np.float32), np.ones(1, np.int64))
    with pytest.raises(X2StaticError, match=r"A: \d of its 6 words are among the 1 of the vectors, none in the train"):
        Inputs.of(given, task(tmp_path, ["a", "b"]))
