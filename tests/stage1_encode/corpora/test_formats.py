"""Formats of local files: what a paragraph is in each, which one a file is in, and what becomes of bad rows."""

import csv
import io
import json
import re
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stage1_encode.corpora.files import COMPRESSORS, corpus_at, corpus_of, plan_of, read, read_all
from x2static.durable.errors import X2StaticError

PARAGRAPHS = [f"Paragraph {number} of ten, ünïcode." for number in range(10)]


def wiki(paragraphs: list[str]) -> str:
    """Return articles of up to three paragraphs each."""
    bodies = ["\n\n".join(paragraphs[start : start + 3]) for start in range(0, len(paragraphs), 3)]
    head = '<doc id="{0}" url="https://x/?curid={0}" title="Title {0}">\nTitle {0}\n\n'
    return "".join(f"{head.format(number)}{body}\n\n</doc>\n" for number, body in enumerate(bodies))


def rows_of(paragraphs: list[str]) -> list[str | None]:
    """Return rows of one and of several paragraphs, and rows without any."""
    return [paragraphs[0], None, "\n" + "\n\n".join(paragraphs[1:5]) + "\n", "", *paragraphs[5:]]


def json_lines(paragraphs: list[str]) -> str:
    return "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(rows_of(paragraphs)))


def table(paragraphs: list[str], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([["id", "text"], *enumerate(row or "" for row in rows_of(paragraphs))])
    return text.getvalue()


def parquet(rows: list[Any], column: str = "text", **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(len(rows))), column: rows}), buffer, **({"row_group_size": 3} | options))
    return buffer.getvalue()


def data_in(form: str, paragraphs: list[str] = PARAGRAPHS) -> bytes:
    """Return paragraphs in a format."""
    if form == "parquet":
        return parquet(rows_of(paragraphs))
    makers = {
        "lines": "\n".join,
        "blank-lines": lambda texts: "\n\n \n".join(text.replace(" of ", "\nof ") for text in texts),
        "wikiextractor": wiki,
        "jsonl": json_lines,
        "csv": table,
        "tsv": partial(table, delimiter="\t"),
    }
    return makers[form](paragraphs).encode()


