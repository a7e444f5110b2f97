"""What a file is, is known: every format under every name is read rightly, or refused with the way out."""

import gzip
import json
import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stage1_encode.corpora.files import COMPRESSORS, corpus_at, corpus_of, plan_of, read_all
from tests.stage1_encode.corpora.test_formats import data_in, table
from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.corpora.recognition import LOOKS, format_of
from x2static.stage1_encode.corpora.sources import FileSet, LocalFiles

TEXTS = [
    f'The {number} ships went out at dawn, "all of them", she said; some came back, others (too many) did not & never '
    f"would. It was {1900 + number}, and the year had hardly begun: rain fell on roofs, on fields, and on the {word}."
    for number, word in enumerate("harbour market old bridge mill quay school tower garden station".split())
]
NAMES = ["text", "text.txt", "text.jsonl", "text.json", "text.csv", "text.tsv", "text.parquet", "text.md", "wiki_00"]


# What is in a file, and the format that reads it; None: none does.
CONTENTS: dict[str, tuple[bytes, str | None]] = {
    **{form: (data_in(form, TEXTS), form) for form in ("lines", "wikiextractor", "jsonl", "parquet", "csv", "tsv")},
    "book": ("\n\n".join(textwrap.fill(text, 72) for text in TEXTS).encode(), "blank-lines"),
    "book of Windows": ("\n\n".join(textwrap.fill(text, 60) for text in TEXTS).replace("\n", "\r\n").encode(), None),
    "JSON array": (json.dumps([{"text": text} for text in TEXTS], indent=1).encode(), None),
    "JSON array in one line": (json.dumps(TEXTS).encode(), None),
    "JSON object": (json.dumps({"title": "all", "texts": TEXTS}, indent=1).encode(), None),
    "XML": (("<?xml version='1.0'?>\n<all>" + "".join(f"<p>{text}</p>\n" for text in TEXTS) + "</all>").encode(), None),
    "dump": (b'<mediawiki xml:lang="en">\n  <page>\n    <title>One</title>\n' + b"    <text>one</text>\n" * 9, None),
    "HTML": (("<!DOCTYPE html>\n<html><body>" + "".join(f"<p>{text}</p>\n" for text in TEXTS)).encode(), None),
    "fragment": ("".join(f"<p>{text}</p>\n" for text in TEXTS).encode(), None),
    "Python": ("".join(f"{ ({'text': text}) }\n" for text in TEXTS).encode(), None),
    "CR": ("\r".join(TEXTS).encode(), None),
    "U+2028": ("\u2028".join(TEXTS).encode(), None),
    **{
        codec: ("\n".join(TEXTS).encode(codec), None)
        for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
    },
    "ISO-2022": ("日本語の文章です。\n".encode("iso-2022-jp"), None),
    "NUL": ("\0".join(TEXTS).encode(), None),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", None),
    "Word": (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", None),
    "old Word": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), None),
    "RTF": (rb"{\rtf1\ansi Some text.}", None),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), None),
    "database": (b"SQLite format 3\0" + bytes(99), None),
    "tar": (b"a.txt".ljust(257, b"\0") + b"ustar" + bytes(500), None),
    "gz in gz": (gzip.compress(gzip.compress(b"One line.\n")), None),
    "CSV with an index": (data_in("csv", TEXTS).replace(b"id,text", b",text"), "csv"),
    "European CSV": (table(TEXTS, ";").encode(), "csv"),
}
WAYS_OUT = (
    "--format|#column|iconv|pdftotext|pandoc|leave it|unpack it|rename it|not a Parquet file|write its text|convert"
)


