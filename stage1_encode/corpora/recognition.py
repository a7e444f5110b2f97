"""Which format files are in, told by their names and their beginnings together.

What looks like another format than its name says, or like one that nothing reads, is refused with the sample that was
seen and the option that settles it; with a --format nothing here is asked.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path, PurePath
from typing import NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import TextFormat
from x2static.stage1_encode.corpora.compression import BEGINNINGS, OPENERS, read_head
from x2static.stage1_encode.corpora.json_lines import LINES_READ
from x2static.stage1_encode.corpora.tables import DELIMITERS, delimiter_of, rows_of

ENDINGS: dict[str, TextFormat] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
ENDINGS |= {".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
PLAIN = (".txt", ".text")  # endings that say that there is no format
ARCHIVES = (".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip", ".7z", ".rar")
UNREAD = (".z", ".lz", ".lz4", ".lzo", ".br", ".sz")  # compressed in ways that nothing here reads
HEAD_BYTES = 1 << 15
SAMPLE_CHARACTERS = 70

# What files of other kinds begin with; offsets are of the tar header, and of the name of an e-book.
ARCHIVE, NO_TEXT = "an archive of files; unpack it and name the folder", "no text; leave it out"
DOCUMENT = "a document, not text; convert it to text"
BINARIES = {
    rb"(?:\xef\xbb\xbf)?\s*%PDF-": f"a PDF, {DOCUMENT} (pdftotext)",
    rb"\{\\rtf": f"RTF, {DOCUMENT} (pandoc -t plain)",
    rb"PK\x03\x04.{26}mimetypeapplication/epub": f"an e-book, {DOCUMENT} (pandoc -t plain)",
    rb"PK\x03\x04.{26}(?:mimetype|\[Content_Types\]|_rels/|word/|xl/)": f"of Office, {DOCUMENT} (pandoc -t plain)",
    rb"PK\x03\x04|PK\x05\x06|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|.{257}ustar": ARCHIVE,
    rb"\xd0\xcf\x11\xe0": f"of an old Office, {DOCUMENT}",
    rb"%!PS": f"PostScript, {DOCUMENT} (ps2ascii)",
    rb".{60}(?:BOOKMOBI|TEXtREAd)|AT&TFORM": f"an e-book or scan, {DOCUMENT}",
    rb"SQLite format 3\0": "a database of SQLite; write its text to a file of JSON lines",
    rb"ARROW1\0|\xff{4}|ORC[\0-\x08\x80-\xff]|Obj\x01": "of Arrow, ORC or Avro; write it as Parquet",
    rb"\x93NUMPY|\x89HDF|\x80[\x02-\x05]": f"of numpy, HDF5 or pickle, {NO_TEXT}",
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF.{4}(?:WAVE|AVI |WEBP)": f"a picture, sound or film, {NO_TEXT}",
    rb"ID3[\x02-\x04]|OggS\0|\0..{2}ftyp|\x1aE\xdf\xa3|\x7fELF|MZ\x90\0": f"a sound, film or program, {NO_TEXT}",
}
UTF_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
SHIFTS = re.compile(rb"\x1b[$(][@BJD]")  # of ISO-2022, which is of seven bits, and so valid UTF-8
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
OTHER_LINE_ENDS = re.compile("\r(?!\r*\n)|[\0\v\f\x1c-\x1e\x85\u2028\u2029]")
DOC = "<doc id="  # before each article of WikiExtractor
JSON_VALUE = re.compile(r'\{\s*"(?:[^"\\\n]|\\.)*"\s*:|\[\s*(?:\{\s*"|\[\s*["\[{]|"(?:[^"\\]|\\.)*"\s*,\s*")')
PYTHON_VALUE = re.compile(r"\[?\s*\{\s*'\w+'\s*:")
XML_HEAD = re.compile(r"<(?:\?xml|!doctype|mediawiki|html|rss|feed|tei|text|page|doc|tmx|xliff)\b", re.IGNORECASE)
XML_TAG = re.compile(r"(?!<(?:unk|num|pad|user|url)>)</?[a-z][\w:.-]*(?:\s[^<>]*)?/?>", re.IGNORECASE)
CSV_NAMES = set(
    "text texts body content contents sentence sentences paragraph paragraphs document article title headline label "
    "labels index id name url link date time author review comment message category class score rating word "
    "word1 word2 lang language summary description abstract question answer source target".split()
)
NUMBER = re.compile(r"\s*[-+]?\d+(?:[.,]\d+)?(?:e[-+]?\d+)?\s*")
WRAPPED_PAIRS, WRAPPED_SHARE, NARROWEST_WRAP, WIDEST_WRAP = 15, 0.85, 30, 120
ENDS = tuple(".!?;:,…\"'”»。！？」")


class Look(NamedTuple):
    """What a text looks like."""

    what: str
    format: TextFormat | None  # that reads it; None: no format does
    remedy: str = ""  # what else than --format can be done


def format_of(paths: dict[str, Path], name: str) -> TextFormat:
    """Return the one format of all files; `name` is theirs together, in errors.

    Raises X2StaticError: they are of several formats, or of one that is not read, or it is not clear which.
    """
    files: dict[TextFormat, list[str]] = {}
    for file, path in paths.items():
        if recognised := _recognise(path, name if file == "-" else f"{name}: {file}", len(paths) > 1):
            files.setdefault(recognised, []).append(file)
    if len(files) > 1:
        listed = ", ".join(f"{guess} ({of_it[0]})" for guess, of_it in files.items())
        remedy = "name those of one format by a pattern such as 'FOLDER/**/*.jsonl', or read all alike with --format"
        raise X2StaticError(f"{name}: the files are of several formats: {listed}; {remedy}")
    if not files:
        return "lines"
    ((text_format, of_it),) = files.items()
    plain = [file for file in of_it if _ending(paths[file]) in PLAIN] if text_format != "lines" else []
    if plain:
        more = f" and {len(plain) - 1} more" if plain[1:] else ""
        what = f"{plain[0]}{more}, by name plain text, is read as {text_format}, which it looks like"
        logging.getLogger(__name__).warning("%s: %s; %s", name, what, LINES_READ)
    return text_format


def of_wikiextractor(paths: dict[str, Path]) -> bool:
    """Return whether JSON lines are what WikiExtractor writes with --json, by the first row."""
    path = next((path for path in paths.values() if path.stat().st_size), None)
    row = (
        re.match(rb'\s*\{"id": "\d+", "revid": "\d*", "url": "[^"]*\bcurid=', read_head(path, 1000, ""))
        if path
        else None
    )
    return bool(row)


def _ending(path: Path) -> str:
    bare = path.name.lower()
    for compressed in OPENERS:
        bare = bare.removesuffix(compressed)
    return PurePath(bare).suffix


def _recognise(path: Path, name: str, among_others: bool) -> TextFormat | None:
    """Return a file's format; None where nothing tells it, because there is no line with text."""
    ending = _ending(path)
    aside = ", or name the files of text by a pattern such as 'FOLDER/**/*.txt'" if among_others else ""
    if ending in ARCHIVES:
        raise X2StaticError(f"{name} is {ARCHIVE}{aside}")
    if ending in UNREAD:
        raise X2StaticError(f"{name} is compressed in a way that is not read; unpack it{aside}")
    head = _unpacked_head(path, name)
    parquet = head.startswith(b"PAR1")
    if not parquet and (problem := _no_text(head)):
        raise X2StaticError(f"{name} is {problem}{aside}")
    text = head.decode(errors="ignore").removeprefix("\ufeff")
    by_name = ENDINGS.get(ending)
    if parquet:
        look: Look | None = Look("Parquet", "parquet")
    elif not text.strip():
        return by_name
    else:
        whole = len(head) < HEAD_BYTES
        look = next((look for looks_like in LOOKS if (look := looks_like(text, whole))), None)
    if look is None or (by_name and look.format == "blank-lines"):  # cells may be of several lines
        return by_name or "lines"
    if look.format and (
        look.format == by_name or (not by_name and look.format in ("jsonl", "wikiextractor", "parquet"))
    ):
        return look.format
    if by_name == "csv" and look.format == "tsv":
        return "tsv"
    ways = [f"--format {look.format} reads it so"] if look.format else []
    ways += [f"--format {by_name} goes by the name" if by_name else LINES_READ]
    ways = [look.remedy, *ways] if look.remedy else ways
    says = f", though its name says {by_name}" if by_name else ""
    sample = text.lstrip()[:SAMPLE_CHARACTERS]
    raise X2StaticError(f"{name} looks like {look.what}{says}: {sample!r}; {'; '.join(ways)}")


