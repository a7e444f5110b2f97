"""What a terminal would obey is shown as text, whoever writes it."""

import io
import logging
import sys
import unicodedata
import warnings

import pytest
from tqdm import tqdm

from x2static.machine.screen import Screen, screen, screened, visible

# Every character that a terminal may obey, or that turns the direction of writing or ends a line for some.
OBEYED = [
    char
    for char in map(chr, range(0x110000))
    if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
    or unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
]


def written(*texts: str) -> str:
    stream = io.StringIO()
    Screen(stream).writelines(list(texts))
    return stream.getvalue()


def test_no_character_that_a_terminal_obeys_passes_but_for_ends_of_lines_and_tabs():
    passed = [char for char in OBEYED if char in written(f"a{char}b")]
    assert passed == ["\t", "\n"]
    assert all(char not in visible(f"a{char}b") for char in OBEYED)
    assert written("naïve 中文 👍 \u0301") == "naïve 中文 👍 \u0301"


def test_a_name_cannot_clear_the_screen_or_overwrite_a_line_and_a_progress_bar_can():
    assert written("\x1b[2J\x1b]0;owned\x07 a\rb") == r"\x1b[2J\x1b]0;owned\x07 a\rb"
    stream = io.StringIO()
    with tqdm(total=2, file=Screen(stream)) as outer, tqdm(total=2, file=Screen(stream), position=1) as inner:
        outer.update()
        inner.update()
    assert "\r" in stream.getvalue()
    assert "\x1b[A" in stream.getvalue()
    assert "\\" not in stream.getvalue()


def test_python_s_warnings_and_loggers_of_libraries_are_written_to_a_screen(capsys):
    with screened():
        sys.stderr.write(warnings.formatwarning("a \x1b[31mcorpus", UserWarning, "text.py", 1))
        handler = logging.StreamHandler()
        handler.emit(logging.LogRecord("transformers", logging.ERROR, "", 0, "a \x9b31m model", None, None))
        sys.stdout.write("a \u202eword\n")
    said = capsys.readouterr()
    assert not [char for char in said.err + said.out if char in OBEYED and char != "\n"]
    assert r"\x1b[31mcorpus" in said.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_the_terminal_s_encoding_lacks_is_escaped_and_no_error(encoding):
    raw = io.BytesIO()
    stream = Screen(io.TextIOWrapper(raw, encoding=encoding))
    stream.write("bad\udcffname 中")
    stream.flush()
    assert raw.getvalue().decode(encoding) == "bad\\udcffname " + ("中" if encoding == "utf-8" else r"\u4e2d")


def test_a_stream_that_was_closed_takes_what_is_written(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with screened():
        sys.stderr.write("nowhere")
        assert not sys.stderr.isatty()
    assert isinstance(screen(None), Screen)
