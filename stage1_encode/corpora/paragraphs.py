"""What the readers of all formats share: lines of files, paragraphs with their places, what becomes of bad text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import OnBadText
from x2static.stage1_encode.corpora.compression import BLOCK, DAMAGE, damage, open_stream

MEND = "mend the file, or choose --on-bad-text replace or --on-bad-text skip"


class ByteLine(NamedTuple):
    """A line and where it stands."""

    start: int  # byte of the decompressed file where it begins
    stop: int  # byte behind its line end
    data: bytes  # the line with its end; of one that is too long, the beginning
    whole: bool  # whether `data` is all of it


def byte_lines(path: Path, start: int, longest: int, name: str) -> Iterator[ByteLine]:
    """Yield lines from byte `start` of the decompressed file on; a plain file is not read before it.

    Of a line, `longest` bytes are kept in memory, its end not counted; `name` is the file's, in errors.
    """
    position = 0
    try:
        with open_stream(path) as stream:
            if stream.seekable():
                position = stream.seek(start)
            while position < start and (data := stream.read(min(BLOCK, start - position))):
                position += len(data)
            while data := stream.readline(longest + 1):
                begin, position = position, position + len(data)
                whole = data.endswith(b"\n") or len(data) <= longest
                rest = b"" if whole else stream.readline(BLOCK)
                while rest:
                    position += len(rest)
                    rest = b"" if rest.endswith(b"\n") else stream.readline(BLOCK)
                yield ByteLine(begin, position, data, whole)
    except DAMAGE as error:
        raise damage(name, position, error) from error


class Paragraph(NamedTuple):
    """A paragraph and where it stands."""

    start: int  # where it begins, or its row begins: a byte of the decompressed file, or the number of a row
    line: int  # its number within the row
    stop: int  # place of the byte or row where reading goes on behind it
    stop_line: int  # number, within the row `stop`, of the paragraph that reading goes on with
    text: str | None  # without surrounding white space; None for bad text that is left out; "" for a row without text


def paragraphs_of_row(start: int, stop: int, texts: Sequence[str | None], first: int) -> Iterator[Paragraph]:
    """Yield the paragraphs of the row at `start`, which ends at `stop`, from its paragraph number `first` on."""
    for line, text in enumerate(texts[first:], first):
        behind = (start, line + 1) if line + 1 < len(texts) else (stop, 0)
        yield Paragraph(start, line, *behind, text)


@dataclass(frozen=True)
class TextRules:
    """What becomes of text that cannot be read."""

    name: str  # what the text is called in messages
    on_bad_text: OnBadText
    longest: int  # bytes of a paragraph, or of a line of JSON; a longer one is bad text

    def refusal(self, problem: str) -> X2StaticError:
        """Return the error that names the text and what is wrong with it."""
        return X2StaticError(f"{self.name}: {problem}")

    def bad(self, problem: str) -> None:
        """Return if bad text is to be left out. Raises X2StaticError: it is not; with the problem."""
        if self.on_bad_text != "skip":
            raise self.refusal(problem)

    def too_long(self, what: str) -> None:
        """Treat something longer than a paragraph may be as bad text."""
        ways = "--max-paragraph-bytes allows more, --on-bad-text skip leaves it out"
        problem = f"{what} is longer than {self.longest} bytes"
        self.bad(f"{problem}; is it one paragraph, and --format the right one? ({ways})")

    def decoded(self, data: bytes, where: str, start: int = 0) -> str | None:
        """Return bytes as text; None for bad text that is left out. Bytes are counted from `start`, for messages."""
        try:
            return data.decode(errors="replace" if self.on_bad_text == "replace" else "strict")
        except UnicodeDecodeError as error:
            self.bad(f"{where}byte {start + error.start} is not valid UTF-8 ({error.reason}); {MEND}")
            return None

    def texts_of_row(self, value: str | bytes | None, where: str) -> list[str | None]:
        """Return the paragraphs of a row, which stand one a line; None for one that is bad text."""
        if isinstance(value, bytes):
            value = self.decoded(value, f"{where}: its ")
            if value is None:
                return [None]
        texts: list[str | None] = []
        for part in (value or "").split("\n"):
            text = part.strip()
            if len(text) > self.longest or len(text.encode()) > self.longest:
                self.too_long(f"a line of {where}")
                texts.append(None)
            elif text:
                texts.append(text)
        return texts


@dataclass(frozen=True)
class TextSource(TextRules):
    """One file, and how it is to be read."""

    path: Path
    column: str  # where the text of a row stands, in formats that have rows

    def lines(self, start: int) -> Iterator[ByteLine]:
        """Yield the file's lines from a byte on."""
        return byte_lines(self.path, start, self.longest, self.name)

    def bad_row(self, start: int, problem: str) -> None:
        """Treat the row at a byte as bad text, by the number of its line, which takes a pass over the file."""
        if self.on_bad_text != "skip":
            number = 1 + sum(1 for _ in takewhile(lambda before: before.start < start, self.lines(0)))
            self.bad(f"line {number} {problem}")

    def text(self, line: ByteLine) -> str | None:
        """Return a line's text without surrounding white space; None for bad text that is left out."""
        if not line.whole:
            self.too_long(f"the line at byte {line.start}")
            return None
        text = self.decoded(line.data, "", line.start)
        if text and not line.start:
            text = text.removeprefix("\ufeff")  # files from Windows begin with that mark
        return text and text.strip()