def _unpacked_head(path: Path, name: str) -> bytes:
    """Return how a file begins, decompressed, once. Raises X2StaticError: it is packed otherwise than its name says."""
    with path.open("rb") as file:
        packed = file.read(16)
    if packed and path.suffix.lower() in OPENERS and not BEGINNINGS.match(packed):
        why = f"is no {path.suffix} file, as its name says, but begins with {packed!r}"
        raise X2StaticError(f"{name}: the compressed file is damaged, or {why}; rename it or get it again")
    head = read_head(path, HEAD_BYTES, name)
    if BEGINNINGS.match(packed) and BEGINNINGS.match(head):
        raise X2StaticError(f"{name} is compressed twice; unpack it once")
    return head


def _no_text(head: bytes) -> str:
    """Return what bytes are that are no text in UTF-8, and what to do about them."""
    for begin, what in BINARIES.items():
        if re.match(begin, head, re.DOTALL):
            return what
    codec = next((codec for mark, codec in UTF_MARKS.items() if head.startswith(mark)), "")
    if not codec and SHIFTS.search(head):
        codec = "ISO-2022-JP"
    if not codec and head.count(0):
        by_place = [head[place::4].count(0) * 4 / len(head) for place in range(4)]
        if sum(share > 0.5 for share in by_place) == 3:
            codec = "UTF-32LE" if by_place[0] < 0.5 else "UTF-32BE"
        elif min(by_place[0], by_place[2]) > 0.1 + max(by_place[1], by_place[3]):
            codec = "UTF-16BE"
        elif min(by_place[1], by_place[3]) > 0.1 + max(by_place[0], by_place[2]):
            codec = "UTF-16LE"
    if codec:
        return f"text in {codec}, not in UTF-8: {head[:20]!r}; convert it: iconv -f {codec} -t UTF-8 FILE"
    if len(controls := [match.start() for match in CONTROLS.finditer(head)]) * 50 > max(len(head), 100):
        what = "NUL bytes" if 0 in head else "control characters"
        place = max(0, controls[0] - 10)
        remedy = (
            "--format lines with --on-bad-text skip or replace reads it all the same; leave it out if it is no text"
        )
        return f"binary, or text in UTF-16: it holds {what}: {head[place : place + 20]!r}; {remedy}"
    return ""


