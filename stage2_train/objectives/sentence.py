"""Sentences: the mean of the word vectors of a text is brought to the vector that the teacher gave the text.

    f(S) = 1 - cos( (1 / |S|) sum over w in S of u_w ,  c_S )

S are the words of the vocabulary in a context, every occurrence of them, and c_S is its context vector in the space of
the transform (a bias's coordinate is not used). Whole paragraphs, `means_of`, are better: S are the words of all of its
contexts then, and c_S is the mean over these words of their context vectors. A text weighs as much as it has words.
Cosines leave the length of a mean free, but not what a word's length is beside that of others: it is the word's weight
in a mean, and is learned with it. Vectors begin at the views of the words with their SIF lengths, turned into the axes
of the space; in a cache that holds none, at the means of each word's contexts with such lengths. What it gains is in
docs/LOG.md, 2026-11-29.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from x2static.durable.errors import X2StaticError
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import sif_weights
from x2static.stage2_train.learner import Gradient, Targets, runs
from x2static.stage2_train.objectives import views
from x2static.stage2_train.objectives.closed_form import turned
from x2static.stage2_train.objectives.objective import BaseObjective
from x2static.stage2_train.sampling import Draws, Position
from x2static.stage2_train.stream import Batch, Stream
from x2static.stage2_train.transform import Moments, Transform, pieces

SHORTEST = 1e-12  # length of a mean, below which it has no direction


class Objective(BaseObjective):
    """Means of words as a configuration asks for them; of the settings of negative sampling, none counts."""

    loss_of_zeros = 1.0

    def __init__(self, config: TrainConfig) -> None:
        if config.init not in ("views", "closed-form"):
            what = f"--init {config.init}: the directions of sentences begin at views, or at the means of contexts"
            raise X2StaticError(f"{what}; leave it out, or give views or closed-form")
        self.views: views.Objective | None = views.Objective(config) if config.init == "views" else None
        self.needs_words = self.views is None or self.views.needs_words
        self.sif, self.biased = config.sif, config.transform != "none"
        self.whole = config.means_of == "paragraphs"

    def begin(self, vectors: Tensor, stream: Stream, transform: Transform, moments: Callable[[], Moments]) -> None:
        """Write the views, or the means of contexts, with SIF lengths; a bias is 0."""
        width = transform.dim(stream.dim)
        if self.views is not None:
            for rows, some in turned(self.views.put_together(stream, moments), transform):
                vectors[rows, :width] = some.to(vectors)
            return
        sums, lengths = moments(), torch.ones(len(vectors), dtype=torch.float64)
        if self.sif:
            lengths = torch.from_numpy(sif_weights(stream.vocabulary.counts, self.sif))
        for rows in pieces(len(vectors)):
            mean = functional.normalize(transform.map_differences(sums.differences(rows)))
            vectors[rows, :width] = (mean * lengths[rows, None]).to(vectors)

    def draw(self, batch: Batch, position: Position, draws: Draws, like: Tensor) -> Targets:
        """Return all words of a batch, with the contexts or paragraphs that they are of."""
        contexts, text_of = batch.contexts.to(like.dtype), batch.context_of
        if self.whole:
            shares = torch.bincount(text_of, minlength=len(contexts)).to(like.dtype)[:, None]
            n_groups = int(batch.group_of[-1]) + 1
            sums = contexts.new_zeros(n_groups, contexts.shape[1] + 1)
            sums.index_add_(0, batch.group_of, torch.cat([contexts * shares, shares], 1))
            contexts, text_of = sums[:, :-1] / sums[:, -1:].clamp_min(1), batch.group_of[text_of]
        return Means(contexts, text_of, batch.words.long(), self.biased)


@dataclass(frozen=True)
class Means(Targets):
    """The words of a batch, (n_words,), whose means are brought to their contexts."""

    biased: bool  # whether the last coordinate is a bias's

    def loss_and_gradient(self, vectors: Tensor) -> tuple[float, Gradient]:
        """Return the summed loss, that of a context once for each of its words, and the gradient of the mean.

        A mean without a direction has a loss of 1 and moves nothing.
        """
        width = self.contexts.shape[1] - self.biased
        counts = torch.bincount(self.context_of, minlength=len(self.contexts)).to(vectors.dtype)
        starts = functional.pad(torch.cumsum(counts.long(), 0), (1, 0))[:-1]
        # The words of a context follow one another.
        sums = functional.embedding_bag(self.words, vectors, starts, mode="sum")[:, :width]
        lengths, contexts = sums.norm(dim=1), functional.normalize(self.contexts[:, :width])
        directions = sums / lengths.clamp_min(SHORTEST)[:, None]
        cosines = (directions * contexts).sum(1)
        loss = float(counts.double() @ (1 - cosines).double())
        # |S| times the derivative of the loss of S by each of its words; |S| and the mean's 1 / |S| cancel out.
        slopes = (cosines[:, None] * directions - contexts) * (counts / lengths.clamp_min(SHORTEST))[:, None]
        slopes[lengths <= SHORTEST] = 0
        words, order = torch.sort(self.words, stable=True)
        rows, begins = runs(words)
        weights = torch.full_like(words, 1 / len(self), dtype=vectors.dtype)
        columns = functional.pad(slopes, (0, int(self.biased))).contiguous()
        return loss, Gradient(rows, begins, self.context_of.index_select(0, order), weights, columns)
