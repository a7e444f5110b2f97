"""Text that a library cannot take: rewritten where it is known, else named by its place, or left out and counted."""

import random
from unittest.mock import Mock

import pytest

from tests.stage1_encode.runs import config_of, paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.pipeline.engines import local
from x2static.schemas.cache import Cache
from x2static.stage1_encode.text.default import DefaultPreparer
from x2static.stage1_encode.text.segmentation import SentenceSplitter

WIDE = "".join(map(chr, [0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]))
PARTS = [*WIDE, *"AZbé5中.?!。\"'”(»)\u0301", *" . . A A \t \n".split(" "), "Dr", "e.g", "No"]


class PanicException(BaseException):
    """What a library in Rust raises; the real class cannot be imported."""


@pytest.mark.parametrize("language", ["en", "kk", "it", "hy", "ja", "xx"])
def test_no_mixture_of_spaces_stops_and_initials_panics_and_places_stay(language):
    drawn, splitter = random.Random(1), SentenceSplitter(language)
    for _ in range(5000):
        text = "".join(drawn.choices(PARTS, k=drawn.randint(1, 12)))
        sentences = [text[start:stop] for start, stop in splitter.spans(text)]
        assert "".join("".join(sentences).split()) == "".join(text.split())


@pytest.mark.parametrize("space", WIDE)
def test_a_wide_space_before_the_stop_of_an_initial_cuts_as_a_space_does(space):
    for text in ("It tells of vitamin D{0}. It goes on.", "A{0}{0}.", "Of A{0}.{0}. More.", "xB{0}."):
        for language in ("en", "kk"):
            spans = SentenceSplitter(language).spans
            assert spans(text.format(space)) == spans(text.format(" "))


@pytest.fixture
def panicking(monkeypatch):
    """Let a library panic at the paragraphs that say so."""
    original = DefaultPreparer.prepare

    def prepare(self, texts, language=None):
        if any("panic" in text for text in texts):
            raise PanicException("byte index 3 is not a char boundary")
        return original(self, texts)

    monkeypatch.setattr(DefaultPreparer, "prepare", prepare)


def test_a_panic_names_the_paragraph_and_the_option_that_goes_on(teacher, tmp_path, panicking, caplog):
    lines = paragraphs(30)
    bad = [*lines[:17], "This is for the panic of it.", *lines[17:]]
    corpus, place = write_lines(tmp_path / "bad.txt", bad), sum(len(line.encode()) + 1 for line in lines[:17])
    said = rf"corpus .*bad\.txt: the paragraph at place {place} of bad\.txt: .*panic: byte index 3.*--on-bad-text skip"
    for _ in range(2):
        with pytest.raises(X2StaticError, match=said):
            run(teacher, corpus, tmp_path / "cache", unit=7)
    figures = run(teacher, corpus, tmp_path / "cache", unit=7, on_bad_text="skip")  # the same cache goes on
    assert "left out as bad text: 1 paragraph" in caplog.text
    assert figures["shards_resumed"] == 2
    good = run(teacher, write_lines(tmp_path / "good.txt", lines), tmp_path / "good", unit=30)
    assert (figures["contexts"], figures["words"]) == (good["contexts"], good["words"])
    assert sum(Cache.open(tmp_path / "cache").shard(index).marker.unit.skipped for index in range(5)) == 1


def test_an_encoder_that_a_library_fails_says_so_to_the_command(tmp_path, monkeypatch):
    def fail(*_):
        raise PanicException("it is inside of a character")

    connection, said = Mock(), []
    connection.send = said.append
    monkeypatch.setattr(local, "open_worker", fail)
    local._encode(connection, config_of(tmp_path, "t.txt", tmp_path / "cache", encoders=2), (), 0)
    assert [one.of_unit for one in said] == [False]
    assert "panic: it is inside of a character" in said[0].problem