FORMATS = ["lines", "blank-lines", "wikiextractor", "jsonl", "csv", "tsv", "parquet"]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_paragraphs_in_units_of_any_size_and_after_any_limit(form, tmp_path):
    for unit in (1, 3, 100):
        corpus = corpus_of(tmp_path / "text", data_in(form), format=form, unit=unit)
        assert read_all(corpus) == PARAGRAPHS
        assert [len(texts) for texts in read(corpus, plan_of(corpus))][:-1] == [unit] * ((10 - 1) // unit)
    for limit in range(1, 10):
        before, after = (corpus_at(tmp_path / "text", format=form, unit=4, limit=most) for most in (limit, None))
        first = plan_of(before)
        second = plan_of(after, limit, first.units[-1])
        assert [text for unit in read(before, first) + read(after, second) for text in unit] == PARAGRAPHS


@pytest.mark.parametrize("ending", COMPRESSORS)
@pytest.mark.parametrize("form", FORMATS[:-1])
def test_every_text_format_may_be_compressed_in_several_members(form, ending, tmp_path):
    data, pack = data_in(form), COMPRESSORS[ending]
    packed = pack(data[:100]) + pack(data[100:])
    assert read_all(corpus_of(tmp_path / f"text{ending}", packed, format=form, unit=3)) == PARAGRAPHS
    nameless = corpus_of(tmp_path / "nameless", packed, format=form, unit=4)  # known by its first bytes
    assert read_all(nameless) == PARAGRAPHS


NAMES = ["text.txt lines", "text lines", "wiki_00 wikiextractor", "text.parquet parquet"]
NAMES += ["text.csv csv", "text.TSV tsv", "text.jsonl jsonl", "text.NDJSON jsonl", "text.json jsonl"]


@pytest.mark.parametrize(("name", "form"), [pair.split() for pair in NAMES])
def test_the_format_is_known_by_the_ending_and_else_by_the_first_line(name, form, tmp_path):
    data = data_in(form)
    for ending in ("",) if form == "parquet" else ("", *COMPRESSORS):
        corpus = corpus_of(tmp_path / (name + ending), COMPRESSORS[ending](data) if ending else data)
        assert plan_of(corpus).identity["format"] == form
        assert read_all(corpus) == PARAGRAPHS


def test_lines_of_a_paragraph_are_joined_by_spaces_and_lines_of_white_space_part_paragraphs(tmp_path):
    data = b"\xef\xbb\xbf\n\n one\r\n two \r\n\t\r\nthree\n\n\n\nfour\nfive"
    corpus = corpus_of(tmp_path / "text", data, format="blank-lines", unit=1)
    assert read_all(corpus) == ["one two", "three", "four five"]


def test_a_paragraph_of_lines_that_is_too_long_or_half_unreadable_is_bad_as_a_whole(tmp_path):
    data = b"one\ntwo\n\n" + b"12345678\n" * 4 + b"\nok\nbad \xff\nok\n\nlast\n"
    options = {"format": "blank-lines", "max_paragraph_bytes": 20}
    with pytest.raises(X2StaticError, match=r"the paragraph at byte 9 is longer than 20 bytes"):
        plan_of(corpus_of(tmp_path / "text", data, **options))
    corpus = corpus_of(tmp_path / "text", data, **options, on_bad_text="skip")
    plan = plan_of(corpus)
    assert (plan.skipped, read(corpus, plan)) == (2, [["one two", "last"]])


def test_only_the_title_above_an_article_is_left_out(tmp_path):
    data = (
        '<doc id="1" url="u" title="A &quot;B&quot; &amp; C">\nA "B" & C\n\nFirst.\nA "B" & C\n</doc>\n'
        '<doc id="2" url="u" title="Untitled">\n\nNo title here.\n\n</doc>\n'
        '<doc id="3" url="u" title="Empty">\nEmpty\n</doc>'
    )
    assert read_all(corpus_of(tmp_path / "wiki_00", data.encode(), unit=1)) == ["First.", 'A "B" & C', "No title here."]


def test_text_outside_of_articles_is_refused_or_left_out(tmp_path):
    data = wiki(PARAGRAPHS).encode() + b"Outside.\n"
    where = len(wiki(PARAGRAPHS).encode())
    with pytest.raises(X2StaticError, match=rf"wiki_00: the line at byte {where} stands outside <doc"):
        plan_of(corpus_of(tmp_path / "wiki_00", data))
    plan = plan_of(corpus_of(tmp_path / "wiki_00", data, on_bad_text="skip"))
    assert plan.skipped == 1


BAD_ROWS = {
    "{'text': 1}": r"line 3 is not valid JSON \(Expecting",
    '{"text": "cut': r"line 3 is not valid JSON \(Unterminated string",
    '{"title": "no text", "id": 4}': r"line 3 has no column 'text', only title, id \(name one with PATH#column\)",
    '{"text": ["a", "b"]}': r"line 3 holds list in column 'text', not text",
    '{"text": 5}': r"line 3 holds int in column 'text', not text",
    '"text"': r"line 3 holds str, not an object",
    '{"text": "half \\ud83d"}': r"line 3 holds half of a surrogate pair, which is no text",
    "[" * 100_000: r"line 3 is not valid JSON \(",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_of_json_fails_with_file_and_line_or_is_left_out_and_counted(row, tmp_path):
    data = f'{{"text": "one"}}\n\n{row}\n{{"text": "two"}}\n'.encode()
    with pytest.raises(X2StaticError, match=rf"bad\.jsonl: {BAD_ROWS[row]}"):
        plan_of(corpus_of(tmp_path / "bad.jsonl", data))
    corpus = corpus_of(tmp_path / "bad.jsonl", data, on_bad_text="skip", unit=1)
    plan = plan_of(corpus)
    assert (plan.skipped, read(corpus, plan)) == (1, [["one"], ["two"]])
    replacing = corpus_of(tmp_path / "bad.jsonl", data, on_bad_text="replace")
    if "ud83d" in row:
        assert read_all(replacing) == ["one", "half �", "two"]
    else:
        with pytest.raises(X2StaticError, match=BAD_ROWS[row]):
            plan_of(replacing)


@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv", "tsv"])
def test_the_column_is_named_behind_the_path(form, tmp_path):
    path, rows = tmp_path / f"text.{form}", ["one", "two"]
    lines = "".join(json.dumps({"body": row}) + "\n" for row in rows).encode()
    tables = "n\tbody\n1\tone\n2\ttwo\n".replace("\t", "," if form == "csv" else "\t").encode()
    path.write_bytes({"jsonl": lines, "parquet": parquet(rows, "body")}.get(form, tables))
    assert read_all(corpus_at(f"{path}#body")) == rows
    for spec, column in ((path, "text"), (f"{path}#other", "other")):
        with pytest.raises(X2StaticError, match=rf"no column '{column}'.*body"):
            plan_of(corpus_at(spec))


def test_a_column_of_text_without_columns_is_refused(tmp_path):
    (tmp_path / "text.txt").write_text("one\n")
    with pytest.raises(X2StaticError, match=r"#body: text in the format 'lines' has no column 'body'; leave out #body"):
        plan_of(corpus_at(f"{tmp_path}/text.txt#body"))


def test_text_that_is_no_utf_8_in_parquet_is_treated_as_asked(tmp_path):
    offsets = pa.array([0, 3, 7, 10], pa.int32()).buffers()[1]
    bad = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"onea\xffb.two"))
    path = tmp_path / "bad.parquet"
    for column in (bad, pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), bad, safe=False)):
        pq.write_table(pa.table({"text": column}), path)
        with pytest.raises(X2StaticError, match=r"bad\.parquet: row 1: its byte 1 is not valid UTF-8 .*; mend"):
            plan_of(corpus_at(path))
        corpus = corpus_at(path, on_bad_text="skip")
        plan = plan_of(corpus)
        assert (plan.skipped, read(corpus, plan)) == (1, [["one", "two"]])
        assert read_all(corpus_at(path, on_bad_text="replace")) == ["one", "a�b.", "two"]


