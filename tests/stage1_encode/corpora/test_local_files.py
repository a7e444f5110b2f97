"""Files, folders and patterns as one corpus: which files belong to it, units that span files, and going on."""

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stage1_encode.corpora.files import corpus_at, plan_of, read, read_all
from tests.stage1_encode.runs import assert_same_rows, files_of, run
from x2static.durable.errors import X2StaticError
from x2static.schemas.manifest import FILE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose files hold their own names, in order; hidden ones, and others without a paragraph, among them."""
    root = tmp_path / "texts"
    for name in ("a/1.txt", "a/2.txt", "a.txt", "b/c/1.txt.gz", "b/c/2", ".hidden", ".git/x.txt", "a/.swp", "c/.d/e"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = f"{name} one\n{name} two\n".encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    for name in ("a/0-empty.txt", "b/c/1a-blank", "z-empty.gz"):
        (root / name).write_bytes(b"\n \n" if "blank" in name else b"")
    return root


def lines_of(*names: str) -> list[str]:
    return [f"{name} {number}" for name in names for number in ("one", "two")]


VISIBLE = ("a.txt", "a/1.txt", "a/2.txt", "b/c/1.txt.gz", "b/c/2")


def test_a_folder_is_all_its_files_in_the_order_of_their_names_without_hidden_ones(folder):
    for unit in (1, 3, 100):
        assert read_all(corpus_at(folder, unit=unit)) == lines_of(*VISIBLE)
    assert read_all(corpus_at(f"{folder}/", unit=3)) == lines_of(*VISIBLE)


def test_a_pattern_is_the_files_that_it_matches(folder):
    for pattern, names in {
        "*.txt": ["a.txt"],
        "**/*.txt": ["a.txt", "a/1.txt", "a/2.txt"],
        "**": VISIBLE,
        "?/[12].txt": ["a/1.txt", "a/2.txt"],
        "b/**/*.gz": ["b/c/1.txt.gz"],
        "[!a]/c/?": ["b/c/2"],
    }.items():
        assert read_all(corpus_at(folder / pattern, unit=3)) == lines_of(*names), pattern


@pytest.mark.parametrize("name", ["what#now", "a*b", "[x]?.txt", "a.txt#text", "-x"])
def test_a_name_that_looks_like_a_pattern_or_a_column_is_a_name_if_it_is_there(name, tmp_path):
    (tmp_path / name).write_text("here\n")
    (tmp_path / "aab").write_text("not here\n")
    assert read_all(corpus_at(tmp_path / name)) == ["here"]


def test_units_span_files_and_are_named_for_the_file_of_their_first_paragraph(folder):
    corpus = corpus_at(folder, unit=3)
    plan = plan_of(corpus)
    assert read(corpus, plan) == [lines_of(*VISIBLE)[first : first + 3] for first in (0, 3, 6, 9)]
    assert [unit.source for unit in plan.units] == ["a.txt", "a/1.txt", "b/c/1.txt.gz", "b/c/2"]
    whole = len("a/1.txt one\na/1.txt two\n")
    assert plan.units[1].start == FILE * 2 + whole // 2
    assert plan.units[1].stop == FILE * 3 + whole


def test_the_files_of_a_folder_may_be_compressed_in_several_ways_but_not_of_several_formats(folder):
    (folder / "rows.jsonl").write_text('{"text": "a row"}\n')
    listed = r"lines \(a\.txt\), jsonl \(rows\.jsonl\); name those of one"
    with pytest.raises(X2StaticError, match=rf"texts: the files are of several formats: {listed}"):
        plan_of(corpus_at(folder))
    assert '{"text": "a row"}' in read_all(corpus_at(folder, format="lines"))
    assert read_all(corpus_at(folder / "*.jsonl")) == ["a row"]


def test_the_cache_is_no_part_of_the_folder_that_it_lies_in(teacher, folder, tmp_path):
    cache = folder / "d" / "cache"
    run(teacher, folder, tmp_path / "once", unit=3)
    run(teacher, folder, cache, unit=3, limit=4)
    run(teacher, folder, cache, unit=3)
    run(teacher, folder / "**", cache, unit=3)  # the same files
    assert_same_rows(cache, tmp_path / "once")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("empty", r"the folder holds no file \(hidden ones are not read\)"),
        ("*.nothing", "no such file"),
        ("missing#text", "no such file"),
        ("pipe", "neither a file nor a folder; pipe it in"),
        ("blank", "it holds no paragraph; nothing to encode"),
        ("linked", r"\S+link is gone, or a link to nowhere"),
        ("linked/link", r"\S+link is gone, or a link to nowhere"),
    ],
)
def test_what_names_no_file_is_refused_in_one_line(spec, reason, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden").write_text("text\n")
    os.mkfifo(tmp_path / "pipe")
    for folder in ("blank", "linked"):
        (tmp_path / folder).mkdir()
    for name in ("a.txt", "b.gz"):
        (tmp_path / "blank" / name).touch()
    (tmp_path / "linked" / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(X2StaticError, match=rf"^corpus \S+: {reason}"):
        plan_of(corpus_at(tmp_path / spec))
    with pytest.raises(X2StaticError, match="--corpus: its name is empty"):
        corpus_at("")


def test_a_file_name_that_is_no_utf_8_is_refused(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff")).write_text("one\n")
    with pytest.raises(X2StaticError, match=r"the file name \S+bad\\udcff' is no valid UTF-8; rename it"):
        corpus_at(tmp_path)


def test_bad_text_and_damage_are_told_by_the_file(folder):
    (folder / "a" / "2.txt").write_bytes(b"fine\n\xff\n")
    with pytest.raises(X2StaticError, match=r"corpus \S+texts, a/2\.txt: byte 5 is not valid UTF-8"):
        plan_of(corpus_at(folder))
    (folder / "a" / "2.txt").unlink()
    packed = (folder / "b/c/1.txt.gz").read_bytes()
    (folder / "b/c/1.txt.gz").write_bytes(packed[:-9])
    with pytest.raises(X2StaticError, match=r"corpus \S+texts, b/c/1\.txt\.gz: the compressed file is damaged or cut"):
        plan_of(corpus_at(folder, format="lines"))


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (
            lambda folder: (folder / "a/2.txt").write_text("new\n"),
            r"files: a/2\.txt: '\w{12}\.\.\.' != '\w{12}\.\.\.'\. Ask",
        ),
        (
            lambda folder: (folder / "a.txt").rename(folder / "e"),
            r"a\.txt: '\w{12}\.\.\.' != absent; .*files: e: absent != '",
        ),
        (
            lambda folder: [(folder / f"new-{n}").write_text("one\n") for n in range(9)],
            r"new-0: absent != '\w{12}\.\.\.'; .*new-2: absent != '\w{12}\.\.\.'; corpus \S+ files: 6 more\. Ask",
        ),
    ],
)
def test_a_folder_in_which_a_file_changed_is_refused_by_the_name_of_the_file(act, problem, teacher, folder, tmp_path):
    cache = tmp_path / "cache"
    run(teacher, folder, cache, unit=3, limit=4)
    before = files_of(cache)
    act(folder)
    with pytest.raises(X2StaticError, match=problem):
        run(teacher, folder, cache, unit=3)
    assert files_of(cache) == before


def test_nothing_before_the_place_in_hand_is_read_again(tmp_path):
    """What stands there is made unreadable after the planning; nobody notices."""
    plain, packed, rows = tmp_path / "plain", tmp_path / "packed", tmp_path / "rows"
    for folder in (plain, packed, rows):
        folder.mkdir()
    long = "".join(f"Line {number} {'x' * 5000}\n" for number in range(1000)).encode()  # longer than a buffer
    (plain / "1.txt").write_bytes(long)
    (packed / "1.gz").write_bytes(gzip.compress(long))
    (packed / "2.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    texts = [os.urandom(4000).hex() for _ in range(500)]
    pq.write_table(pa.table({"text": texts}), rows / "1.parquet", row_group_size=100)
    damaged = []
    for folder, unit in ((plain, 900), (packed, 1000), (rows, 400)):
        planned = plan_of(corpus_at(folder, unit=unit))
        expected = corpus_at(folder, unit=unit)
        expected.connect(planned.identity)
        damaged.append((corpus_at(folder, unit=unit), planned, expected.read(planned.units[1]).paragraphs))
    with (plain / "1.txt").open("r+b") as file:
        file.write(b"\xff" * 3_000_000)
    (packed / "1.gz").unlink()
    with (rows / "1.parquet").open("r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 2_000_000)
    for corpus, planned, texts in damaged:
        corpus.connect(planned.identity)
        assert corpus.read(planned.units[1]).paragraphs == texts
        assert len(texts) in (100, 2)
        with pytest.raises((X2StaticError, FileNotFoundError)):  # the damage is real
            corpus.read(planned.units[0])


def test_linked_folders_are_read_by_folder_and_pattern_alike_and_circles_end(folder, tmp_path):
    other = tmp_path / "other"
    (other / "deep").mkdir(parents=True)
    (other / "deep" / "o.txt").write_text("other one\nother two\n")
    (folder / "linked").symlink_to(other)
    (folder / "b" / "self").symlink_to(folder / "b")
    expected = [*lines_of(*VISIBLE), "other one", "other two"]
    assert read_all(corpus_at(folder, unit=3)) == expected
    assert read_all(corpus_at(folder / "**", unit=3)) == expected
    for name, target in (("b/up", folder), ("linked/back", folder)):
        (folder / name).symlink_to(target)
    assert read_all(corpus_at(folder, unit=3)) == expected
    (folder / "broken.txt").symlink_to(tmp_path / "gone")
    for spec in (folder, folder / "*.txt"):
        with pytest.raises(X2StaticError, match=r"broken\.txt is gone, or a link to nowhere"):
            plan_of(corpus_at(spec))


def test_what_is_no_file_in_a_folder_is_named(folder, caplog):
    os.mkfifo(folder / "pipe")
    (folder / "linked").symlink_to(folder / "pipe")
    assert read_all(corpus_at(folder, unit=3)) == lines_of(*VISIBLE)
    messages = sorted(record.message.split("texts/")[1] for record in caplog.records)
    assert messages == [f"{name} is neither a file nor a folder; left out" for name in ("linked", "pipe")]


@pytest.mark.parametrize("copy", ["a/copy.txt", "a.txt.gz"])
def test_two_files_of_one_text_are_named(copy, folder, caplog):
    data = (folder / "a.txt").read_bytes()
    (folder / copy).write_bytes(gzip.compress(data) if copy.endswith("gz") else data)
    assert len(read_all(corpus_at(folder))) == 12
    assert f"texts: a.txt and {copy} seem to hold the same text, which is read twice; leave one out" in caplog.text


@pytest.mark.parametrize("data", [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", b"PK\x03\x04" + bytes(99), b"text\0\1\2" * 99])
def test_a_document_in_a_folder_is_named_with_what_to_do(data, folder):
    (folder / "a" / "report").write_bytes(data)
    with pytest.raises(X2StaticError, match=r"texts: a/report is .*name the files of text by a pattern such as"):
        plan_of(corpus_at(folder))


def test_a_file_that_gets_other_text_of_the_same_length_while_it_is_read_is_named_and_a_mere_touch_is_not(folder):
    path = folder / "a.txt"
    for change, stops in ((path.read_bytes().replace(b"two", b"owt"), True), (path.read_bytes(), False)):
        corpus = corpus_at(folder, unit=1)
        plan = plan_of(corpus)
        first, *others = plan.units
        corpus.read(first)
        old = path.read_bytes()
        path.write_bytes(change)
        os.utime(path, (1, 1))
        if stops:
            with pytest.raises(X2StaticError, match=rf"{path} changed while it was read; put the old text back"):
                corpus.read(others[0])
            with pytest.raises(X2StaticError, match=rf"{path} changed"):
                corpus.plan(plan.identity)
        else:
            assert corpus.read(others[0]).paragraphs == ["a.txt two"]
        path.write_bytes(old)
        os.utime(path, (2, 2))
