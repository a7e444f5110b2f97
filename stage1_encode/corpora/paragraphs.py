"""What the readers of all formats share: a paragraph with its place, and what becomes of bad text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import OnBadText
from x2static.stage1_encode.corpora.byte_lines import ByteLine, byte_lines

MEND = "mend the file, or choose --on-bad-text replace or --on-bad-text skip"


class Paragraph(NamedTuple):
    """A paragraph and where it stands."""

    start: int  # where it begins, or its row begins: a byte of the decompressed file, or the number of a row
    line: int  # its number within the row
    stop: int  # place of the byte or row where reading goes on behind it
    stop_line: int  # number, within the row `stop`, of the paragraph that reading goes on with
    text: str | None  # without surrounding white space; None for bad text that is left out; "" for a row without text


@dataclass(frozen=True)
class TextRules:
    """What becomes of text that cannot be read."""

    name: str  # what the text is called in messages
    on_bad_text: OnBadText  # "fail", "replace" or "skip"
    longest: int  # bytes of a paragraph, or of a line of JSON; a longer one is bad text

    def bad(self, problem: str) -> None:
        """Return if bad text is to be left out. Raises X2StaticError: it is not; with the problem."""
        if self.on_bad_text != "skip":
            raise X2StaticError(f"{self.name}: {problem}")

    def texts_of_row(self, value: str | bytes | None, where: str) -> list[str | None]:
        """Return the paragraphs of a row, which stand one a line; None for one that is bad text.

        Args:
            value: the row's text, or its bytes, which may not be valid UTF-8.
            where: the row, for messages.
        """
        if isinstance(value, bytes):
            try:
                value = value.decode(errors="replace" if self.on_bad_text == "replace" else "strict")
            except UnicodeDecodeError:
                self.bad(f"{where} is not valid UTF-8; {MEND}")
                return [None]
        texts: list[str | None] = []
        for part in (value or "").split("\n"):
            text = part.strip()
            if len(text) > self.longest or len(text.encode()) > self.longest:
                self.bad(
                    f"{where} holds a line of more than {self.longest} bytes; is it a paragraph? "
                    "(--max-paragraph-bytes allows more, --on-bad-text skip leaves it out)"
                )
                texts.append(None)
            elif text:
                texts.append(text)
        return texts


@dataclass(frozen=True)
class TextSource(TextRules):
    """One file, and how it is to be read."""

    path: Path  # the file
    column: str  # where the text of a row stands, in formats that have rows

    def lines(self, start: int) -> Iterator[ByteLine]:
        """Yield the file's lines from a byte on."""
        return byte_lines(self.path, start, self.longest, self.name)

    def text(self, line: ByteLine) -> str | None:
        """Return a line's text without surrounding white space; None for bad text that is left out.

        Raises X2StaticError: the line is no valid UTF-8, or too long, and is neither mended nor left out.
        """
        if not line.whole:
            self.bad(
                f"the line at byte {line.start} is longer than {self.longest} bytes; is it one paragraph, and --format "
                "the right one? (--max-paragraph-bytes allows more, --on-bad-text skip leaves it out)"
            )
            return None
        try:
            text = line.data.decode("utf-8", errors="replace" if self.on_bad_text == "replace" else "strict")
        except UnicodeDecodeError as error:
            self.bad(f"byte {line.start + error.start} is not valid UTF-8 ({error.reason}); {MEND}")
            return None
        return (text if line.start else text.removeprefix("\ufeff")).strip()  # files from Windows begin with that mark


def paragraphs_of_row(start: int, stop: int, texts: Sequence[str | None], first: int) -> Iterator[Paragraph]:
    """Yield the paragraphs of the row at `start`, which ends at `stop`, from its paragraph number `first` on."""
    for line, text in enumerate(texts[first:], first):
        if line + 1 < len(texts):
            yield Paragraph(start, line, start, line + 1, text)
        else:
            yield Paragraph(start, line, stop, 0, text)
