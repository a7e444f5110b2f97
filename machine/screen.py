r"""What is written to a terminal: text, and nothing that a terminal obeys.

Names, words and corpora are other people's: a title in a name (`\x1b]0;...\x07`), a cleared screen, a changed direction
of writing. Everything that this process writes to stdout and stderr, warnings of libraries included, goes through here.
"""

import io
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

# They turn the direction of what stands after them.
DIRECTIONS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# All that a terminal may obey, but for ends of lines, tabs, and the returns around a progress bar; half surrogates
# stand for bytes of file names that are not UTF-8.
CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
OBEYED = re.compile(rf"(?!^\r|\r$)[{CONTROLS}]")
# How tqdm moves among several bars, and how Ray leaves a terminal when Python ends: each is written by itself.
HARMLESS = re.compile(r"\n*(\x1b\[A)*|\x1b\[0m")


def visible(text: str) -> str:
    r"""Return a text whose control characters, and those that turn the direction of writing, do nothing: `\x1b`."""
    shown = "".join(_escaped(char) if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") else char for char in text)
    return DIRECTIONS.sub(lambda match: _escaped(match[0]), shown)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def quantity(number: int, noun: str) -> str:
    """Return a number of things for people: "1 shard", "1,200 shards"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class Screen:
    """A text stream that is written to as any other, and shows control characters instead of sending them."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text; characters that the stream's encoding lacks are escaped, too."""
        if not HARMLESS.fullmatch(text):
            text = OBEYED.sub(lambda match: _escaped(match[0]), text)
        encoding = self.stream.encoding or "utf-8"
        return self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines: list[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)


@contextmanager
def screened() -> Iterator[None]:
    """Let stdout and stderr be screens; one that is closed takes what is written, and it goes nowhere."""
    with redirect_stdout(screen(sys.stdout)), redirect_stderr(screen(sys.stderr)):
        yield


def screen(stream: TextIO | None) -> Any:
    """Return a stream as a screen; None, which stands for one that was closed, as one that nobody sees."""
    return stream if isinstance(stream, Screen) else Screen(io.StringIO() if stream is None else stream)
