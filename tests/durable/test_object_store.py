"""An object store holds what it was given, whole, whatever fails on the way."""

from collections.abc import Iterator

import pytest

from tests.object_store_server import Server, running_server
from x2static.durable.object_store import open_store


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    return server.new_bucket(monkeypatch)


def test_an_object_is_read_as_it_was_written_and_gone_when_it_was_removed(s3: str) -> None:
    store = open_store(f"{s3}/a/b")
    store.write("one/x", b"first")
    store.write("one/x", b"second")
    assert store.read("one/x") == b"second"
    assert open_store(s3).read("a/b/one/x") == b"second"
    store.remove(["one/x", "one/y"])
    with pytest.raises(FileNotFoundError, match="s3://.*/a/b/one/x"):
        store.read("one/x")
