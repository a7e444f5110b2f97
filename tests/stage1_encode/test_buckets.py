"""Caches and runs in a bucket: through views on several machines, over a network that fails, killed and gone on."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.object_store_server import Server, running_server
from tests.stage1_encode.runs import config_of, files_of, paragraphs, write_lines
from x2static.durable.object_store import open_store
from x2static.pipeline.cli import run
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.mirror import CacheView, url_of, view_of, with_urls
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.worker import Job, Staged, Tell, open_worker

UNITS = 4
FAULTS = ("500", "503", "409", "cut-request", "lost-answer", "cut-answer")
TRAIN = ("--objective", "negative-sampling", "--init", "closed-form", "--min-count", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


class Bucket:
    """A bucket, and machines that have views of it."""

    def __init__(self, url: str, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.url, self.cache, self._patch, self._folder = url, f"{url}/caches/mine", patch, folder
        self.on("here")

    def on(self, machine: str) -> Path:
        """Go to a machine, which has its own cache folder; return where the cache is shown there."""
        self._patch.setenv("XDG_CACHE_HOME", str(self._folder / machine))
        return view_of(self.cache)

    def environment(self, machine: str) -> dict[str, Any]:
        """Return the hook for a fork that is on another machine."""
        values = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        values["XDG_CACHE_HOME"] = str(self._folder / machine)
        return {"hooks": {"tests.stage1_encode.runs:set_environment": [values]}}


@pytest.fixture
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    return Bucket(server.new_bucket(monkeypatch), monkeypatch, tmp_path / "machines")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "corpus.txt", paragraphs(12))


def options(teacher: Path, corpus: Path, cache: Path | str) -> list[str]:
    """Return the arguments of an encode of four units."""
    settings = "--precision float32 --device cpu --unit 3 --no-word-states"
    return ["encode", "--model", str(teacher), "--corpus", str(corpus), "--cache", str(cache), *settings.split()]


def opened(bucket: Bucket, machine: str) -> Cache:
    """Return the bucket's cache as a machine that has seen nothing of it finds it."""
    view = bucket.on(machine)
    CacheView.of(view).pull()
    return Cache.open(view)


def assert_equal(bucket: Bucket, local: Path, machine: str = "fresh") -> Cache:
    """Fail unless a machine with an empty view finds the cache that is in a local folder, every hash right."""
    ours, theirs = opened(bucket, machine), Cache.open(local)
    assert ours.manifest.fingerprint == theirs.manifest.fingerprint
    assert content_of(ours.shards()) == content_of(theirs.shards())
    assert [shard.marker for shard in ours.shards()] == [shard.marker for shard in theirs.shards()]
    assert ours.verify() == []
    return ours


@pytest.fixture
def local(teacher: Path, corpus: Path, tmp_path: Path) -> Path:
    """The same cache in a folder."""
    assert run(options(teacher, corpus, tmp_path / "local")) == 0
    return tmp_path / "local"


@pytest.mark.parametrize("rate", [pytest.param(0.0, marks=pytest.mark.exhaustive), 0.05])
def test_a_cache_in_a_bucket_is_that_of_a_folder_also_where_one_request_in_twenty_fails(
    server: Server, bucket: Bucket, teacher: Path, corpus: Path, local: Path, tmp_path: Path, rate: float
) -> None:
    server.fail(rate, kinds=FAULTS, seed=3)
    assert run(options(teacher, corpus, bucket.cache)) == 0
    assert_equal(bucket, local)
    bucket.on("elsewhere")
    assert run(["train", "--cache", bucket.cache, "--out", str(tmp_path / "ours"), *TRAIN]) == 0
    assert run(["train", "--cache", str(local), "--out", str(tmp_path / "theirs"), *TRAIN]) == 0
    for file in ("vectors.safetensors", "vocabulary.arrow"):
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes()
    server.fail(0.0)
    assert len(open_store(bucket.cache).objects("shards")) == UNITS
    assert len({key.split("/")[2] for key in open_store(bucket.cache).objects("data")}) == UNITS
    assert bool(server.faults) == bool(rate)