def opened(way: str, folder: Path, name: str, data: bytes) -> LocalFiles:
    """Return a corpus of a file that is named, the only one of a folder, or comes nameless from a pipe."""
    if way == "pipe":
        (folder / "stdin").write_bytes(data)
        files = FileSet({"-": folder / "stdin"}, "-", "auto", alone=True)
        return LocalFiles("-", EncodeConfig(model="any", corpus=("-",), cache=folder), lambda: files)
    (folder / "in").mkdir()
    (folder / "in" / name).write_bytes(data)
    return corpus_at(folder / "in" / name if way == "file" else folder / "in")


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_under_any_name_is_read_rightly_or_refused_with_the_way_out(content, tmp_path, caplog):
    data, reads = CONTENTS[content]
    n_read = 0
    for number, name in enumerate(NAMES):
        for ending in ("", *COMPRESSORS) if number < 2 else ("",):
            for way in ("file", "folder", "pipe") if number < 2 else ("folder",):
                folder = tmp_path / f"{name}{ending}{way}"
                folder.mkdir()
                corpus = opened(way, folder, name + ending, COMPRESSORS[ending](data) if ending else data)
                try:
                    texts = read_all(corpus)
                except X2StaticError as error:
                    assert re.search(WAYS_OUT, str(error)), f"{name}{ending} by {way}: {error}"
                    assert "\n" not in str(error)
                    continue
                assert texts == TEXTS, f"{name}{ending} by {way}"
                n_read += 1
    assert (n_read > 0) == (reads not in (None, "blank-lines"))


@pytest.mark.parametrize("content", [name for name, (_, reads) in CONTENTS.items() if reads])
def test_the_format_that_is_asked_for_always_wins(content, tmp_path):
    data, reads = CONTENTS[content]
    for name in ("text", "text.json", "text.csv", "text.txt"):
        assert read_all(corpus_of(tmp_path / name, data, format=reads)) == TEXTS
        if content not in ("parquet", "lines"):
            assert read_all(corpus_of(tmp_path / name, data, format="lines"))[:1] != TEXTS[:1]


LIKE_MARKUP = ["{1} In the beginning", "[Illustration: cover]", "<3 she wrote", "<unk> is no word", '"Yes," he said.']
LIKE_MARKUP += ["[1, 2] showed that", "one\ttwo", "a, b, c", "{", "<", "[", "\t", '"']
LIKE_MARKUP += ["Chapter 1, the First", "name", "text"]
LIKE_MARKUP += ['["Yes", he said.]', "<b>Bold</b> words.", "&amp;", "a = {b}", "Roses are red,", ""]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(LIKE_MARKUP), min_size=3, max_size=40))
def test_prose_with_some_lines_that_look_like_markup_is_prose(lines):
    prose = [line for text in lines for line in (TEXTS[len(text) % 10], text)]
    assert [look.what for looks_like in LOOKS if (look := looks_like("\n".join(prose), True))] == []


POEM = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date;
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance or nature's changing course untrimm'd;
But thy eternal summer shall not fade,
Nor lose possession of that fair thou ow'st;
"""
PROSE = {
    "poem": POEM * 3,
    "dialogue": '"Hello," she said.\n"How are you?" he asked.\n"Fine."\n' * 9,
    "tabs": "Chapter one\tIt was night.\nChapter two\tIt was day.\n" * 9,
    "commas": "One, two\nThree, four\nDate, time and place\nMonday, at nine\n" * 5,
    "date": "Date, time and place\nMonday, nine and here\nTuesday, ten and there\n",
    "Korean": "새벽에 배들이 떠났다, 모두가.\n돌아온 배는 많지 않았다.\n" * 20,
    "Chinese": "船在黎明时分出发了，全部都走了。\n回来的船不多。\n" * 20,
}


@pytest.mark.parametrize("kind", PROSE)
def test_prose_is_prose(kind, tmp_path, caplog):
    (tmp_path / "text.txt").write_text(PROSE[kind])
    assert format_of({"text.txt": tmp_path / "text.txt"}, "corpus") == "lines"
    assert not caplog.records


def test_the_sample_and_the_options_are_in_the_line(tmp_path):
    sample = re.escape(repr("id,text\n1,a\n2,b\n"))
    ways = r"name a column with PATH#column; --format csv reads it so; --format lines takes each line"
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("id,text\n1,a\n2,b\n")
    with pytest.raises(X2StaticError, match=rf"texts: a\.txt looks like CSV with .* id, text: {sample}; {ways}"):
        plan_of(corpus_at(tmp_path / "texts"))
