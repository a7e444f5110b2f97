"""A teacher of two languages is made in half a minute, and word vectors made of it translate."""

import pytest

from benchmarks.bilingual import measure
from tests.stage1_encode.runs import paragraphs, write_lines


@pytest.mark.exhaustive
def test_words_of_a_bilingual_teacher_are_translated(tmp_path):
    corpus = write_lines(tmp_path / "corpus.txt", paragraphs(400))
    figures = measure(tmp_path / "made", corpus, 1000, 0.7, 20, ("views",))
    for name in ("views", "views, centred"):  # which of the two is better, 58 words do not say
        of = figures[name]
        assert figures["words"] == of["covered"] > 30
        assert of["csls"][1] >= of["csls"][0] > 10 * of["chance"]
        assert of["half, rotated"] > 10 * of["chance"]