def test_other_types_of_strings_are_text_and_all_else_is_not(tmp_path):
    rows = ["one", None, "two"]
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        assert read_all(corpus_of(tmp_path / "a.parquet", parquet(pa.array(rows).cast(kind)))) == ["one", "two"]
    for column in ([b"x"], [1], [["a"]], [{"a": "b"}]):
        with pytest.raises(X2StaticError, match=r"column 'text' holds .+, not text"):
            plan_of(corpus_of(tmp_path / "a.parquet", parquet(column)))


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_paragraph_of_a_row_that_is_too_long_is_bad_text(form, tmp_path):
    rows = ["one", "two\n" + "ü" * 30 + "\nthree", "four"]
    lines = "".join(json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in rows).encode()
    data, path = lines if form == "jsonl" else parquet(rows), tmp_path / f"long.{form}"
    with pytest.raises(X2StaticError, match=r"long\.\w+: .* longer than 50 bytes"):
        plan_of(corpus_of(path, data, max_paragraph_bytes=50))
    corpus = corpus_of(path, data, max_paragraph_bytes=50, on_bad_text="skip", unit=1)
    plan = plan_of(corpus)
    # A line of JSON is bounded as a whole: it must be in memory to be understood.
    kept = ["one", "four"] if form == "jsonl" else ["one", "two", "three", "four"]
    assert (plan.skipped, [text for unit in read(corpus, plan) for text in unit]) == (1, kept)


REFUSED = [
    ("all.json", b'[\n  {"text": "one"}\n]', r"the file is one JSON array, .* jq -c '\.\[\]'"),
    ("all.json", b' [{"text": "one"}]', "the file is one JSON array"),
    ("a.parquet", b"PAR1 nonsense", r"not a Parquet file, or damaged or cut short \([^\n]+\)$"),
    ("a.parquet", parquet(PARAGRAPHS)[:-30], "not a Parquet file, or damaged or cut short"),
    *((name, b"any", "is an archive of files; unpack it") for name in ("texts.tar.gz", "texts.zip", "texts.tgz")),
]


@pytest.mark.parametrize(("name", "data", "message"), REFUSED)
def test_a_file_that_no_format_reads_is_refused_in_one_line(name, data, message, tmp_path):
    with pytest.raises(X2StaticError, match=rf"{re.escape(name)}\b.*{message}"):
        plan_of(corpus_of(tmp_path / name, data, on_bad_text="skip"))


def test_entities_of_wikiextractor_are_undone_once_but_not_in_caches_that_began_without(tmp_path):
    text = "AT&amp;T &lt; 5% &quot;x&quot; &amp;amp; &copy"
    article = f'<doc id="1" url="u" title="AT&amp;T">\nAT&amp;T\n\n{text}\n\n</doc>\n'
    row = json.dumps({"id": "1", "revid": "2", "url": "https://w?curid=1", "title": "t", "text": text})
    for name, data in (("wiki_00", article), ("wiki_01", row)):
        corpus = corpus_of(tmp_path / name, data.encode())
        assert read_all(corpus) == ['AT&T < 5% "x" &amp; &copy']
        identity = corpus.identity()
        assert identity.pop("entities") == "undone"
        corpus.connect(identity)  # as an earlier version wrote it
        assert corpus.read(plan_of(corpus_at(tmp_path / name)).units[0]).paragraphs
        corpus.close()
        assert next(corpus._read(0, 0)).text == text
    assert read_all(corpus_of(tmp_path / "other.jsonl", json.dumps({"id": "1", "text": text}).encode())) == [text]


def test_parquet_columns_of_one_name_or_with_a_dot_are_refused_or_read(tmp_path):
    table = pa.table([pa.array(["one"]), pa.array(["two"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(X2StaticError, match=r"a\.parquet: more than one column 'text'; it has text, text"):
        plan_of(corpus_at(tmp_path / "a.parquet"))
    pq.write_table(pa.table({"a": [{"text": "inner"}] * 5, "a.text": list("12345")}), tmp_path / "dot.parquet")
    assert read_all(corpus_at(f"{tmp_path}/dot.parquet#a.text", unit=2)) == list("12345")
