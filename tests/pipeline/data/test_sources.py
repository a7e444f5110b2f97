"""The table is of public files at pinned commits; their forms become those that the evaluation reads."""

import re
from pathlib import Path

import pytest

from x2static.durable.errors import X2StaticError
from x2static.pipeline.data.convert import FORMS
from x2static.pipeline.data.sources import SETS

PINNED = re.compile(r"https://raw\.githubusercontent\.com/([^/]+)/([^/]+)/([0-9a-f]{40})/([\w./-]+)")
FILES = [file for data_set in SETS.values() for file in data_set.files]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
def test_every_source_is_a_file_at_a_commit_with_a_sha256_and_a_place_of_its_own(file):
    assert PINNED.fullmatch(file.url)
    assert re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert 0 < file.n_bytes < 2_000_000
    assert re.fullmatch(r"[a-z-]+(/[A-Z0-9-]+)?/[A-Za-z0-9-]+\.(tsv|txt|json)", file.path)
    assert file.form in FORMS


def test_no_two_files_are_one_and_every_set_says_its_licence_and_has_a_folder_to_itself():
    for name in ("url", "sha256", "path"):
        assert len({getattr(file, name) for file in FILES}) == len(FILES)
    assert all(data_set.licence and data_set.about for data_set in SETS.values())
    homes = {name: {Path(file.path).parent for file in data_set.files} for name, data_set in SETS.items()}
    for name, data_set in SETS.items():
        if len(data_set.files) > 1:
            (home,) = homes[name]
            assert not any(home in homes[other] for other in SETS if other != name)


@pytest.mark.parametrize(
    ("form", "raw", "converted"),
    [
        # Windows' line ends, marks and blanks go.
        ("word_pairs", "\ufeffsea\tocean \t9.5\r\n\r\ncat\tnaïve\t1", "sea\tocean\t9.5\ncat\tnaïve\t1\n"),
        # Label and text part at the first space; an empty text keeps its line.
        ("labelled_utf8", "0 it 's 1 of  those . \n4\tcrème\n", "0\tit 's 1 of those .\n4\tcrème\n"),
        ("labelled_utf8", "0 \n1 good\n", "0\t\n1\tgood\n"),
        # Latin-1 becomes UTF-8, and only newlines end lines.
        ("labelled_latin1", b"1 souffl\xe9 \x85 \x97 good\x85bad\n0 x\n", "1\tsoufflé \x97 good bad\n0\tx\n"),
        ("questions", ": capitals\r\nAthens Greece Oslo Norway\r\n", ": capitals\nAthens Greece Oslo Norway\n"),
        # Sentences with commas, quotes and tabs are kept apart.
        ("sentence_pairs", 'Go.,"Say ""no"", man.",5.0\r\n', 'Go.\tSay "no", man.\t5.0\n'),
        ("sentence_pairs", '"a\tb","c\nd",0.25\r\n', "a b\tc d\t0.25\n"),
        ("named_lists", '{"flowers": ["rose"]}', '{"flowers": ["rose"]}'),
    ],
)
def test_published_forms_become_those_that_the_evaluation_reads(form, raw, converted):
    raw = raw if isinstance(raw, bytes) else raw.encode()
    assert FORMS[form](raw) == converted.encode()


@pytest.mark.parametrize(
    ("form", "raw"),
    [
        ("word_pairs", b"sea\t\t3\n"),
        ("labelled_utf8", b"good film\n"),
        ("questions", b"Athens Greece Oslo\n"),
        ("sentence_pairs", b"one,two\n"),
        ("word_pairs", b"\n"),
        ("named_lists", b"<html>"),
        ("named_lists", b'{"flowers": []}'),
    ],
)
def test_other_forms_are_refused(form, raw):
    with pytest.raises(X2StaticError, match=r"expected|nothing in it"):
        FORMS[form](raw)
