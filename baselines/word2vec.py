"""Skip-gram, CBOW, fastText and sent2vec, by gensim.

Skip-gram and CBOW with negative sampling: Mikolov et al. 2013. fastText: skip-gram whose words are the mean of their
own and their n-grams' vectors (Bojanowski et al. 2017). sent2vec (Pagliardini, Gupta & Jaggi, NAACL 2018): CBOW whose
window is the whole sentence. The authors' program has no package that installs without a compiler; this is its model of
single words: a sentence's source vector is the mean of all its words but the target (`shrink_windows` off); negatives
are drawn by the square root of the count (their section 2.2); lines have at most 1,024 words.

The program divides a sentence's gradient by its words, gensim does not: at the 0.2 that the program's documentation
uses, ten million words gave an average similarity of 0.11, at 0.05 0.40 (docs/LOG.md, 2026-11-21). Missing are the
n-grams of words and their dropout. And gensim drops frequent words from the sentence altogether, where sent2vec leaves
them out as targets alone.

gensim's fast reader (`corpus_file`) does the work: its threads train whole epochs without Python. So progress is
reported by epochs; a training that was stopped begins anew; and no loss is recorded: gensim adds losses up in float32,
which stands still after some ten million words, for one of the threads alone, and not at all for fastText.
"""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from x2static.baselines.request import Request, Result
from x2static.baselines.text import LONGEST_LINE, Text, write_text
from x2static.durable.errors import X2StaticError
from x2static.machine.packages import require
from x2static.machine.processes import in_background
from x2static.machine.progress import Progress, Report
from x2static.schemas.subwords import LONGEST, SHORTEST, Subwords, ngrams_of

LEARNING_RATES = {"skipgram": 0.025, "cbow": 0.05, "fasttext": 0.05, "sent2vec": 0.05}  # of the authors' programs
MOST_BYTES = 4 << 30  # of the n-grams' vectors; larger ones get fewer buckets

logger = logging.getLogger(__name__)


def make(request: Request) -> Result:
    """Train one of the four, by the name in the configuration, on a text; windows do not cross sentences."""
    require("baselines")
    from gensim import models  # an extra

    config = request.config
    arguments = _arguments(request)
    # sent2vec's work grows with the square of a line.
    text = write_text(request, 1024 if config.name == "sent2vec" else LONGEST_LINE)
    origin: dict[str, Any] = {}
    match config.name:
        case "fasttext":
            model = models.FastText(sg=1, window=config.window, min_n=SHORTEST, max_n=LONGEST, bucket=1, **arguments)
        case "sent2vec":
            whole_lines = {"window": text.longest, "shrink_windows": False}
            model = models.Word2Vec(sg=0, cbow_mean=1, ns_exponent=0.5, **whole_lines, **arguments)
            missing = ["word n-grams and their dropout", "subsampling of targets alone"]
            origin = {"window": text.longest, "missing": missing}
        case _:
            model = models.Word2Vec(sg=int(config.name == "skipgram"), cbow_mean=1, window=config.window, **arguments)
    model.build_vocab_from_freq(dict(zip(text.words, text.counts.tolist(), strict=True)), corpus_count=text.n_lines)
    if config.name == "fasttext":
        buckets = min(2_000_000, MOST_BYTES // (4 * model.vector_size))
        used = draw_ngrams(model, buckets)
        logger.info("n-grams: %s of %s buckets are used", f"{len(used):,}", f"{buckets:,}")
        origin = {"buckets": buckets, "buckets_used": len(used), "ngrams": [SHORTEST, LONGEST]}
    if model.workers > 1:
        logger.info("%d threads: gensim is reproducible with --threads 1 alone", model.workers)
    # Not in the main thread: Ctrl-C ends the process while gensim's threads still run, see pipeline/cli.py.
    in_background(lambda: _train(model, text, request.report)).result()
    subwords = _subwords(model, buckets, used) if config.name == "fasttext" else None
    origin |= text.origin | {"library": "gensim", "learning_rate": model.alpha}
    origin |= {"threads": model.workers, "reproducible": model.workers == 1}
    matrix = np.asarray(model.wv.vectors, np.float32)
    return Result(text.words, text.counts, matrix, origin, text.segmentation, subwords)


def _arguments(request: Request) -> dict[str, Any]:
    """Return the arguments of gensim's models that all four share."""
    config = request.config
    if config.dim is None and request.cache is None:
        raise X2StaticError(f"{config.name}: without a cache, whose dimension it would take, it needs --dim (300, say)")
    threads = config.threads
    if threads is None:
        from torch import get_num_threads  # seconds of imports for one number

        threads = get_num_threads()
    return {
        "vector_size": config.dim or request.needed_cache().manifest.encoding.dim,
        "alpha": LEARNING_RATES[config.name],  # the first one; it falls to nothing linearly
        "negative": config.negatives,
        "sample": config.subsample if config.subsample < 1 else 0,  # gensim takes 1 and more for a count
        "epochs": config.epochs,
        "seed": config.seed,
        "workers": threads,
        "min_count": 1,  # the vocabulary is chosen already
        "sorted_vocab": 0,  # and sorted, ties by word
    }


def draw_ngrams(model: Any, buckets: int) -> npt.NDArray[np.int64]:
    """Give a gensim `FastText` vectors for those buckets alone into which an n-gram of its vocabulary falls.

    gensim makes them all, 3 GB at 384 dimensions, where a vocabulary of 35,000 words touches a tenth. Which n-grams
    share a vector is the same. Returns the numbers of the buckets that have one, (n,), a row of the vectors each.
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
    return np.asarray(used, np.int64)


def _subwords(model: Any, buckets: int, used: npt.NDArray[np.int64]) -> Subwords:
    """Return the vectors of the n-grams of the vocabulary, whose mean is the vector of any other word.

    gensim has n-grams beside them, which it never trained: they keep what was drawn for them, or have the vector of one
    with which they share a bucket by chance.
    """
    from gensim.models.fasttext_inner import ft_hash_bytes

    ngrams = sorted({ngram for word in model.wv.index_to_key for ngram in ngrams_of(word)})
    rows = np.searchsorted(used, [ft_hash_bytes(ngram.encode()) % buckets for ngram in ngrams])
    return Subwords(ngrams, model.wv.vectors_ngrams[rows].astype(np.float16), power=1)


def _train(model: Any, text: Text, report: Report) -> None:
    from gensim.models.callbacks import CallbackAny2Vec

    class Epochs(CallbackAny2Vec):  # type: ignore[misc]  # gensim has no types
        done = 0

        def on_train_begin(self, model: Any) -> None:
            report(Progress(0, model.epochs, "epochs"))

        def on_epoch_end(self, model: Any) -> None:
            self.done += 1
            report(Progress(self.done, model.epochs, "epochs"))

    model.train(corpus_file=str(text.file), total_words=text.n_words, epochs=model.epochs, callbacks=[Epochs()])
