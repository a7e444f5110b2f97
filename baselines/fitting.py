"""Training by gensim, as skip-gram, CBOW, fastText and sent2vec share it.

gensim's fast reader (`corpus_file`) does the work: its threads train whole epochs without Python. So progress is told
by epochs; a training that was stopped begins anew; and no loss is recorded: gensim adds losses up in float32, which
stands still after some ten million words, for one of the threads alone, and not at all for fastText.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from x2static.baselines.request import Made, Request
from x2static.baselines.text import Text
from x2static.durable.errors import X2StaticError
from x2static.machine.background import in_background
from x2static.machine.progress import Progress

logger = logging.getLogger(__name__)


def gensim_models() -> Any:
    """Return the module gensim.models.

    Raises:
        X2StaticError: gensim is not installed.
    """
    try:
        import gensim.models
    except ImportError as error:
        raise X2StaticError("this baseline needs gensim: `pip install x2static[baselines]`") from error
    return gensim.models


def settings(request: Request, learning_rate: float) -> dict[str, Any]:
    """Return the arguments of gensim's models that all methods share.

    Args:
        request: what is asked for.
        learning_rate: the first one; it falls to nothing linearly.

    Raises:
        X2StaticError: the dimension is not known.
    """
    config = request.config
    if config.dim is None and request.cache is None:
        raise X2StaticError(f"{config.name}: without a cache, whose dimension it would take, it needs --dim (300, say)")
    return {
        "vector_size": config.dim or request.needed_cache().manifest.encoding.dim,
        "alpha": learning_rate,
        "negative": config.negatives,
        "sample": config.subsample if config.subsample < 1 else 0,  # gensim takes 1 and more for a count
        "epochs": config.epochs,
        "seed": config.seed,
        "workers": config.threads or _threads(),
        "min_count": 1,  # the vocabulary is chosen already
        "sorted_vocab": 0,  # and sorted, ties by word
    }


def _threads() -> int:
    from torch import get_num_threads  # seconds of imports for one number

    return get_num_threads()


def add_vocabulary(model: Any, text: Text) -> None:
    """Give a gensim model the vocabulary of a text, in its order; its weights are drawn."""
    counts = dict(zip(text.words, text.counts.tolist(), strict=True))
    model.build_vocab_from_freq(counts, corpus_count=text.n_lines)


def fit(model: Any, text: Text, request: Request, told: dict[str, Any]) -> Made:
    """Train a gensim model that has its vocabulary.

    Args:
        model: a `Word2Vec` or `FastText`.
        text: what it reads.
        request: what is asked for.
        told: what run.json is to say of the method.

    Returns:
        The vectors of the vocabulary.
    """
    if model.workers > 1:
        logger.info("%d threads: gensim is reproducible with --threads 1 alone", model.workers)

    def train() -> None:
        model.train(
            corpus_file=str(text.file),
            total_words=text.n_words,
            epochs=model.epochs,
            callbacks=[_Epochs(request, model.epochs)],
        )

    # Not in the main thread: Ctrl-C ends the process while gensim's threads still run, see pipeline/cli.py.
    in_background(train).result()
    return Made(
        words=text.words,
        counts=text.counts,
        matrix=np.asarray(model.wv.vectors, np.float32),
        segmentation=text.segmentation,
        told={
            **told,
            **text.told,
            "library": "gensim",
            "learning_rate": model.alpha,
            "threads": model.workers,
            "reproducible": model.workers == 1,
        },
    )


@dataclass
class _Epochs:
    """A callback of gensim: reports the epochs."""

    request: Request
    total: int
    done: int = field(default=0, init=False)

    def on_train_begin(self, model: Any) -> None:
        """Report that there is something to wait for."""
        self.request.report(Progress(0, self.total, "epochs"))

    def on_epoch_begin(self, model: Any) -> None:
        """Do nothing."""

    def on_epoch_end(self, model: Any) -> None:
        """Report an epoch."""
        self.done += 1
        self.request.report(Progress(self.done, self.total, "epochs"))

    def on_train_end(self, model: Any) -> None:
        """Do nothing."""