def _other_line_ends(text: str, whole: bool) -> Look | None:
    text = text.strip()
    ends = Counter(OTHER_LINE_ENDS.findall(text)).most_common(1)
    if not ends or ends[0][1] <= text.count("\n") + (ends[0][0] != "\r"):
        return None
    end = ends[0][0]
    shell = {"\r": r"\r", "\0": r"\0"}.get(end)
    remedy = rf"rewrite them, for example with: tr '{shell}' '\n' < FILE > NEW" if shell else ""
    return Look(f"text whose lines end in {end!r} alone", None, remedy)


def _wikiextractor(text: str, whole: bool) -> Look | None:
    return Look("WikiExtractor's articles", "wikiextractor") if text.lstrip().startswith(DOC) else None


def _json(text: str, whole: bool) -> Look | None:
    lines = [line for line in text.split("\n") if line.strip()]
    lines = lines[:20] if whole or len(lines) > 20 else lines[:-1]
    n_rows = sum(map(_is_row, lines))
    if n_rows and 2 * n_rows >= len(lines):
        return Look("JSON lines", "jsonl")
    text = text.lstrip()
    if PYTHON_VALUE.match(text):
        return Look("what Python prints of its objects", None, "write it as JSON lines, with json.dumps")
    if not JSON_VALUE.match(text):
        return None
    return Look(
        "JSON", "jsonl"
    )  # of a line longer than what is looked at; or of several lines, which its reader refuses


