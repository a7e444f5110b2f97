"""CSV and TSV: rows as Python and pandas write them, wherever reading begins, and what becomes of bad ones."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stage1_encode.corpora.files import corpus_at, corpus_of, plan_of, read, read_all
from x2static.durable.errors import X2StaticError

ENDS = st.sampled_from(["\n", "\r\n"])
CELLS = st.text(st.sampled_from("ab ,;\"\t\n|'é새"), max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(CELLS, min_size=1, max_size=12), st.sampled_from(",;|\t"), st.sampled_from(["\n", "\r\n"]), st.booleans()
)
def test_what_is_written_is_read_from_any_row_on(tmp_path_factory, cells, delimiter, end, quote_all):
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quote_all or delimiter == "\t" else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([["n", "text", "other"], *([n, cell, "x"] for n, cell in enumerate([*cells, "last"]))])
    expected = [line.strip() for cell in [*cells, "last"] for line in cell.split("\n") if line.strip()]
    path = tmp_path_factory.mktemp("table") / "a.csv"
    assert read_all(corpus_of(path, text.getvalue().encode(), unit=1, format="csv")) == expected


def test_quotes_of_a_tsv_are_text_unless_they_are_those_of_csv(tmp_path):
    plain = b'text\tn\n"Hello," he said\t1\n5" wide\t2\n"So\t3\n'
    assert read_all(corpus_of(tmp_path / "a.tsv", plain)) == ['"Hello," he said', '5" wide', '"So']
    quoted = b'text\tn\n"Hello, ""you"""\t1\n"a\tb\nc"\t2\n'
    assert read_all(corpus_of(tmp_path / "a.tsv", quoted)) == ['Hello, "you"', "a\tb", "c"]


BAD = {
    b"2,b,c\n": r"line 3 has 3 columns, the header 2; mend it",
    b"2\n": r"line 3 has 1 column, the header 2; mend it",
    b'2,"b" c\n': r"line 3 cannot be cut into columns \(',' expected after '\"'\); mend it",
    b'2,"b\n': r"line 3 cannot be cut into columns \(.*\); mend it",
    b"2,\xff\n": r"byte 15 is not valid UTF-8",
    b"2," + b"b" * 99 + b"\n": r"longer than 50 bytes",
}


@pytest.mark.parametrize("row", BAD)
def test_a_bad_row_is_refused_by_its_line_or_left_out_alone(row, tmp_path):
    data, options = b"n,text\n1,one\n" + row + b"3,three\n4,four\n", {"max_paragraph_bytes": 50, "format": "csv"}
    with pytest.raises(X2StaticError, match=rf"a\.csv: .*{BAD[row]}"):
        plan_of(corpus_of(tmp_path / "a.csv", data, **options))
    corpus = corpus_of(tmp_path / "a.csv", data, **options, on_bad_text="skip", unit=1)
    plan = plan_of(corpus)
    assert (plan.skipped, read(corpus, plan)) == (1, [["one"], ["three"], ["four"]])


def test_a_column_that_is_not_there_or_twice_is_refused_with_those_that_are(tmp_path):
    (tmp_path / "a.csv").write_text("id,body,body\n1,one,two\n")
    with pytest.raises(X2StaticError, match=r"no column 'text' in its header, only 'id', 'body', 'body' \(name"):
        plan_of(corpus_at(tmp_path / "a.csv"))
    with pytest.raises(X2StaticError, match=r"more than one column 'body' in its header"):
        plan_of(corpus_at(f"{tmp_path}/a.csv#body"))
