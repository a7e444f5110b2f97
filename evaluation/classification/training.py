"""One training of the classifier."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from x2static.evaluation.classification.examples import Examples
from x2static.evaluation.classification.network import Network

BATCH = 32
AT_ONCE = 256  # texts, where nothing is learned


def train(matrix: Tensor, examples: Examples, n_classes: int, lr: float, seed: int) -> Iterator[Network]:
    """Train a new network by Adam on the cross-entropy; yield it after every epoch, without end.

    On the CPU, also where there is a GPU: the network is small, and the same seed gives the same network.

    Args:
        matrix: (n_words + 1, dim) float32, the word vectors, which stay as they are.
        examples: what to train on.
        n_classes: of the labels.
        lr: learning rate.
        seed: of the parameters, the order and the dropout.
    """
    order, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    network = Network(matrix.shape[1], n_classes, draws)
    optimizer = torch.optim.Adam(network.parameters, lr=lr, fused=True)
    while True:
        for batch in examples.batches(BATCH, order):
            optimizer.zero_grad()
            loss = F.cross_entropy(network.scores(matrix, batch, dropout=draws), batch.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        yield network


def predict(network: Network, matrix: Tensor, examples: Examples) -> npt.NDArray[np.int64]:
    """Return the class of each text, (n,) int64."""
    predicted = np.empty(len(examples), np.int64)
    with torch.no_grad():
        for batch in examples.batches(AT_ONCE, np.random.default_rng(0)):
            predicted[batch.rows] = network.scores(matrix, batch).argmax(dim=1).numpy()
    return predicted
