"""Decontextualised vectors (Bommasani, Davis and Cardie, ACL 2020): each word through the teacher, alone."""

from x2static.baselines.request import Request, Result
from x2static.baselines.teacher import load_teacher, result_of
from x2static.stage1_encode.texts import read_texts


def make(request: Request) -> Result:
    """Return, for each word, the mean of a layer's states over its pieces, special tokens left out."""
    matrix = read_texts(load_teacher(request), request.bare_words(), "words", request.report)
    return result_of(request, matrix, {"pooling": "mean over the pieces of the word alone"})
