"""Decontextualised vectors (Bommasani, Davis and Cardie, ACL 2020): each word through the teacher, alone."""

from x2static.baselines.request import Request, Result
from x2static.baselines.teacher import read_words, result_of


def make(request: Request) -> Result:
    """Return, for each word, the mean of a layer's states over its pieces, special tokens left out.

    Raises X2StaticError: the teacher is not found, or has no such layer.
    """
    return result_of(request, read_words(request, special=False), {"pooling": "mean over the pieces of the word alone"})