def test_opening_fetches_no_data_and_training_whole_files_once(
    server: Server, bucket: Bucket, teacher: Path, corpus: Path, tmp_path: Path
) -> None:
    assert run(options(teacher, corpus, bucket.cache)) == 0
    cache = opened(bucket, "fresh")
    assert [len(files_of(shard.folder)) for shard in cache.shards()] == [1] * UNITS
    assert cache.missing() == []
    server.requests.clear()
    opened(bucket, "fresh")
    assert server.requests == {"GET": 2}  # the lists of small files and of commits
    assert run(["train", "--cache", bucket.cache, "--out", str(tmp_path / "run"), *TRAIN, "--epochs", "3"]) == 0
    fetched = sum(len(shard.marker.files) - ("zarr.json" in shard.marker.files) for shard in cache.shards())
    assert server.requests["GET"] == 2 + 2 + fetched


POINTS = ["CacheView.begin", "CacheView.publish", "CacheView.commit", "CacheView._take_commit"]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.exhaustive
def test_an_encode_that_was_killed_goes_on_on_another_machine(
    bucket: Bucket, forks: Any, teacher: Path, corpus: Path, local: Path, point: str, moment: str, n: int
) -> None:
    kill = (f"x2static.schemas.mirror:{point}", moment, n)
    arguments = options(teacher, corpus, bucket.cache)
    status, _ = forks.run(*arguments, kill=kill, **bucket.environment("first"))
    assert status == (0 if (point, n) == ("CacheView.begin", 2) else -9)
    for machine in ("first", "second"):  # where it was killed there is a view, too
        other = Bucket(bucket.url, bucket._patch, bucket._folder)
        other.on(machine)
        assert run(arguments) == 0
    assert_equal(bucket, local)


def test_an_encode_that_was_killed_when_a_unit_was_uploaded_goes_on_on_another_machine(
    bucket: Bucket, forks: Any, teacher: Path, corpus: Path, local: Path
) -> None:
    kill = ("x2static.schemas.mirror:CacheView.commit", "before", 3)
    arguments = options(teacher, corpus, bucket.cache)
    assert forks.run(*arguments, kill=kill, **bucket.environment("first"))[0] == -9
    assert len(opened(bucket, "second").shards()) == 2
    assert "(2 there before)" in forks.succeed(*arguments, **bucket.environment("third"))
    assert_equal(bucket, local)


