"""A walk over every file of a finished cache: whatever is done to it, no command goes on with it in silence.

A command that reads the cache gives the result that it gave before, or one line that names what is wrong; `verify`
names it always; `repair`, and the `encode` that made the cache, bring back every byte, or say what they cannot.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.pipeline.ran import Ran, run_here
from tests.schemas.caches import change
from tests.stage1_encode.forks import shared_forks
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, write_lines
from tests.teachers import WINDOW
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, hash_file, read_sealed
from x2static.pipeline import cli
from x2static.schemas.cache import Cache
from x2static.stage1_encode.repair import repair

FILES = (
    "manifest.json word_segmentation.json plans/0.json zarr.json shards/zarr.json "
    "shard/zarr.json shard/contexts/zarr.json shard/contexts/c/0/0 shard/scales/zarr.json shard/scales/c/0 "
    "shard/words.arrow shard/lexicon.arrow shard/shard.json "
    "shard/word_states/words.arrow shard/word_states/codes/zarr.json shard/word_states/codes/c/0/0 "
    "shard/word_states/scales/zarr.json shard/word_states/scales/c/0 "
    "shard/word_states_0/words.arrow shard/word_states_0/codes/c/0/0 phrases/000000.arrow phrases/000000.json "
    "shard/occurrences_8/rows.arrow shard/occurrences_8/centre/c/0 "
    "shard/masked/words.arrow shard/masked/contexts/c/0/0 "
    "shard/word_sums/words.arrow shard/word_sums/sums/zarr.json shard/word_sums/sums/c/1/0/0"
).split()
OTHER = {"manifest.json": "plans/0.json", "plans/0.json": "manifest.json", "word_segmentation.json": "manifest.json"}


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1 << len(data) % 8
    path.write_bytes(data)


def swap(path: Path, other: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)


WAYS: dict[str, Callable[[Path, Path], object]] = {
    "a bit flipped": lambda path, _: flip(path, 0.4),
    "a bit flipped near the end": lambda path, _: flip(path, 0.97),
    "a byte less": lambda path, _: path.write_bytes(path.read_bytes()[:-1]),
    "cut in half": lambda path, _: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path, _: path.write_bytes(b""),
    "deleted": lambda path, _: path.unlink(),
    "swapped with another's": swap,
}
CASES = [
    pytest.param(
        file, way, marks=[] if way == "a bit flipped" or file == "shard/words.arrow" else pytest.mark.exhaustive
    )
    for way in WAYS
    for file in FILES
]


@pytest.fixture(scope="session")
def made(readers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a cache of three shards, in which there is every kind of file, and the options that made it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "words.txt").write_text("cat\ndog\nthe\n")
    corpus = write_lines(folder / "corpus.txt", paragraphs(9))
    config = config_of(readers("bert", WINDOW).teacher.folder, corpus, folder / "cache", unit=3, dtype="int8")
    options = [*as_options(config), "--ase", str(folder / "words.txt"), "--word-states", "--state-layers", "0"]
    options += ["--occurrences", "8", "--masked", "2"]
    assert cli.run(options) == 0
    return folder, options


Outcomes = dict[str, tuple[Ran, object]]


@pytest.fixture
def read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], Outcomes]:
    """A way to have every command that reads caches read one; each gives what it said, and its result."""

    def outcomes(cache: Path) -> Outcomes:
        shutil.rmtree(tmp_path / "results", ignore_errors=True)
        results = {name: tmp_path / "results" / name for name in ("closed", "steps", "views", "merged", "sample")}
        train = ["train", "--cache", cache, "--min-count", "1", "--device", "cpu"]
        views = ["--objective", "views", "--state-layers", "0,last", "--masked", "0.5"]
        commands = {
            "closed": [*train, "--out", results["closed"], "--objective", "closed-form"],
            "steps": [*train, "--out", results["steps"], "--transform", "none", "--epochs", "1"],
            "views": [*train, "--out", results["views"], *views],
            "merged": ["cache", "merge", cache, "--out", results["merged"], "--copy"],
            "sample": ["cache", "sample", cache, "--out", results["sample"], "--first", "2", "--copy"],
            "info": ["cache", "info", cache],
        }
        found: Outcomes = {}
        for name, arguments in commands.items():
            ran = run_here(capsys, arguments)
            result: object = [line for line in ran.out.splitlines() if not line.startswith("size")]
            if name in ("closed", "steps", "views") and ran.status == 0:
                result = (results[name] / "vectors.safetensors").read_bytes()
            elif name != "info" and ran.status == 0:
                result = files_of(results[name])
            found[name] = ran, result
        return found

    return outcomes


@pytest.fixture(scope="session")
def expected() -> Outcomes:
    """What the commands gave for the whole cache, once that is known."""
    return {}


def is_clear(ran: Ran, *names: str) -> bool:
    """Return whether a command ended with one line that names one of these, and is no defect of x2static."""
    errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    return ran.status == 1 and len(errors) == 1 and "unexpected" not in ran.err and any(n in errors[0] for n in names)


@pytest.mark.parametrize(("file", "way"), CASES)
def test_damage_is_never_read_in_silence_and_is_mended_or_named(file, way, made, read, expected, tmp_path, capsys):
    folder, options = made
    if not expected:
        expected.update(read(folder / "cache"))
        assert all(ran.status == 0 for ran, _ in expected.values()), expected
    whole, cache = files_of(folder / "cache"), tmp_path / "cache"
    shutil.copytree(folder / "cache", cache)
    hurt, other = cache / file.replace("shard/", "shards/000001/"), cache / file.replace("shard/", "shards/000002/")
    WAYS[way](hurt, cache / OTHER.get(file, "zarr.json") if hurt == other else other)
    if files_of(cache) == whole:
        pytest.skip("the two are equal")
    again = Path(shutil.copytree(cache, tmp_path / "again"))
    names = (Path(file).name, "000001", "000002", "manifest.json")

    verified = run_here(capsys, ["cache", "verify", cache])
    assert verified.status == 1, verified
    assert any(name in verified.out + verified.err for name in names)
    for name, (ran, result) in read(cache).items():
        was, same = expected[name]
        said = name == "info" and any(line.startswith("damaged ") for line in ran.out.splitlines())
        assert result == same or said if ran.status == was.status else is_clear(ran, *names), (name, ran)

    mended = run_here(capsys, ["cache", "repair", cache, "--device", "cpu"])
    if mended.status == 0:
        assert files_of(cache) == whole
        assert run_here(capsys, ["cache", "verify", cache]).status == 0
    else:
        assert is_clear(mended, *names), mended
        assert "x2static encode" in mended.err, "how to get it"

    repeated = run_here(capsys, [str(again) if item == str(folder / "cache") else item for item in options])
    if repeated.status == 0:
        assert files_of(again) == whole
    else:
        assert is_clear(repeated, *names), repeated


@pytest.mark.parametrize("file", ["lexicon.arrow", "words.arrow"])
def test_an_arrow_file_with_a_wild_offset_ends_no_process_by_a_signal(file: str, made, tmp_path):
    cache = Path(shutil.copytree(made[0] / "cache", tmp_path / "cache"))
    hurt = cache / "shards" / "000001" / file
    data = bytearray(hurt.read_bytes())
    buffer = pa.py_buffer(bytes(data))
    column = pa.ipc.open_file(pa.BufferReader(buffer)).read_all()["word" if file == "lexicon.arrow" else "word_ids"]
    offsets = column.chunk(0).buffers()[1]
    data[offsets.address - buffer.address + 4 * 2 + 3] = 0x7F  # two billion bytes behind the last
    hurt.write_bytes(data)
    marker = hurt.with_name("shard.json")
    for known in (True, False):
        if not known:  # the hash agrees with the damage: what is written wrongly is looked through, too
            change(marker, {"files": read_sealed(marker)["files"] | {file: hash_file(hurt)}})
        for objective in ("closed-form", "negative-sampling"):
            arguments = [
                "train",
                "--cache",
                cache,
                "--out",
                tmp_path / f"{objective}-{known}",
                "--objective",
                objective,
            ]
            status, output = shared_forks().run(*map(str, arguments), "--min-count", "1", "--device", "cpu")
            assert status == 1, output
            assert file in output
            assert "unexpected" not in output


def test_leftovers_are_named_wherever_they_are_and_go_with_the_next_command(made, tmp_path, capsys):
    folder, options = made
    cache, whole = tmp_path / "cache", files_of(folder / "cache")
    places = ("", "plans", "spool", "baselines/mean", "shards", "shards/000001", "shards/000001/contexts")
    repeated = [str(cache) if item == str(folder / "cache") else item for item in options]
    for command in (["cache", "repair", cache], repeated):
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(folder / "cache", cache)
        for place in places:
            (cache / place).mkdir(exist_ok=True, parents=True)
            (cache / place / ".tmp-x-7").write_text("half")
        verified = run_here(capsys, ["cache", "verify", cache])
        assert (verified.status, verified.out.count("half-written")) == (1, len(places))
        assert run_here(capsys, command).status == 0
        assert files_of(cache) == whole
        assert not list(cache.rglob(".tmp-*"))


def test_a_lost_shard_of_a_changed_plan_is_never_encoded_as_other_text(made, tmp_path):
    cache = Path(shutil.copytree(made[0] / "cache", tmp_path / "cache"))
    plan, opened = cache / "plans" / "0.json", Cache.open(cache)
    unit = opened.plans()[0].units[1]
    for sealed in (True, False):
        if not sealed:  # as 0.1.0 wrote it
            plan.write_bytes(canonical_json(read_sealed(plan)))
        plan.write_text(plan.read_text().replace(f'"start": {unit.start},', f'"start": {unit.start + 7},'))
        shutil.rmtree(cache / "shards" / "000001")
        before = files_of(cache)
        with pytest.raises(
            X2StaticError, match=r"0\.json: (has changed|unit 1 does not begin where the one before ends)"
        ):
            repair(cache, None)
        assert files_of(cache) == before
        assert any("0.json" in problem for problem in opened.verify())
        shutil.copytree(made[0] / "cache", cache, dirs_exist_ok=True)


@pytest.mark.parametrize("name", ["../000002/words.arrow", "/etc/hostname", "a/../../x", "x\0y", "", "."])
def test_names_that_lead_out_of_a_shard_are_refused_by_all(name, made, read, tmp_path, capsys):
    cache = Path(shutil.copytree(made[0] / "cache", tmp_path / "cache"))
    marker = cache / "shards" / "000001" / "shard.json"
    change(marker, {"files": read_sealed(marker)["files"] | {name: "0" * 32}})
    for command, (ran, _) in read(cache).items():
        assert ran.status == 0 if command == "info" else is_clear(ran, "000001"), (command, ran)
    assert "leads out" in run_here(capsys, ["cache", "verify", cache]).out


def test_a_link_that_leads_out_of_a_shard_is_refused(made, read, tmp_path, capsys):
    cache = Path(shutil.copytree(made[0] / "cache", tmp_path / "cache"))
    file = cache / "shards" / "000001" / "words.arrow"
    file.rename(tmp_path / "outside")
    file.symlink_to(tmp_path / "outside")
    for command, (ran, _) in read(cache).items():
        assert ran.status == 0 if command == "info" else is_clear(ran, "000001"), (command, ran)
    assert "words.arrow is a link that leads out" in run_here(capsys, ["cache", "verify", cache]).out