def _is_row(line: str) -> bool:
    if not line.lstrip().startswith(("{", '["', "[{")):
        return False
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _markup(text: str, whole: bool) -> Look | None:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    n_tagged = sum(bool(XML_TAG.match(line)) for line in lines)
    if not (
        XML_HEAD.match(text.lstrip()) or (lines[0].startswith("<") and 2 * n_tagged >= len(lines) and n_tagged > 1)
    ):
        return None
    if "<mediawiki" in text[:1000].lower():
        return Look("a dump of MediaWiki", None, "take its text out first, with WikiExtractor")
    return Look("XML or HTML", None, "take its text out first")


def _table(text: str, whole: bool) -> Look | None:
    delimiter = delimiter_of(text, "\t" + DELIMITERS)
    rows = rows_of(text, delimiter, whole)
    if len(rows) < 1 + whole:
        return None
    header, body = [name.strip() for name in rows[0]], rows[1:100]
    n_columns, n_known = len(header), sum(name.strip().casefold() in CSV_NAMES for name in rows[0])
    if n_columns == 1:
        quoted = sum(line.startswith('"') for line in text.split("\n")[1:]) * 2 >= len(body)
        return Look("CSV of one column", "csv") if n_known and quoted else None
    if n_known < n_columns:
        columns = list(zip(*(row for row in body if len(row) == n_columns), strict=True))
        named = n_known and (n_columns > 2 or 2 * n_known >= n_columns) and not any(name[:1] == " " for name in rows[0])
        numeric = len(body) > 2 and any(
            all(map(NUMBER.fullmatch, column)) and not NUMBER.fullmatch(name)
            for name, column in zip(header, columns, strict=False)
        )
        unlike_names = any(not name or len(name) > 40 or name.endswith((".", "!", "?")) for name in header[1:])
        n_like_it = sum(len(row) == n_columns for row in body)
        if not (named or numeric) or unlike_names or len(set(header)) < n_columns or n_like_it < 0.9 * len(body):
            return None
    kind: TextFormat = "tsv" if delimiter == "\t" else "csv"
    return Look(f"{kind.upper()} with the header {', '.join(header)}", kind, "name a column with PATH#column")


def _wrapped(text: str, whole: bool) -> Look | None:
    lines = [line.rstrip() for line in text.split("\n")]
    if not (width := wrapped_at(lines)):
        return None
    parted = "" in lines[:-1]
    remedy = "" if parted else "bring each paragraph into one line, or put blank lines between paragraphs"
    return Look(f"text wrapped at {width} characters", "blank-lines" if parted else None, remedy)


def wrapped_at(lines: list[str], fewest: int = WRAPPED_PAIRS, share: float = WRAPPED_SHARE) -> int:
    """Return the width that lines were filled up to, or 0: there the first word of the next one would not have fitted.

    At least `fewest` lines that another one follows are needed, and this share of them full.
    """
    lengths = sorted(len(line) for line in lines if line)
    width = lengths[int(0.95 * (len(lengths) - 1))] if lengths else 0
    # An indented line begins a paragraph.
    pairs = [(line, after) for line, after in pairwise(lines) if line and after[:1].strip()]
    # Lines of poems, lists and dialogues end where their sentences do.
    n_ended = sum(line.endswith(ENDS) for line, _ in pairs)
    if len(pairs) < fewest or 2 * n_ended > len(pairs) or not NARROWEST_WRAP <= width <= WIDEST_WRAP:
        return 0
    n_full = sum(
        len(line) + (1 + len(after.split(None, 1)[0][:20]) if " " in line else 2) > width for line, after in pairs
    )
    return width if n_full >= share * len(pairs) else 0


LOOKS: tuple[Callable[[str, bool], Look | None], ...] = (
    _other_line_ends,
    _wikiextractor,
    _json,
    _markup,
    _table,
    _wrapped,
)
