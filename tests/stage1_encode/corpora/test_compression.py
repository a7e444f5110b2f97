"""Compressed files are read whole or refused: all that gzip, bzip2, xz and zstd call good, and nothing else."""

import bz2
import gzip
import lzma
import shutil
import subprocess

import pytest

from tests.stage1_encode.corpora.files import COMPRESSORS, corpus_of, plan_of, read_all
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.corpora.compression import read_head

TOOLS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
ONE, TWO = b"one\n" * 2000, bytes(range(32, 127)) * 50


def variants(ending: str) -> dict[str, bytes]:
    """Return files of two streams, whole, with things behind or between them, cut, and with each part damaged."""
    one, two = COMPRESSORS[ending](ONE), COMPRESSORS[ending](TWO)
    made = {
        "one": one,
        "two": one + two,
        "nothing": COMPRESSORS[ending](b""),
        "nothing first": COMPRESSORS[ending](b"") + one,
    }
    for behind in (b"\0", b"\0" * 3, b"\0" * 4, b"\0" * 512, b"garbage", b"\x1f", b"B", b"\xfd", b"\x28\xb5"):
        made[f"{len(behind)} of {behind[:7]!r} behind"] = one + behind
        made[f"{len(behind)} of {behind[:7]!r} between"] = one + behind + two
    for cut in (1, 2, 3, 4, 5, 8, 12, len(two) // 2, len(two) - 1):
        made[f"second cut to {cut}"] = one + two[:cut]
        made[f"first cut to {cut}"] = one[:cut]
    for place in (0, 1, 2, 3, 4, 5, 8, len(two) // 3, len(two) // 2, len(two) - 3, len(two) - 1):
        damaged = bytearray(two)
        damaged[place] ^= 0x55
        made[f"byte {place} of the second damaged"] = one + bytes(damaged)
    made["head of the second gone"] = one + b"\1\2\3\4" + two[4:]
    if ending == ".zst":
        skipped = b"\x50\x2a\x4d\x18\4\0\0\0abcd"
        made |= {"skippable": skipped + one + skipped + two + skipped, "skippable alone": skipped}
    if ending == ".xz":
        made["lzma"] = lzma.compress(ONE, format=lzma.FORMAT_ALONE)
        made |= {
            "lzma twice": made["lzma"] * 2,
            "lzma, then xz": made["lzma"] + one,
            "xz, then lzma": one + made["lzma"],
        }
    return made


@pytest.mark.parametrize("ending", TOOLS)
def test_what_the_tool_calls_good_is_read_whole_and_all_else_refused(ending, tmp_path, caplog):
    tool = shutil.which(TOOLS[ending])
    if not tool:
        pytest.skip(f"{TOOLS[ending]} is not installed")
    wrong = {}
    for what, data in variants(ending).items():
        path = tmp_path / f"text{ending}"
        path.write_bytes(data)
        verdict = subprocess.run([tool, "-t", path], capture_output=True, check=False)
        # bzip2 ignores a stream with a damaged head, and names what it ignores.
        good = verdict.returncode == 0 and not (b"ignored" in verdict.stderr and b"1AY&SY" in data[10:])
        expected = subprocess.run([tool, "-dc", path], capture_output=True, check=False).stdout if good else None
        try:
            text: bytes | None = read_head(path, 1 << 20, "text")
        except X2StaticError:
            text = None
        if text != expected and not (ending == ".gz" and text == ONE + TWO):  # behind zeros, gzip stops looking
            wrong[what] = (good, None if text is None else len(text))
    assert wrong == {}


def test_what_bzip2_ignores_behind_the_last_stream_is_named_and_a_damaged_stream_is_no_such_thing(tmp_path, caplog):
    packed = bz2.compress(b"one\n") + b"some notes"
    assert read_all(corpus_of(tmp_path / "text.bz2", packed)) == ["one"]
    assert "text.bz2: the 10 bytes or more behind its bzip2 streams are no such stream; left out" in caplog.text
    assert len(caplog.records) == 1
    for shift in range(4):
        second = bz2.compress(b"two\n" * shift + b"2")
        with pytest.raises(X2StaticError, match="a stream behind the first has a damaged head"):
            plan_of(corpus_of(tmp_path / "text.bz2", bz2.compress(b"one\n") + b"\1\2\3\4" + second[4:]))


def test_a_name_that_promises_another_compression_is_refused_or_the_content_wins(tmp_path):
    assert read_all(corpus_of(tmp_path / "text.gz", lzma.compress(b"one\n"))) == ["one"]
    assert read_all(corpus_of(tmp_path / "text.lzma", lzma.compress(b"one\n", format=lzma.FORMAT_ALONE))) == ["one"]
    with pytest.raises(X2StaticError, match=r"is no \.gz file, as its name says, but begins with b'one\\n'; rename it"):
        plan_of(corpus_of(tmp_path / "text.txt.gz", b"one\n"))
    with pytest.raises(X2StaticError, match=r"text\.gz is compressed twice; unpack it once"):
        plan_of(corpus_of(tmp_path / "text.gz", gzip.compress(bz2.compress(b"one\n"))))
