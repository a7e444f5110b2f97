"""fastText: skip-gram whose words are the mean of their own and their n-grams' vectors (Bojanowski et al. 2017)."""

import logging
from typing import Any

import numpy as np

from x2static.baselines.fitting import add_vocabulary, fit, gensim_models, settings
from x2static.baselines.request import Made, Request
from x2static.baselines.text import write_text

logger = logging.getLogger(__name__)

LEARNING_RATE = 0.05  # this, and the next three, are the defaults of the authors' program
SHORTEST, LONGEST = 3, 6  # characters of an n-gram, the marks "<" and ">" of the word's ends included
BUCKETS = 2_000_000
MOST_BYTES = 4 << 30  # of the n-grams' vectors; larger ones get fewer buckets


def make(request: Request) -> Made:
    """Train fastText's skip-gram on a text; the vectors are those of the vocabulary, n-grams added in.

    Args:
        request: what is asked for.

    Raises:
        X2StaticError: there is no text or no vocabulary, or gensim is missing.
    """
    models = gensim_models()
    arguments = settings(request, LEARNING_RATE)
    text = write_text(request)
    model = models.FastText(sg=1, window=request.config.window, min_n=SHORTEST, max_n=LONGEST, bucket=1, **arguments)
    add_vocabulary(model, text)
    buckets = min(BUCKETS, MOST_BYTES // (4 * model.vector_size))
    used = draw_ngrams(model, buckets)
    logger.info("n-grams: %s of %s buckets are used", f"{used:,}", f"{buckets:,}")
    return fit(model, text, request, {"buckets": buckets, "buckets_used": used, "ngrams": [SHORTEST, LONGEST]})


def draw_ngrams(model: Any, buckets: int) -> int:
    """Give a model vectors for those buckets alone into which an n-gram of its vocabulary falls.

    gensim makes them all, 3 GB at 384 dimensions, where a vocabulary of 35,000 words touches a tenth. Which n-grams
    share a vector is the same.

    Args:
        model: a gensim `FastText` that has its vocabulary.
        buckets: into which n-grams are hashed.

    Returns:
        How many have a vector.
    """
    from gensim.models.keyedvectors import prep_vectors

    vectors = model.wv
    vectors.bucket = buckets
    vectors.recalc_char_ngram_buckets()
    lengths = [len(row) for row in vectors.buckets_word]
    used, rows = np.unique(np.concatenate(vectors.buckets_word), return_inverse=True)
    vectors.buckets_word = np.split(rows.astype(np.uint32), np.cumsum(lengths)[:-1])
    vectors.bucket = len(used)
    vectors.vectors_ngrams = prep_vectors((len(used), model.vector_size), seed=model.seed + 1)
    return len(used)