@pytest.mark.parametrize("moment", ["begin", "first unit"])
def test_two_drivers_of_one_cache_do_each_other_no_harm(
    bucket: Bucket, forks: Any, teacher: Path, corpus: Path, local: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    arguments, others = options(teacher, corpus, bucket.cache), []

    def another() -> None:
        if not others:
            others.append(forks.succeed(*arguments, **bucket.environment("other")))

    name = "begin" if moment == "begin" else "commit"
    method = getattr(CacheView, name)

    def after_another(view: CacheView, *values: Any) -> Any:
        another()
        return method(view, *values)

    monkeypatch.setattr(CacheView, name, after_another)
    assert run(arguments) == 0
    assert len(others) == 1
    assert_equal(bucket, local)
    store = open_store(bucket.cache)
    assert len({key.split("/")[2] for key in store.objects("data")}) == UNITS  # the later attempts' are gone


@pytest.mark.exhaustive
def test_a_pool_that_is_added_is_committed_with_what_another_driver_has_added_meanwhile(
    bucket: Bucket, forks: Any, teacher: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments, method, others = options(teacher, corpus, bucket.cache), CacheView.commit, []
    assert run(arguments) == 0
    words = write_lines(tmp_path / "words.txt", ["it", "began"])

    def after_another(view: CacheView, *values: Any) -> Any:
        if not others:
            with_sums = (*arguments, "--ase", str(words))
            others.append(forks.succeed(*with_sums, **bucket.environment("other")))
        return method(view, *values)

    monkeypatch.setattr(CacheView, "commit", after_another)
    assert run([*arguments[:-1], "--word-states"]) == 0
    cache = opened(bucket, "fresh")
    assert [sorted(shard.marker.pools) for shard in cache.shards()] == [["word_states", "word_sums"]] * UNITS
    assert cache.verify() == []


def test_an_object_that_is_damaged_is_never_read_as_data_and_a_damaged_view_mends_itself(
    bucket: Bucket, teacher: Path, corpus: Path, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(options(teacher, corpus, bucket.cache)) == 0
    cache = assert_equal(bucket, local)
    file = cache.shards()[1].folder / "words.arrow"
    file.write_bytes(file.read_bytes()[:-8])
    assert_equal(bucket, local)
    store = open_store(bucket.cache)
    key = next(key for key in store.objects("data/000001") if key.endswith("words.arrow"))
    store.write(key, store.read(key)[:-8])
    bucket.on("elsewhere")
    assert run(["train", "--cache", bucket.cache, "--out", str(tmp_path / "run"), *TRAIN]) == 1
    assert f"{bucket.cache}/shards/000001: words.arrow has changed" in capsys.readouterr().err
    assert run(["cache", "verify", bucket.cache]) == 1
    assert run(["cache", "repair", bucket.cache, "--device", "cpu"]) == 0
    assert "4 shards, damaged before: 1, 1 encoded" in capsys.readouterr().out
    assert_equal(bucket, local, "another")


@pytest.mark.exhaustive
def test_a_view_follows_a_bucket_that_was_emptied(bucket: Bucket, teacher: Path, corpus: Path, local: Path) -> None:
    assert run(options(teacher, corpus, bucket.cache)) == 0
    store = open_store(bucket.cache)
    store.remove(list(store.objects("shards"))[:1])
    assert run(options(teacher, corpus, bucket.cache)) == 0
    assert_equal(bucket, local)
    store.remove(list(store.objects("")))
    bucket.on("here")
    assert run(options(teacher, corpus, bucket.cache)) == 0
    assert_equal(bucket, local, "another")


def test_no_cache_begins_where_one_create_writes_over_another(
    server: Server, bucket: Bucket, teacher: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.ignores_conditions = True
    assert run(options(teacher, corpus, bucket.cache)) == 1
    assert f"{bucket.cache}: this store takes a second object where" in capsys.readouterr().err.splitlines()[-1]
    assert open_store(bucket.cache).objects() == {}


def test_a_network_that_is_down_in_the_middle_ends_in_one_line_and_loses_nothing(
    server: Server,
    bucket: Bucket,
    teacher: Path,
    corpus: Path,
    local: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("x2static.durable.object_store.ATTEMPTS", 1)
    method, calls = CacheView.commit, []

    def commit(view: CacheView, *values: Any) -> Any:
        calls.append(values)
        server.fail(float(len(calls) == 3), kinds=("500",))
        return method(view, *values)

    monkeypatch.setattr(CacheView, "commit", commit)
    assert run(options(teacher, corpus, bucket.cache)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "2 of 4 units saved" in error and "same command" in error
    server.fail(0.0)
    bucket.on("elsewhere")
    assert run(options(teacher, corpus, bucket.cache)) == 0
    assert_equal(bucket, local)


def test_a_run_in_a_bucket_goes_on_on_another_machine(
    bucket: Bucket, forks: Any, teacher: Path, corpus: Path, local: Path, tmp_path: Path
) -> None:
    arguments = ["train", "--cache", str(local), *TRAIN, "--epochs", "3", "--out"]
    assert run([*arguments, str(tmp_path / "run")]) == 0
    kill = ("x2static.stage2_train.checkpoint:RunFolder.save", "after", 2)
    assert forks.run(*arguments, f"{bucket.url}/run", kill=kill, **bucket.environment("first"))[0] == -9
    output = forks.succeed(*arguments, f"{bucket.url}/run", **bucket.environment("second"))
    assert "going on at epoch 3" in output
    store = open_store(f"{bucket.url}/run")
    for file in ("vectors.safetensors", "vocabulary.arrow"):
        assert store.read(file) == (tmp_path / "run" / file).read_bytes()
    assert len({key.split("/")[1] for key in store.objects("checkpoints")}) == 2
    words = WordVectors.load(tmp_path / "run").words[:4]
    write_lines(tmp_path / "pairs.tsv", [f"{words[0]}\t{word}\t{score}" for score, word in enumerate(words[1:])])
    bucket.on("third")
    assert run(["evaluate", f"{bucket.url}/run", "--data", str(tmp_path / "pairs.tsv")]) == 0
    assert not (view_of(f"{bucket.url}/run") / "checkpoints").exists()


def test_places_and_urls_of_views(bucket: Bucket) -> None:
    for url in ("s3://bucket", "s3://bucket/a", "gs://b-1/a/b c", "az://bucket/a%2Fb"):
        view = view_of(url)
        assert (url_of(view), url_of(view / "shards/000000"), view.name) == (url, url, "view")
    assert url_of(Path("caches/view")) is None
    assert with_urls(f"error: {view_of('s3://bucket/a')}/shards: no") == "error: s3://bucket/a/shards: no"


def test_a_corpus_in_a_bucket_is_fetched_once_and_known_again_on_another_machine(
    server: Server, bucket: Bucket, teacher: Path, corpus: Path, local: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(bucket.url)
    store.upload(corpus, "texts/corpus.txt")
    store.write("texts/more/b.txt", b"It was another text. It ended here.\n")
    alone, folder = f"{bucket.url}/texts/corpus.txt", f"{bucket.url}/texts"
    arguments = options(teacher, Path("CORPUS"), bucket.cache)
    place = arguments.index("CORPUS")
    for machine, there in (("first", 0), ("first", UNITS), ("second", UNITS)):
        bucket.on(machine)
        arguments[place] = alone
        server.requests.clear()
        assert run(arguments) == 0
        assert f"({there} there before)" in capsys.readouterr().out
    ours = assert_equal(bucket, local, "third")
    (plan,) = ours.plans()
    assert (plan.corpus, plan.seen["path"]) == (alone, alone)
    arguments[place], arguments[place + 2] = folder, f"{bucket.url}/caches/other"
    assert run(arguments) == 0
    cache = Cache.open(view_of(f"{bucket.url}/caches/other"))
    assert list(cache.plans()[0].identity["files"]) == ["corpus.txt", "more/b.txt"]
    store.write("texts/corpus.txt", b"All is new. Nothing is as it was.\n")
    arguments[place], arguments[place + 2] = alone, bucket.cache
    assert run(arguments) == 1
    assert "made from something else" in capsys.readouterr().err
    arguments[place] = f"{bucket.url}/texts/none.txt"
    assert run(arguments) == 1
    assert "nothing is there" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_several_encoders_stage_for_a_bucket(bucket: Bucket, teacher: Path, corpus: Path, local: Path) -> None:
    assert run([*options(teacher, corpus, bucket.cache), "--encoders", "2"]) == 0
    assert_equal(bucket, local)


def test_a_worker_of_another_machine_publishes_and_the_driver_commits_what_it_has_not(
    bucket: Bucket, teacher: Path, corpus: Path, local: Path
) -> None:
    config = config_of(teacher, corpus, bucket.on("driver"), unit=3, min_sentences=None, min_characters=None)

    def elsewhere(_: object, jobs: Iterable[Job], tell: Tell) -> Generator[Staged, None, None]:
        bucket.on("worker")
        with open_worker(config, []) as worker:
            for staged in worker.run(jobs, tell):
                bucket.on("driver")
                yield staged
                bucket.on("worker")

    encode(config, engine=elsewhere)
    for machine in ("driver", "worker"):
        files = files_of(bucket.on(machine))
        assert not [name for name in files if "contexts" in name or ".tmp-" in name]
    bucket.on("driver")
    assert_equal(bucket, local)


@pytest.mark.exhaustive
def test_a_ray_cluster_encodes_into_a_bucket_whose_requests_fail_while_its_driver_dies(
    server: Server, bucket: Bucket, teacher: Path, corpus: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else workers starve where other tests run
    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(2):
            cluster.add_node(**node)
        server.fail(0.05, kinds=FAULTS, seed=5)
        arguments = [*options(teacher, corpus, bucket.cache), "--encoders", "2", "--engine", "ray"]
        arguments += ["--address", cluster.address]
        kill = ["-m", "tests.killing", "x2static.schemas.mirror:CacheView.commit", "before", "3"]
        assert subprocess.run([sys.executable, *kill, *arguments], cwd=ROOT, check=False).returncode == -9
        bucket.on("another driver")
        subprocess.run([sys.executable, "-m", "x2static", *arguments], cwd=ROOT, check=True)
    finally:
        cluster.shutdown()
    server.fail(0.0)
    assert_equal(bucket, local)
    assert len(open_store(bucket.cache).objects("shards")) == UNITS


@pytest.mark.exhaustive
def test_masked_contexts_are_those_of_a_folder(bucket: Bucket, teacher: Path, corpus: Path, local: Path) -> None:
    assert run(options(teacher, corpus, bucket.cache)) == 0
    bucket.on("elsewhere")
    for cache in (bucket.cache, str(local)):
        command = ["cache", "masked", cache, "--occurrences", "2", "--min-count", "2", "--device", "cpu"]
        assert run(command) == run(command) == 0
    assert all(len(shard.pool("masked").files) > 2 for shard in assert_equal(bucket, local).shards())
