"""Text files as a corpus: what a paragraph is, where units end, which are sampled, what becomes of damaged files."""

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
from x2static.stage1_encode.corpora.corpus import Sample

TEN = "".join(f"Paragraph {number}.\n" for number in range(10)).encode()


def test_a_unit_is_the_byte_range_of_so_many_paragraphs(tmp_path: Path) -> None:
    data = b"one\n\n  \ntwo\r\nthree\n\nfour\nfive"
    corpus = corpus_of(tmp_path / "text.txt", data, unit=2)
    plan = plan_of(corpus)
    assert [(unit.start, unit.stop, unit.paragraphs) for unit in plan.units] == [(0, 13, 2), (13, 25, 2), (25, 29, 1)]
    assert read(corpus, plan) == [["one", "two"], ["three", "four"], ["five"]]
    assert (plan.skipped, plan.limit) == (0, None)


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"\t one two \r\n\r\nthree\n \n", ["one two", "three"]),
        (b"\xef\xbb\xbfone\ntwo\n", ["one", "two"]),
        (
            b"a\xe2\x80\xa8b\xe2\x80\xa9c\x0bd\x0ce\xc2\x85f\x1cg\rh\x00i\n",
            ["a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\rh\x00i"],
        ),
    ],
    ids=["space and line ends of both kinds", "byte order mark", "only line feeds end a line"],
)
def test_what_is_not_text_is_left_out_and_all_else_is_kept(data: bytes, texts: list[str], tmp_path: Path) -> None:
    assert read_all(corpus_of(tmp_path / "text", data, unit=1)) == texts


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_a_compressed_file_has_the_units_of_the_plain_one_and_damage_is_refused_by_name(
    ending: str, tmp_path: Path
) -> None:
    plain = corpus_of(tmp_path / "text.txt", TEN, unit=3)
    packed = corpus_of(tmp_path / f"text{ending}", COMPRESSORS[ending](TEN), unit=3)
    expected, plan = plan_of(plain), plan_of(packed)
    assert read(packed, plan) == read(plain, expected)
    assert [(u.start, u.stop) for u in plan.units] == [(u.start, u.stop) for u in expected.units]

    whole = COMPRESSORS[ending](os.urandom(30_000).hex().encode() + b"\n")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for name, data in {"cut": whole[: len(whole) * 2 // 3], "none": b"no archive at all", "flipped": flipped}.items():
        if (name, ending) == ("flipped", ".zst"):
            continue  # pyarrow writes no checksum, so only the structure can be damaged
        with pytest.raises(X2StaticError, match=rf"{name}\{ending}: the compressed file is damaged or cut short"):
            plan_of(corpus_of(tmp_path / f"{name}{ending}", bytes(data)))


def test_a_file_that_changes_after_its_planning_stops_the_run(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "text.gz", gzip.compress(TEN), unit=5)
    plan = plan_of(corpus)
    corpus.close()
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEN)[:-20])
    with pytest.raises(X2StaticError, match="the compressed file is damaged or cut short"):
        read(corpus, plan)
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEN[:60]))
    with pytest.raises(X2StaticError, match=r"expected 5 paragraphs in bytes 65 to 130, found 0; .* has changed"):
        corpus.read(plan.units[1])


def test_raising_the_limit_in_steps_gives_the_rows_of_one_run_in_their_order(teacher: Path, tmp_path: Path) -> None:
    corpus = write_lines(tmp_path / "text.txt", paragraphs(23))
    once = run(teacher, corpus, tmp_path / "once", unit=4)
    for limit in (3, 4, 4, 15, None, None):
        figures = run(teacher, corpus, tmp_path / "steps", unit=4, limit=limit)
        assert figures["paragraphs"] == (limit or 23)
    assert_same_rows(tmp_path / "steps", tmp_path / "once")
    assert figures["words"] == once["words"]
    assert figures["shards"] == figures["shards_resumed"] == 1 + 1 + 3 + 2


def test_bad_text_fails_with_file_and_byte_or_is_replaced_or_skipped_and_counted(tmp_path: Path) -> None:
    data = b"one\nbad \xff\ntwo\n\xc3\nthree\n"
    with pytest.raises(X2StaticError, match=r"bad\.txt: byte 8 is not valid UTF-8 .*--on-bad-text skip"):
        plan_of(corpus_of(tmp_path / "bad.txt", data))
    with pytest.raises(X2StaticError, match=r"picture: byte 0 is not valid UTF-8"):
        plan_of(corpus_of(tmp_path / "picture", b"\x89PNG\r\n\x1a\n\x00\x00\xff"))
    skipping = corpus_of(tmp_path / "bad.txt", data, on_bad_text="skip", unit=2)
    plan = plan_of(skipping)
    assert (plan.skipped, read(skipping, plan)) == (2, [["one", "two"], ["three"]])
    replacing = corpus_of(tmp_path / "bad.txt", data, on_bad_text="replace", unit=2)
    assert read_all(replacing) == ["one", "bad \ufffd", "two", "\ufffd", "three"]


