"""Skip-gram and CBOW with negative sampling (Mikolov et al. 2013), by gensim."""

from x2static.baselines.fitting import add_vocabulary, fit, gensim_models, settings
from x2static.baselines.request import Made, Request
from x2static.baselines.text import write_text

LEARNING_RATE = {"skipgram": 0.025, "cbow": 0.05}  # the defaults of the authors' program


def make(request: Request) -> Made:
    """Train skip-gram or CBOW (the mean of the window) on a text; windows do not cross sentences.

    Args:
        request: what is asked for; `config.name` says which of the two.

    Raises:
        X2StaticError: there is no text or no vocabulary, or gensim is missing.
    """
    config = request.config
    models = gensim_models()
    arguments = settings(request, LEARNING_RATE[config.name])
    text = write_text(request)
    model = models.Word2Vec(sg=int(config.name == "skipgram"), cbow_mean=1, window=config.window, **arguments)
    add_vocabulary(model, text)
    return fit(model, text, request, {})
