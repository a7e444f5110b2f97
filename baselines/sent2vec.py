"""sent2vec (Pagliardini, Gupta & Jaggi, NAACL 2018): CBOW whose window is the whole sentence, by gensim.

The authors' program has no package that installs without a compiler. This is its model of single words:

- the source vector of a sentence is the mean of all its words but the target (`shrink_windows` off);
- negatives are drawn with probability proportional to the square root of the count (their section 2.2);
- lines of at most 1,024 words and the learning rate are the program's defaults.

The program divides a sentence's gradient by its words, gensim does not: at the 0.2 that the program's documentation
uses, ten million words gave an average similarity of 0.11, at 0.05 0.40 (docs/LOG.md, 2026-11-21). Missing are the
n-grams of words and their dropout. And gensim drops frequent words from the sentence altogether, where sent2vec leaves
them out as targets alone.
"""

from x2static.baselines.fitting import add_vocabulary, fit, gensim_models, settings
from x2static.baselines.request import Made, Request
from x2static.baselines.text import write_text

LEARNING_RATE = 0.05
LONGEST_LINE = 1024  # words; the work grows with the square
NEGATIVES_POWER = 0.5
MISSING = ["word n-grams and their dropout", "subsampling of targets alone"]


def make(request: Request) -> Made:
    """Train the vectors of words on a text; `config.window` is not used.

    Args:
        request: what is asked for.

    Raises:
        X2StaticError: there is no text or no vocabulary, or gensim is missing.
    """
    models = gensim_models()
    arguments = settings(request, LEARNING_RATE)
    text = write_text(request, LONGEST_LINE)
    model = models.Word2Vec(
        sg=0,
        cbow_mean=1,
        window=text.longest,
        shrink_windows=False,
        ns_exponent=NEGATIVES_POWER,
        **arguments,
    )
    add_vocabulary(model, text)
    return fit(model, text, request, {"window": text.longest, "missing": MISSING})
