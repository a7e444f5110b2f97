"""Text files as a corpus: what a paragraph is, where units end, and what becomes of damaged files."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.stage1_encode.corpora.files import COMPRESSORS, corpus_at, corpus_of, plan_of, read, read_all
from tests.stage1_encode.runs import assert_same_rows, files_of, paragraphs, run, texts_of, write_lines
from x2static.durable.errors import X2StaticError

TEN = "".join(f"Paragraph {number}.\n" for number in range(10)).encode()


def test_a_unit_is_the_byte_range_of_so_many_paragraphs(tmp_path: Path) -> None:
    data = b"one\n\n  \ntwo\r\nthree\n\nfour\nfive"
    corpus = corpus_of(tmp_path / "text.txt", data, unit=2)
    plan = plan_of(corpus)
    assert [(unit.start, unit.stop, unit.paragraphs) for unit in plan.units or ()] == [
        (0, 13, 2),
        (13, 25, 2),
        (25, 29, 1),
    ]
    assert [data[unit.start : unit.stop].split() for unit in plan.units or ()] == [
        [b"one", b"two"],
        [b"three", b"four"],
        [b"five"],
    ]
    assert read(corpus, plan) == [["one", "two"], ["three", "four"], ["five"]]
    assert (plan.ended, plan.skipped, plan.limit) == (True, 0, None)


def test_line_ends_of_both_kinds_and_space_around_a_line_are_not_text(tmp_path: Path) -> None:
    assert read_all(corpus_of(tmp_path / "text", b"\t one two \r\n\r\nthree\n \n", unit=1)) == ["one two", "three"]


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    assert read_all(corpus_of(tmp_path / "text", b"\xef\xbb\xbfone\ntwo\n")) == ["one", "two"]


def test_only_line_feeds_end_a_paragraph(tmp_path: Path) -> None:
    line = "one\u2028two\u2029three\x0bfour\x0cfive\x85six\x1cseven\rnine\x00ten"
    assert read_all(corpus_of(tmp_path / "text", f"{line}\n{line}\n".encode(), unit=1)) == [line, line]


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_a_compressed_file_gives_what_the_plain_one_gives(ending: str, tmp_path: Path) -> None:
    plain = corpus_of(tmp_path / "text.txt", TEN, unit=3)
    packed = corpus_of(tmp_path / f"text{ending}", COMPRESSORS[ending](TEN), unit=3)
    expected, found = plan_of(plain), plan_of(packed)
    assert read(packed, found) == read(plain, expected)
    positions = [[(unit.start, unit.stop) for unit in plan.units or ()] for plan in (expected, found)]
    assert positions[0] == positions[1]
    assert (
        read_all(corpus_of(tmp_path / f"again{ending}", COMPRESSORS[ending](TEN), unit=3)) == TEN.decode().splitlines()
    )


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_a_file_of_several_compressed_members_is_read_to_its_end(ending: str, tmp_path: Path) -> None:
    halves = COMPRESSORS[ending](TEN[:37]) + COMPRESSORS[ending](TEN[37:])
    assert read_all(corpus_of(tmp_path / f"text{ending}", halves, unit=4)) == TEN.decode().splitlines()


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_a_compressed_file_that_is_cut_short_or_damaged_is_refused_by_name(ending: str, tmp_path: Path) -> None:
    whole = COMPRESSORS[ending](os.urandom(30_000).hex().encode() + b"\n")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for name, data in {"cut": whole[: len(whole) * 2 // 3], "none": b"no archive at all", "flipped": flipped}.items():
        if (name, ending) == ("flipped", ".zst"):
            continue  # pyarrow writes no checksum, so only the structure can be damaged
        corpus = corpus_of(tmp_path / f"{name}{ending}", bytes(data))
        with pytest.raises(X2StaticError, match=rf"{name}\{ending}: the compressed file is damaged or cut short"):
            plan_of(corpus)


def test_a_compressed_file_that_is_damaged_after_its_planning_stops_the_run(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "text.gz", gzip.compress(TEN), unit=5)
    plan = plan_of(corpus)
    corpus.close()
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEN)[:-20])
    with pytest.raises(X2StaticError, match="the compressed file is damaged or cut short"):
        read(corpus, plan)
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEN[:60]))
    with pytest.raises(X2StaticError, match=r"expected 5 paragraphs in bytes 65 to 130, found 0; the file has changed"):
        corpus.read((plan.units or ())[1])


def test_the_limit_counts_paragraphs(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "text.txt", TEN, unit=3, limit=5)
    plan = plan_of(corpus)
    assert (read(corpus, plan), plan.ended) == (
        [["Paragraph 0.", "Paragraph 1.", "Paragraph 2."], ["Paragraph 3.", "Paragraph 4."]],
        False,
    )
    exactly = plan_of(corpus_of(tmp_path / "text.txt", TEN, limit=10))
    assert (exactly.ended, sum(unit.paragraphs for unit in exactly.units or ())) == (True, 10)


def test_raising_the_limit_in_steps_gives_the_rows_of_one_run_in_their_order(teacher: Path, tmp_path: Path) -> None:
    corpus = write_lines(tmp_path / "text.txt", paragraphs(23))
    once = run(teacher, corpus, tmp_path / "once", unit=4)
    for limit in (3, 4, 4, 15, None, None):
        figures = run(teacher, corpus, tmp_path / "steps", unit=4, limit=limit)
        if limit:
            assert figures["paragraphs"] == limit
    assert_same_rows(tmp_path / "steps", tmp_path / "once")
    assert figures["words"] == once["words"]
    assert figures["shards"] == figures["shards_resumed"] == 1 + 1 + 3 + 2


def test_bad_text_fails_with_the_file_and_the_byte(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "bad.txt", b"good\nbad \xff\xfe here\n")
    with pytest.raises(X2StaticError, match=r"bad\.txt: byte 9 is not valid UTF-8 .*--on-bad-text skip"):
        plan_of(corpus)


def test_bad_text_is_replaced_or_skipped_on_request_and_what_is_skipped_is_counted(tmp_path: Path) -> None:
    data = b"one\nbad \xff\ntwo\n\xc3\nthree\n"
    skipping = corpus_of(tmp_path / "bad.txt", data, on_bad_text="skip", unit=2)
    plan = plan_of(skipping)
    assert (plan.skipped, read(skipping, plan)) == (2, [["one", "two"], ["three"]])
    replacing = corpus_of(tmp_path / "bad.txt", data, on_bad_text="replace", unit=2)
    assert read_all(replacing) == [
        "one",
        "bad �",
        "two",
        "�",
        "three",
    ]


def test_bad_text_behind_the_limit_is_counted_once_by_the_plan_that_it_belongs_to(tmp_path: Path) -> None:
    data = b"one\nbad \xff\ntwo\nbad \xff\nthree\nbad \xff\n"
    first = plan_of(corpus_of(tmp_path / "bad.txt", data, on_bad_text="skip", limit=2))
    rest = corpus_of(tmp_path / "bad.txt", data, on_bad_text="skip")
    second = plan_of(rest, 2, (first.units or ())[-1])
    assert (first.skipped, second.skipped) == (1, 2)
    assert read(rest, second) == [["three"]]


def test_a_line_that_is_too_long_is_refused_with_its_position_or_skipped(tmp_path: Path) -> None:
    data = b"one\n" + b"x" * 3_000_000 + b"\ntwo\n" + b" " * 2000 + b"three\nfour"
    with pytest.raises(
        X2StaticError, match=r"long\.txt: the line at byte 4 is longer than 1000 bytes; .*one paragraph"
    ):
        plan_of(corpus_of(tmp_path / "long.txt", data, max_paragraph_bytes=1000))
    skipping = corpus_of(tmp_path / "long.txt", data, max_paragraph_bytes=1000, on_bad_text="skip", unit=2)
    plan = plan_of(skipping)
    assert (plan.skipped, read(skipping, plan)) == (2, [["one", "two"], ["four"]])


def test_a_line_of_just_the_longest_length_is_a_paragraph(tmp_path: Path) -> None:
    for end in (b"\n", b""):
        assert read_all(corpus_of(tmp_path / "text", b"x" * 100 + end, max_paragraph_bytes=100)) == ["x" * 100]
        with pytest.raises(X2StaticError, match="longer than 100 bytes"):
            read_all(corpus_of(tmp_path / "text", b"x" * 101 + end, max_paragraph_bytes=100))


# Loaded without the package's own imports: torch's memory would hide what is measured.
MEASURE = """
import resource, sys, types; sys.path.insert(0, '.')
package = types.ModuleType('stage1_encode'); package.__path__ = ['stage1_encode']
sys.modules['stage1_encode'] = package
from x2static.schemas.encoding import EncodeConfig
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.corpora.file_set import find_files
from x2static.stage1_encode.corpora.local_files import LocalFiles
path, policy, format = sys.argv[1:]
config = EncodeConfig(model='any', corpus=('any',), cache='any', on_bad_text=policy, format=format)
corpus = LocalFiles('big', config, lambda: find_files(path, config))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try: corpus.plan({'format': format}, 0, None)
except X2StaticError as error: print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def memory_for(path: Path, policy: str, form: str) -> tuple[str, int]:
    """Return the message that planning ends with, and the kilobytes that it takes."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path, policy, form], cwd=ROOT, capture_output=True, text=True, check=True
    )
    message, kilobytes = done.stdout.splitlines()
    return message, int(kilobytes)


@pytest.mark.parametrize("form", ["lines", "blank-lines", "wikiextractor", "jsonl"])
@pytest.mark.parametrize(
    ("policy", "expected"), [("fail", "longer than 10000000 bytes"), ("skip", "the file holds no paragraph")]
)
def test_a_line_of_100_megabytes_is_refused_in_little_memory(
    form: str, policy: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "one-line.txt"
    with path.open("wb") as file:
        file.truncate(100_000_000)  # a hole: zeros without line end
    message, kilobytes = memory_for(path, policy, form)
    assert expected in message
    assert kilobytes < 45_000


def test_a_paragraph_of_100_megabytes_in_many_lines_is_left_out_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "no-blank-line.txt"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 999_999 + b"\n")
    message, kilobytes = memory_for(path, "skip", "blank-lines")
    assert "the file holds no paragraph" in message
    assert kilobytes < 45_000


@pytest.mark.parametrize("data", [b"", b"\n", b"\n \r\n\t\n   ", b"\xef\xbb\xbf\n", "\u3000\n\u00a0".encode()])
def test_a_file_without_a_paragraph_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(X2StaticError, match=r"empty\.txt: the file holds no paragraph"):
        plan_of(corpus_of(tmp_path / "empty.txt", data))


def test_a_missing_file_is_refused_with_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(X2StaticError, match=r"missing\.txt: no such file \(or hf://.*, a folder, .*or - for"):
        corpus_at(tmp_path / "missing.txt")


def test_a_file_that_changes_between_runs_is_refused_and_the_cache_stays(teacher: Path, tmp_path: Path) -> None:
    corpus, cache = write_lines(tmp_path / "text.txt", paragraphs(6)), tmp_path / "cache"
    run(teacher, corpus, cache, limit=3)
    before = files_of(cache)
    text = corpus.read_bytes()
    corpus.write_bytes(text[:-5] + b"HERE\n")  # as long as before
    with pytest.raises(
        X2StaticError, match=r"corpus \(.*text\.txt\) xxh3: '\w{32}' != '\w{32}'\. Ask for the same"
    ) as caught:
        run(teacher, corpus, cache)
    assert " size: " not in str(caught.value)
    corpus.write_bytes(text + b"More.\n")
    with pytest.raises(X2StaticError, match=rf"size: {len(text)} != {len(text) + 6}; corpus .* xxh3: "):
        run(teacher, corpus, cache)
    assert files_of(cache) == before


def test_a_file_that_only_moved_or_was_touched_is_the_same(teacher: Path, tmp_path: Path) -> None:
    corpus, cache = write_lines(tmp_path / "text.txt", paragraphs(6)), tmp_path / "cache"
    run(teacher, corpus, cache, limit=3)
    os.utime(corpus, (1, 1))
    run(teacher, corpus, cache, limit=4)
    moved = tmp_path / "elsewhere" / "other.txt"
    moved.parent.mkdir()
    shutil.move(corpus, moved)
    run(teacher, moved, cache)
    run(teacher, moved, tmp_path / "once")
    assert_same_rows(cache, tmp_path / "once")


def test_text_that_looks_like_something_else_is_only_text(teacher: Path, tmp_path: Path) -> None:
    marker = tmp_path / "made-by-a-command"
    odd = [
        "/etc/passwd ../../etc/passwd C:\\windows\\system32",
        "%s %d {0} {name} {{}} ${HOME} %(name)s",
        f"$(touch {marker}) `touch {marker}` ; touch {marker} | sh && exit 1",
        "[CLS] [SEP] [MASK] [PAD] [UNK] <s> </s> <|endoftext|>",
        "hf://name:train#text demo --limit 3 -h",
        "import os; __import__('os').system('true')",
    ]
    corpus = write_lines(tmp_path / "text.txt", odd)
    assert read_all(corpus_of(tmp_path / "copy.txt", corpus.read_bytes())) == odd
    run(teacher, corpus, tmp_path / "cache")
    found = texts_of(tmp_path / "cache")
    for line in odd:
        letters = "".join(line.lower().split())
        assert letters in "".join(found).replace(" ", "")
    assert not marker.exists()
