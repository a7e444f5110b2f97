"""Local files, of any format and number, read one after the other as one corpus."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file
from x2static.schemas.encoding import EncodeConfig, TextFormat
from x2static.schemas.manifest import Plan, Unit
from x2static.stage1_encode.corpora.corpus import UnitText
from x2static.stage1_encode.corpora.file_set import FileSet
from x2static.stage1_encode.corpora.formats import READERS, WITH_COLUMNS, format_of
from x2static.stage1_encode.corpora.sampling import Sample
from x2static.stage1_encode.corpora.text_source import Paragraph, TextSource

# A place in the corpus is its place in a file plus so much for each file before it: whoever knows the place finds file
# and byte at once, though the length of compressed text is known only to those who have read it.
FILE = 1 << 40


@dataclass
class LocalFiles:
    """Files whose units are ranges of them, found in one quick pass before anything is encoded; they may span files.

    Attributes:
        spec: the corpus as the user named it.
        config: for `unit`, `limit`, `sample`, `seed`, `on_bad_text` and `max_paragraph_bytes`.
        find: gives the files; called when they are first needed, since standard input is written to one then.
    """

    spec: str
    config: EncodeConfig
    find: Callable[[], FileSet]
    _format: TextFormat | None = field(default=None, init=False)
    _open: Iterator[Paragraph] | None = field(default=None, init=False)
    _place: tuple[int, int] = field(default=(0, 0), init=False)

    @cached_property
    def files(self) -> FileSet:
        """The files of this corpus."""
        return self.find()

    @cached_property
    def names(self) -> list[str]:
        """The names of the files, in order."""
        return list(self.files.paths)

    def seen(self) -> dict[str, Any]:
        """Return where the files are, when they changed and how they are to be read."""
        try:
            states = {name: path.stat() for name, path in self.files.paths.items()}
        except FileNotFoundError as error:
            raise X2StaticError(f"corpus {self.spec}: {error.filename} is gone, or a link to nowhere") from error
        return {
            "path": self.files.home,
            "format": self.files.format,
            "column": self.files.column,
            "files": {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()},
        }

    def identity(self) -> dict[str, Any]:
        """Return format, column and hashes of the files as they are stored.

        Raises:
            X2StaticError: the files are of several formats, or have no columns and one is named.
        """
        self.seen()  # a file that is gone is told of
        name = f"corpus {self.spec}"
        found = format_of(self.files.paths, name) if self.files.format == "auto" else self.files.format
        if self.files.column is not None and found not in WITH_COLUMNS:
            raise X2StaticError(
                f"{name}: text in the format {found!r} has no column {self.files.column!r}; leave out "
                f"#{self.files.column}, or name the --format ({', '.join(WITH_COLUMNS)})"
            )
        what: dict[str, Any] = {"format": found, "column": self._column if found in WITH_COLUMNS else None}
        hashes = {name: hash_file(path) for name, path in self.files.paths.items()}
        if not self.files.alone:
            return {"kind": "files", **what, "files": hashes}
        ((only, path),) = self.files.paths.items()
        return {"kind": "file", **what, "size": path.stat().st_size, "xxh3": hashes[only]}

    def plan(self, identity: dict[str, Any], first: int, after: Unit | None) -> Plan:
        """Cut what follows `after` into units; every byte is read once, and checked.

        Args:
            identity: of these files.
            first: paragraphs of this corpus that earlier plans hold.
            after: the last unit of the earlier plans.

        Raises:
            X2StaticError: bad text (with `on_bad_text` "fail"), a damaged file, no paragraph at all.
        """
        self._format = identity["format"]
        limit = None if self.config.limit is None else self.config.limit - first
        units: list[Unit] = []
        skipped, taken, ended = 0, 0, True
        start = stop = (after.stop or 0, after.stop_line) if after else (0, 0)
        begin, count = 0, 0
        for paragraph in self._paragraphs(*start):
            if paragraph.text is None:
                skipped += taken != limit  # what stands behind the limit is the next plan's
                continue
            if taken == limit:
                ended = False
                break
            begin = begin if count else paragraph.start
            stop, count, taken = (paragraph.stop, paragraph.stop_line), count + 1, taken + 1
            if count == self.config.unit:
                units.append(self._unit(start, stop, count, begin))
                start, count = stop, 0
        if count:
            units.append(self._unit(start, stop, count, begin))
        if not units and not first:
            what = "file holds" if self.files.alone else "files hold"
            sampled = " in the sample" if self.config.sample else ""
            raise X2StaticError(f"corpus {self.spec}: the {what} no paragraph{sampled}; nothing to encode")
        return Plan(
            corpus=self.spec,
            identity=identity,
            seen=self.seen(),
            licence=None,
            unit=self.config.unit,
            sample=self.config.sample,
            seed=self.config.seed,
            on_bad_text=self.config.on_bad_text,
            max_paragraph_bytes=self.config.max_paragraph_bytes,
            skipped=skipped,
            first=first,
            limit=limit,
            ended=ended,
            units=tuple(units),
        )

    def connect(self, plan: Plan) -> None:
        """Take over the format that was found when the plan was made."""
        self._format = plan.identity["format"]

    def read(self, unit: Unit) -> UnitText:
        """Return the paragraphs of a unit.

        Raises:
            X2StaticError: the files do not hold what the plan says, or are damaged.
        """
        stop = (unit.stop or 0, unit.stop_line)
        paragraphs = []
        for paragraph in self._paragraphs(unit.start, unit.start_line):
            if paragraph.text is not None:
                paragraphs.append(paragraph.text)
            if (paragraph.stop, paragraph.stop_line) >= stop:
                break
        if len(paragraphs) != unit.paragraphs or self._place != stop:
            raise X2StaticError(
                f"corpus {self.spec}: expected {unit.paragraphs} paragraphs in {self._range(unit)}, found "
                f"{len(paragraphs)}; the file has changed since it was planned"
            )
        return UnitText(paragraphs, unit, last=False)

    def close(self) -> None:
        """Close the file in hand."""
        self._open = None

    @property
    def _column(self) -> str:
        return self.files.column or "text"

    def _paragraphs(self, start: int, line: int) -> Iterator[Paragraph]:
        """Yield the paragraphs of the sample, and bad text, from a place on.

        Reading on where the last call ended costs nothing.
        """
        sample = Sample(self.config.sample, self.config.seed)
        if self._open is None or self._place != (start, line):
            self._open, self._place = self._read(start, line), (start, line)
        try:
            for paragraph in self._open:
                self._place = paragraph.stop, paragraph.stop_line
                if paragraph.text is None or sample.takes(paragraph.start, paragraph.line):
                    yield paragraph
        except (X2StaticError, OSError):
            self.close()
            raise

    def _read(self, start: int, line: int) -> Iterator[Paragraph]:
        """Yield all paragraphs from a place on; no file before it is opened."""
        if self._format is None:
            raise RuntimeError("plan or connect before reading")
        reader = READERS[self._format]
        first, offset = divmod(start, FILE)
        for number, name in enumerate(self.names[first:], first):
            before = number * FILE
            for found in reader(self._source(name), offset, line):  # the innermost loop of planning: see to its speed
                if found.stop >= FILE:
                    raise X2StaticError(f"corpus {self.spec}: {name} holds more than {FILE} bytes of text; split it")
                if before:
                    start, line, stop, stop_line, text = found
                    found = Paragraph(before + start, line, before + stop, stop_line, text)
                yield found
            offset = line = 0

    def _source(self, name: str) -> TextSource:
        return TextSource(
            path=self.files.paths[name],
            name=f"corpus {self.spec}" if self.files.alone else f"corpus {self.spec}, {name}",
            column=self._column,
            on_bad_text=self.config.on_bad_text,
            longest=self.config.max_paragraph_bytes,
        )

    def _unit(self, start: tuple[int, int], stop: tuple[int, int], count: int, begin: int) -> Unit:
        """Return a unit from where the one before ended, or from the file where its first paragraph begins.

        So reading it need not open the file before, which may have to be decompressed to its end.
        """
        number = begin // FILE
        if start[0] // FILE < number:
            start = number * FILE, 0
        return Unit(
            source=self.names[number],
            start=start[0],
            start_line=start[1],
            stop=stop[0],
            stop_line=stop[1],
            paragraphs=count,
        )

    def _range(self, unit: Unit) -> str:
        what = "rows" if self._format == "parquet" else "bytes"
        if self.files.alone:
            return f"{what} {unit.start} to {unit.stop}"
        (first, start), (last, stop) = divmod(unit.start, FILE), divmod(unit.stop or 0, FILE)
        return f"{what} {start} of {self.names[first]} to {stop} of {self.names[last]}"
