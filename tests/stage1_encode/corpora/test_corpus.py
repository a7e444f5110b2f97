"""Text files as a corpus: what a paragraph is, where units end, which are sampled, what becomes of bad files."""

import gzip
import os
import shutil
import tracemalloc

import pytest

from tests.stage1_encode.corpora.files import COMPRESSORS, corpus_at, corpus_of, plan_of, read, read_all
from tests.stage1_encode.runs import assert_same_rows, paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.corpora import corpus as of_corpora
from x2static.stage1_encode.corpora.corpus import fitting_unit, in_sample

TEN = "".join(f"Paragraph {number}.\n" for number in range(10)).encode()


def test_a_unit_is_the_byte_range_of_so_many_paragraphs(tmp_path):
    data = b"one\n\n  \ntwo\r\nthree\n\nfour\nfive"
    corpus = corpus_of(tmp_path / "text.txt", data, unit=2)
    plan = plan_of(corpus)
    assert [(unit.start, unit.stop, unit.paragraphs) for unit in plan.units] == [(0, 13, 2), (13, 25, 2), (25, 29, 1)]
    assert read(corpus, plan) == [["one", "two"], ["three", "four"], ["five"]]
    assert (plan.skipped, plan.limit) == (0, None)


@pytest.mark.parametrize(
    ("n_paragraphs", "size"), [(1, 1024), (6144, 1024), (6145, 2048), (49_152, 8192), (49_153, 8192), (10**9, 8192)]
)
def test_a_small_corpus_is_up_to_six_units_and_a_large_one_has_units_of_one_size(n_paragraphs, size):
    assert fitting_unit(n_paragraphs) == size
    assert n_paragraphs <= 6 * size or size == 8192


def test_units_whose_size_nobody_gives_are_those_of_the_size_that_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(of_corpora, "SMALLEST_UNIT", 2)
    monkeypatch.setattr(of_corpora, "LARGEST_UNIT", 6)
    (tmp_path / "text").mkdir()
    for number, n_lines in enumerate((3, 11, 1, 12)):
        write_lines(tmp_path / "text" / f"{number}.txt", paragraphs(n_lines))
    for limit, size in ((5, 2), (13, 4), (None, 6)):
        plan, expected = (plan_of(corpus_at(tmp_path / "text", limit=limit, unit=unit)) for unit in (None, size))
        assert plan == expected
        assert plan.unit == size


def test_what_is_not_text_is_left_out_and_all_else_is_kept(tmp_path):
    only_line_feeds_part = "a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\rh\x00i"
    for data, texts in (
        ("\t one two \r\n\r\nthree\n \n", ["one two", "three"]),
        ("\ufeffone\ntwo\n", ["one", "two"]),
        (f"{only_line_feeds_part}\n", [only_line_feeds_part]),
    ):
        assert read_all(corpus_of(tmp_path / "text", data.encode(), unit=1)) == texts


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_a_compressed_file_has_the_units_of_the_plain_one_and_damage_is_refused_by_name(ending, tmp_path):
    plain = corpus_of(tmp_path / "text.txt", TEN, unit=3)
    packed = corpus_of(tmp_path / f"text{ending}", COMPRESSORS[ending](TEN), unit=3)
    expected, plan = plan_of(plain), plan_of(packed)
    assert read(packed, plan) == read(plain, expected)
    assert [(u.start, u.stop) for u in plan.units] == [(u.start, u.stop) for u in expected.units]

    whole = COMPRESSORS[ending](os.urandom(30_000).hex().encode() + b"\n")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for name, data, message in (
        ("cut", whole[: len(whole) * 2 // 3], "the compressed file is damaged or cut short"),
        ("none", b"no archive at all", rf"the compressed file is damaged, or is no \{ending} file, .*b'no archive"),
        ("flipped", flipped, "the compressed file is damaged or cut short"),
    ):
        if (name, ending) == ("flipped", ".zst"):
            continue  # pyarrow writes no checksum, so only the structure can be damaged
        with pytest.raises(X2StaticError, match=rf"{name}\{ending}: {message}"):
            plan_of(corpus_of(tmp_path / f"{name}{ending}", bytes(data)))


def test_a_file_that_changes_after_its_planning_stops_the_run(tmp_path):
    corpus = corpus_of(tmp_path / "text.gz", gzip.compress(TEN), unit=5)
    plan = plan_of(corpus)
    corpus.close()
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEN)[:-20])
    with pytest.raises(X2StaticError, match="the compressed file is damaged or cut short"):
        read(corpus, plan)
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEN[:60]))
    with pytest.raises(X2StaticError, match=r"expected 5 paragraphs from place 65 of .* found 0; .* changed"):
        corpus.read(plan.units[1])