def test_bad_text_behind_the_limit_is_counted_once_by_the_plan_that_it_belongs_to(tmp_path: Path) -> None:
    data = b"one\nbad \xff\ntwo\nbad \xff\nthree\nbad \xff\n"
    first = plan_of(corpus_of(tmp_path / "bad.txt", data, on_bad_text="skip", limit=2))
    rest = corpus_of(tmp_path / "bad.txt", data, on_bad_text="skip")
    second = plan_of(rest, 2, first.units[-1])
    assert (first.skipped, second.skipped) == (1, 2)
    assert read(rest, second) == [["three"]]


def test_a_line_that_is_too_long_is_refused_with_its_position_or_skipped(tmp_path: Path) -> None:
    data = b"one\n" + b"x" * 3_000_000 + b"\ntwo\n" + b" " * 2000 + b"three\nfour"
    with pytest.raises(X2StaticError, match=r"long\.txt: the line at byte 4 is longer than 1000 bytes"):
        plan_of(corpus_of(tmp_path / "long.txt", data, max_paragraph_bytes=1000))
    skipping = corpus_of(tmp_path / "long.txt", data, max_paragraph_bytes=1000, on_bad_text="skip", unit=2)
    plan = plan_of(skipping)
    assert (plan.skipped, read(skipping, plan)) == (2, [["one", "two"], ["four"]])
    for end in (b"\n", b""):
        assert read_all(corpus_of(tmp_path / "text", b"x" * 100 + end, max_paragraph_bytes=100)) == ["x" * 100]
        with pytest.raises(X2StaticError, match="longer than 100 bytes"):
            read_all(corpus_of(tmp_path / "text", b"x" * 101 + end, max_paragraph_bytes=100))


MEASURE = """
import resource, sys
from pathlib import Path
from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import ReadingOptions
from x2static.stage1_encode.corpora.local_files import LocalFiles, find_files
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for case in sys.argv[1:]:
    path, policy, format = case.split()
    corpus = LocalFiles('big', ReadingOptions(on_bad_text=policy), lambda: find_files(path, format, Path('cache')))
    try: corpus.plan({'format': format})
    except X2StaticError as error: print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_100_megabytes_without_a_line_end_or_a_blank_line_are_refused_or_left_out_in_little_memory(
    tmp_path: Path,
) -> None:
    line, lines = tmp_path / "one-line.txt", tmp_path / "no-blank-line.txt"
    with line.open("wb") as file:
        file.truncate(100_000_000)  # a hole: zeros without line end
    with lines.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 999_999 + b"\n")
    cases = {f"{line} fail {form}": "longer than 10000000" for form in ("lines", "jsonl")}
    cases |= {f"{line} skip {form}": "no paragraph" for form in ("lines", "blank-lines", "wikiextractor", "jsonl")}
    cases[f"{lines} skip blank-lines"] = "no paragraph"
    command = [sys.executable, "-c", MEASURE, *cases]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *messages, kilobytes = ended.stdout.splitlines()
    for message, expected in zip(messages, cases.values(), strict=True):
        assert expected in message
    assert int(kilobytes) < 45_000


@pytest.mark.parametrize("data", [b"", b"\n \r\n\t\n   ", b"\xef\xbb\xbf\n", "\u3000\n\u00a0".encode()])
def test_a_file_without_a_paragraph_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(X2StaticError, match=r"empty\.txt: it holds no paragraph"):
        plan_of(corpus_of(tmp_path / "empty.txt", data))


def test_a_file_that_changes_between_runs_is_refused_and_the_cache_stays(teacher: Path, tmp_path: Path) -> None:
    corpus, cache = write_lines(tmp_path / "text.txt", paragraphs(6)), tmp_path / "cache"
    run(teacher, corpus, cache, limit=3)
    before = files_of(cache)
    text = corpus.read_bytes()
    corpus.write_bytes(text[:-5] + b"HERE\n")  # as long as before
    with pytest.raises(X2StaticError, match=r"corpus \(.*text\.txt\) xxh3: '\w{32}' != '\w{32}'\.") as caught:
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
    run(teacher, write_lines(tmp_path / "text.txt", odd), tmp_path / "cache")
    read_back = "".join(texts_of(tmp_path / "cache")).replace(" ", "")
    assert all("".join(line.lower().split()) in read_back for line in odd)
    assert not marker.exists()


def test_a_sample_meets_its_share_by_seed_place_and_line_and_holds_every_smaller_one() -> None:
    for share in (0.01, 0.25, 0.9):
        taken = sum(Sample(share, 0).takes(place * 977) for place in range(40_000))
        assert abs(taken - share * 40_000) < 5 * (40_000 * share * (1 - share)) ** 0.5  # five deviations

    def drawn(seed: int, line: int, shift: int) -> tuple[bool, ...]:
        return tuple(Sample(0.5, seed).takes(place + shift, line) for place in range(200))

    assert drawn(0, 0, 0) == drawn(0, 0, 0)
    assert len({drawn(*values) for values in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 200))}) == 4
    small, large = ({place for place in range(2000) if Sample(share, 3).takes(place)} for share in (0.1, 0.3))
    assert small < large
    assert all(Sample(None, 0).takes(place) for place in range(100))


def test_reading_before_planning_is_a_defect_of_ours(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "text.txt", TEN)
    unit = plan_of(corpus_at(tmp_path / "text.txt")).units[0]
    with pytest.raises(RuntimeError, match="plan or connect before reading"):
        corpus.read(unit)
