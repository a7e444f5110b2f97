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
    """A paragraph and where it stands.

    Attributes:
        start: where it begins, or its row begins: a byte of the decompressed file; in Parquet, the number of a row.
        line: its number within the row.
        stop: place of the byte or row where reading goes on behind it.
        stop_line: number, within the row `stop`, of the paragraph that reading goes on with.
        text: without surrounding white space; None for bad text that is to be left out.
    """

    start: int
    line: int
    stop: int
    stop_line: int
    text: str | None


@dataclass(frozen=True)
class TextSource:
    """One file, and how it is to be read.

    Attributes:
        path: the file.
        name: what it is called in messages.
        column: where the text of a row stands, in formats that have rows.
        on_bad_text: "fail", "replace" or "skip".
        longest: bytes of a paragraph, or of a line of JSON; a longer one is bad text.
    """

    path: Path
    name: str
    column: str
    on_bad_text: OnBadText
    longest: int

    def lines(self, start: int) -> Iterator[ByteLine]:
        """Yield the file's lines from a byte on."""
        return byte_lines(self.path, start, self.longest, self.name)

    def bad(self, problem: str) -> None:
        """Return if bad text is to be left out.

        Raises:
            X2StaticError: it is not; with the problem.
        """
        if self.on_bad_text != "skip":
            raise X2StaticError(f"{self.name}: {problem}")

    def text(self, line: ByteLine) -> str | None:
        """Return a line's text without surrounding white space; None for bad text that is to be left out.

        Raises:
            X2StaticError: the line is no valid UTF-8, or too long, and is not to be replaced or left out.
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

    def texts_of_row(self, value: str, where: str) -> list[str | None]:
        """Return the paragraphs of a row, which stand one a line; None for one that is too long.

        Args:
            value: the row's text.
            where: the row, for messages.
        """
        texts: list[str | None] = []
        for part in value.split("\n"):
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


def paragraphs_of_row(start: int, stop: int, texts: Sequence[str | None], first: int) -> Iterator[Paragraph]:
    """Yield the paragraphs of a row from number `first` on.

    Args:
        start: where the row begins.
        stop: where the next one does.
        texts: its paragraphs.
        first: number of the first one that is wanted.
    """
    for line, text in enumerate(texts[first:], first):
        if line + 1 < len(texts):
            yield Paragraph(start, line, start, line + 1, text)
        else:
            yield Paragraph(start, line, stop, 0, text)
