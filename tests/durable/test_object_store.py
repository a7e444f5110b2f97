"""An object store holds what it was given, whole, whatever fails on the way; and says in one line what is wrong."""

import copy
import logging
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from tests.object_store_server import KINDS, Server, running_server
from x2static.durable import object_store, store_settings
from x2static.durable.errors import X2StaticError
from x2static.durable.object_store import ObjectStore, is_url, open_store

SECRETS = ("test-key", "test-secret", "Signature", "file-secret")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, and no patience: pauses and time-outs are short."""
    monkeypatch.setattr(object_store, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(object_store, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(store_settings, "REQUEST_RETRIES", 1)
    monkeypatch.setattr(store_settings, "REQUEST_TIMEOUT", timedelta(seconds=1))
    monkeypatch.setattr(object_store, "ATTEMPTS", 8)
    return server.new_bucket(monkeypatch)


def large(size: int = 11 << 20) -> bytes:
    """Return more than travels in one part."""
    return random.Random(size).randbytes(size)


def line_of(error: pytest.ExceptionInfo[X2StaticError]) -> str:
    """Return a message, which is one line and holds no secret."""
    line = str(error.value)
    assert "\n" not in line
    assert not any(secret in line for secret in SECRETS)
    context = error.value.__context__  # a traceback would show obstore's own message
    assert context is None or error.value.__suppress_context__
    return line


def test_an_object_is_read_as_it_was_written_and_gone_when_it_was_removed(s3: str) -> None:
    store = open_store(f"{s3}/a/b")
    store.write("one/x", b"first")
    store.write("one/x", b"second")
    assert store.read("one/x") == b"second"
    assert open_store(s3).read("a/b/one/x") == b"second"
    store.remove(["one/x", "one/y"])
    with pytest.raises(FileNotFoundError, match=r"s3://.*/a/b/one/x"):
        store.read("one/x")


def test_of_many_who_create_one_object_exactly_one_does(s3: str) -> None:
    store = open_store(s3)
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda number: store.create("marker", f"attempt {number}".encode()), range(8)))
    assert sum(created) == 1
    assert store.read("marker") == f"attempt {created.index(True)}".encode()


def test_an_object_is_replaced_only_in_the_version_that_was_read(s3: str) -> None:
    store = open_store(s3)
    store.write("x", b"first")
    data, tag = store.read_tagged("x")
    assert data == b"first"
    assert store.replace("x", b"second", tag)
    assert not store.replace("x", b"third", tag)
    assert not store.replace("absent", b"third", tag)
    assert store.read("x") == b"second"
    assert list(store.objects()) == ["x"]


@pytest.mark.parametrize("size", [0, 1, 8 << 20, (8 << 20) + 1, 20 << 20])
def test_a_file_of_any_size_comes_back_as_it_went(s3: str, tmp_path: Path, size: int) -> None:
    store = open_store(s3)
    (tmp_path / "file").write_bytes(large(size))
    store.upload(tmp_path / "file", "folder/file")
    assert store.objects("folder")["folder/file"][0] == size
    store.download("folder/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_all_pages_of_a_listing_are_read_and_folders_are_told_apart(server: Server, s3: str) -> None:
    store = open_store(f"{s3}/cache")
    keys = [f"shards/{number:05}/{name}" for number in range(12) for name in ("marker", "words")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.write(key, key.encode()), [*keys, "shards-not/x", "manifest"]))
    server.page = 5
    server.requests.clear()
    assert sorted(store.objects("shards")) == keys
    assert server.requests["GET"] == 5
    assert store.folders("shards") == [f"shards/{number:05}" for number in range(12)]
    assert store.folders() == ["shards", "shards-not"]
    assert store.objects("shards/00003")["shards/00003/words"][0] == len("shards/00003/words")
    assert store.objects("nothing") == {}
    store.remove(store.objects("shards"))
    assert sorted(store.objects()) == ["manifest", "shards-not/x"]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.exhaustive)])
def test_nothing_is_lost_or_half_while_one_request_in_five_fails(
    server: Server, s3: str, tmp_path: Path, seed: int
) -> None:
    (tmp_path / "large").write_bytes(large())
    server.fail(0.2, seed=seed)
    store = open_store(s3)

    def work(number: int) -> bool:
        data = f"{number}".encode() * 1000
        store.write(f"{number}/small", data)
        assert store.read(f"{number}/small") == data
        store.upload(tmp_path / "large", f"{number}/large")
        store.download(f"{number}/large", tmp_path / f"{number}")
        assert (tmp_path / f"{number}").read_bytes() == (tmp_path / "large").read_bytes()
        assert len(store.objects(f"{number}")) == 2
        return store.create(f"marker-{number // 2}", data)

    with ThreadPoolExecutor(4) as pool:
        created = list(pool.map(work, range(8)))
    assert [sum(created[pair : pair + 2]) for pair in range(0, 8, 2)] == [1] * 4
    server.fail(0.0)
    for number in range(4):
        assert store.read(f"marker-{number}") == f"{2 * number + created[2 * number + 1]}".encode() * 1000
    assert len(store.objects()) == 20
    assert sum(server.faults.values()) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_create_is_known_as_ours_however_the_request_failed(server: Server, s3: str, kind: str) -> None:
    store = open_store(s3)
    server.fail_next("PUT", kind, kind)
    assert store.create("marker", b"ours")
    assert server.faults[kind] == 2
    server.fail_next("PUT", kind)
    assert not store.create("marker", b"theirs")
    tag = store.read_tagged("marker")[1]
    server.fail_next("PUT", kind, kind)
    assert store.replace("marker", b"ours, again", tag)
    assert store.read("marker") == b"ours, again"


@pytest.mark.parametrize("kind", ["500", "503", "slow", "cut-request", "lost-answer", "cut-answer"])
def test_a_file_travels_whole_though_its_parts_are_cut(server: Server, s3: str, tmp_path: Path, kind: str) -> None:
    store = open_store(s3)
    (tmp_path / "file").write_bytes(large())
    server.fail_next("PUT", kind)
    server.fail_next("POST", kind, kind)
    server.fail_next("GET", kind)
    store.upload(tmp_path / "file", "file")
    store.download("file", tmp_path / "back")
    assert server.faults[kind] == 4
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_a_store_that_stays_away_ends_the_work_with_a_line_and_nothing_half(
    server: Server, s3: str, tmp_path: Path
) -> None:
    store = open_store(s3)
    (tmp_path / "file").write_bytes(large())
    store.upload(tmp_path / "file", "file")
    for kind in ("503", "cut-answer"):
        server.fail(1.0, [kind])
        with pytest.raises(
            X2StaticError, match=r"file: could not be read in 8 attempts .*same command goes on"
        ) as error:
            store.download("file", tmp_path / "back")
        line_of(error)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    server.fail(1.0, ["cut-request"])
    with pytest.raises(X2StaticError, match=r"other: could not be written in 8 attempts \(.*\); .*goes on") as error:
        store.upload(tmp_path / "file", "other")
    line_of(error)
    server.fail(0.0)
    server.fail_next("PUT", *["503"] * 100)
    with pytest.raises(X2StaticError, match=r"other: could not be written in 8 attempts \(503"):
        store.upload(tmp_path / "file", "other")
    assert list(store.objects()) == ["file"]
    assert b"<UploadId>" not in server.ask("GET", f"/{s3.removeprefix('s3://')}?uploads")  # parts would cost for ever


def test_a_file_is_never_put_together_from_two_versions(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = open_store(s3), open_store(s3)
    (tmp_path / "file").write_bytes(large())
    store.upload(tmp_path / "file", "file")
    persist, reads = store._persist, []

    def change_after_the_first(done: str, key: str, request: object) -> object:
        reads.append(key)
        if len(reads) == 2:
            other.write("file", large(12 << 20))
        return persist(done, key, request)

    monkeypatch.setattr(store, "_persist", change_after_the_first)
    with pytest.raises(X2StaticError, match="file: changed while it was read; run the same again") as error:
        store.download("file", tmp_path / "back")
    line_of(error)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_store_that_takes_a_second_object_for_the_first_is_refused(server: Server, s3: str) -> None:
    store = open_store(s3)
    store.check_creates("attempts/1")
    server.ignores_conditions = True
    with pytest.raises(X2StaticError, match="ignores If-None-Match") as error:
        store.check_creates("attempts/2")
    line_of(error)
    assert store.objects() == {}


def test_what_is_wrong_with_a_store_is_said_in_a_line_when_it_is_opened(
    server: Server, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(X2StaticError, match="s3://nowhere: there is no such bucket at 127") as error:
        open_store("s3://nowhere/cache")
    line_of(error)
    for answer, line in {
        "403-AccessDenied": r"the store refuses \(403 Forbidden, AccessDenied\); it takes credentials that may list",
        "403-RequestTimeTooSkewed": r"clock differs from the store's, set it; then the same command goes on",
        "400-ExpiredToken": "the credentials have expired, renew them",
        "301-PermanentRedirect": r"another region .*; set AWS_REGION",
        "503-SlowDown": "s3://[^/]*: could not be listed in 8 attempts",
    }.items():
        server.fail(1.0, [answer])
        with pytest.raises(X2StaticError, match=line) as error:
            open_store(s3)
        line_of(error)
    server.fail(0.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(X2StaticError, match=r"no answer at 127.0.0.1:1 \(connection refused\)") as error:
        open_store(s3)
    line_of(error)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:test-secret@no.such.host.invalid")
    with pytest.raises(X2StaticError, match="http without encryption is for loopback") as error:
        open_store(s3)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with pytest.raises(X2StaticError, match=r"no answer at no.such.host.invalid \(no such host\)") as error:
        open_store(s3)
    line_of(error)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises(X2StaticError, match="AWS_ENDPOINT_URL: not the address") as error:
        open_store(s3)
    monkeypatch.setattr(object_store, "find_spec", lambda name: None)
    with pytest.raises(X2StaticError, match="extra s3"):
        open_store(s3)


def test_a_file_that_is_absent_is_not_asked_of_the_store(server: Server, s3: str, tmp_path: Path) -> None:
    store = open_store(s3)
    server.requests.clear()
    with pytest.raises(FileNotFoundError):
        store.upload(tmp_path / "absent", "file")
    assert not server.requests


def test_a_bucket_that_vanishes_is_not_an_object_that_is_absent(server: Server, s3: str) -> None:
    store = open_store(s3)
    server.ask("DELETE", f"/{s3.removeprefix('s3://')}")
    with pytest.raises(X2StaticError, match="no such bucket"):
        store.read("marker")


def test_no_credentials_are_one_line(s3: str, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(X2StaticError, match=r"no credentials.*set AWS_ACCESS_KEY_ID") as error:
        open_store(s3)
    line_of(error)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"{server.endpoint}/absent")
    with pytest.raises(X2StaticError, match=r"no credentials.*set AWS_ACCESS_KEY_ID") as error:
        open_store(s3)
    line_of(error)


def test_credentials_region_and_endpoint_are_read_from_files_after_the_environment(
    server: Server, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[profile lab]\nregion = eu-west-3\nendpoint_url = {server.endpoint}\n")
    keys = "aws_access_key_id = key-{0}\naws_secret_access_key = file-secret%\n"
    (tmp_path / "credentials").write_text("".join(f"[{name}]\n{keys.format(name)}" for name in ("default", "lab")))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    open_store(s3)
    assert "Credential=test-key/" in server.authorization
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    open_store(s3)
    assert "Credential=key-lab/" in server.authorization
    assert "/us-east-1/" in server.authorization
    for variable in ("AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(variable)
    open_store(s3)
    assert "/eu-west-3/" in server.authorization
    monkeypatch.setenv("AWS_PROFILE", "typo")
    with pytest.raises(X2StaticError, match="AWS_PROFILE=typo: no such profile") as error:
        open_store(s3)
    (tmp_path / "config").write_text("[profile lab]\nsso_session = lab\n")
    (tmp_path / "credentials").write_text("")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(X2StaticError, match="aws configure export-credentials"):
        open_store(s3)
    (tmp_path / "credentials").write_text("file-secret\n")
    with pytest.raises(X2StaticError, match="credentials: cannot be read") as error:
        open_store(s3)
    line_of(error)


@pytest.mark.parametrize("url", ["gs://bucket/cache", "az://container/cache"])
def test_other_stores_without_credentials_are_refused_in_a_line(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in [name for name in os.environ if name.startswith(("GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(variable)
    where = "GOOGLE_APPLICATION" if url.startswith("gs") else "AZURE_STORAGE_ACCOUNT"
    with pytest.raises(X2StaticError, match=f"{url}: .*set {where}") as error:
        open_store(url)
    line_of(error)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent"))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "test-secret!")
    with pytest.raises(X2StaticError, match=f"{url}: .*set {where}") as error:
        open_store(url)
    line_of(error)


def test_a_store_travels_to_workers_without_its_credentials_and_logs_none(
    server: Server, s3: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(s3)
    assert store.__reduce__() == (ObjectStore, (s3,))
    copy.copy(store).write("x", b"data")
    assert store.read("x") == b"data"
    server.fail_next("GET", *["503"] * 4)
    with caplog.at_level(logging.DEBUG):
        store.read("x")
    assert "503" in caplog.text
    assert not any(secret in caplog.text + repr(store) for secret in SECRETS)


def test_urls_of_stores_are_told_from_folders_and_from_mistakes() -> None:
    for folder in ("cache", "/data/cache", "C:\\cache", "s3:/bucket", Path("a/b")):
        assert not is_url(folder)
    for url in ("s3://bucket", "s3://bucket/", "gs://bucket/a/b/", "az://container/a"):
        assert is_url(url)
    for mistake, why in {
        "http://host/cache": "neither a folder nor an object store",
        "s3://": "names no bucket",
        "s3://a bucket/cache": "names no bucket",
        "s3:///path": "names no bucket",
        "s3://bucket/a//b": "empty part",
        "s3://bucket/../b": "empty part",
        "s3://test-key:test-secret@bucket/a": "credentials",
        "az://container/a?sig=test-secret": "credentials",
    }.items():
        with pytest.raises(X2StaticError, match=why) as error:
            is_url(mistake)
        assert "test-" not in str(error.value)