def test_bad_text_fails_with_file_and_byte_or_is_replaced_or_skipped_and_counted(tmp_path):
    data = b"one\nbad \xff\ntwo\n\xc3\nthree\n"
    with pytest.raises(X2StaticError, match=r"bad\.txt: byte 8 is not valid UTF-8 .*--on-bad-text skip"):
        plan_of(corpus_of(tmp_path / "bad.txt", data))
    with pytest.raises(X2StaticError, match=r"picture is a picture, sound or film, no text; leave it out"):
        plan_of(corpus_of(tmp_path / "picture", b"\x89PNG\r\n\x1a\n\x00\x00\xff"))
    skipping = corpus_of(tmp_path / "bad.txt", data, on_bad_text="skip", unit=2)
    plan = plan_of(skipping)
    assert (plan.skipped, read(skipping, plan)) == (2, [["one", "two"], ["three"]])
    replacing = corpus_of(tmp_path / "bad.txt", data, on_bad_text="replace", unit=2)
    assert read_all(replacing) == ["one", "bad \ufffd", "two", "\ufffd", "three"]


def test_a_line_that_is_too_long_is_refused_with_its_position_or_skipped(tmp_path):
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


def test_a_paragraph_without_an_end_is_refused_or_left_out_in_little_memory(tmp_path):
    (tmp_path / "one-line").write_bytes(b"x" * 30_000_000)
    (tmp_path / "no-blank-line").write_bytes((b"x" * 99_999 + b"\n") * 300)
    cases = [("one-line", "fail", form, "longer than 200000 bytes") for form in ("lines", "jsonl")]
    cases += [("one-line", "skip", form, "no paragraph") for form in ("lines", "wikiextractor", "jsonl")]
    cases += [(name, "skip", "blank-lines", "no paragraph") for name in ("one-line", "no-blank-line")]
    tracemalloc.start()
    for name, policy, form, message in cases:
        corpus = corpus_at(tmp_path / name, on_bad_text=policy, format=form, max_paragraph_bytes=200_000)
        with pytest.raises(X2StaticError, match=message):
            plan_of(corpus)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("data", [b"", b"\n \r\n\t\n   ", b"\xef\xbb\xbf\n", "\u3000\n\u00a0".encode()])
def test_a_file_without_a_paragraph_is_refused(data, tmp_path):
    with pytest.raises(X2StaticError, match=r"empty\.txt: it holds no paragraph"):
        plan_of(corpus_of(tmp_path / "empty.txt", data))


def test_a_file_that_only_moved_or_was_touched_is_the_same(teacher, tmp_path):
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


def test_a_sample_meets_its_share_by_seed_place_and_line_and_holds_every_smaller_one():
    taken = sum(in_sample(0.25, 0, place * 977) for place in range(40_000))
    assert abs(taken - 10_000) < 5 * (10_000 * 0.75) ** 0.5  # five deviations

    def drawn(seed: int, line: int, shift: int) -> tuple[bool, ...]:
        return tuple(in_sample(0.5, seed, place + shift, line) for place in range(200))

    assert len({drawn(*values) for values in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 200))}) == 4
    small, large = ({place for place in range(2000) if in_sample(share, 3, place)} for share in (0.1, 0.3))
    assert small < large
    assert all(in_sample(None, 0, place) for place in range(100))
