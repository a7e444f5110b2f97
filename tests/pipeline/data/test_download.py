"""What arrives is the pinned file, whole and by https, or there is one clear line."""

import socket
from dataclasses import replace
from hashlib import sha256
from unittest.mock import Mock

import pytest

from tests.pipeline.data.conftest import PAIRS, Server, in_turn, remote, sends
from x2static.durable.errors import X2StaticError
from x2static.pipeline.data import download as module
from x2static.pipeline.data.download import Unreachable, download

PAGE = b"<!DOCTYPE html><html><body>Please log in to the guest network</body></html>"
OTHER = PAIRS.replace(b"9.5", b"9.6")


@pytest.fixture
def file(server):
    server.answers["/a.tsv"] = sends(PAIRS)
    return remote(server, "a.tsv", PAIRS)


def test_the_pinned_file_arrives(server, file, tmp_path):
    for number, length in enumerate((-1, None)):
        server.answers["/a.tsv"] = sends(PAIRS, length=length)
        assert download(file, tmp_path / str(number)) == PAIRS
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (sends(PAGE), "looks like a web page .*<!DOCTYPE html>"),
        (sends(OTHER), f"{sha256(PAIRS).hexdigest()}.*{sha256(OTHER).hexdigest()}.*not the pinned file"),
        (sends(PAIRS + b"."), "expected 28 bytes .*got more"),
        (sends(b"no", status=404), "the server answered 404"),
    ],
)
def test_what_the_server_refuses_or_sends_instead_is_named_and_not_asked_for_again(
    server, file, tmp_path, answer, message
):
    server.answers["/a.tsv"] = answer
    with pytest.raises(X2StaticError, match=rf"a\.tsv: .*{message}.*--data DIR") as caught:
        download(file, tmp_path)
    assert not isinstance(caught.value, Unreachable)
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (sends(b"", status=503), "503 Service Unavailable"),
        (sends(b"", status=429), "429 Too Many Requests"),
        (sends(PAIRS[:9], length=len(PAIRS)), "9 bytes read, 19 more expected"),
    ],
)
def test_passing_trouble_is_outlived_and_logged(server, file, tmp_path, trouble, reason, caplog):
    server.answers["/a.tsv"] = in_turn(trouble, trouble, sends(PAIRS))
    assert download(file, tmp_path) == PAIRS
    assert len(caplog.messages) == 2
    assert all(file.url in line and reason in line for line in caplog.messages)
    server.answers["/a.tsv"] = trouble
    with pytest.raises(X2StaticError, match=reason):
        download(file, tmp_path / "other")


def test_a_server_that_hangs_or_drips_is_given_up(server, file, tmp_path, monkeypatch):
    server.answers["/a.tsv"] = sends(PAIRS[:5], length=len(PAIRS), stays=30)
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with pytest.raises(Unreachable, match="timed out"):  # and not cut: the server ends it in 30 seconds
        download(file, tmp_path)
    assert len(server.requests) == 3
    monkeypatch.setattr(module, "DEADLINE", 0.2)
    server.answers["/a.tsv"] = sends(PAIRS, pause=0.05)
    with pytest.raises(Unreachable, match=r"bytes in 0\.2 seconds"):
        download(file, tmp_path)


def test_an_unknown_host_is_asked_for_once_and_it_says_what_to_do(file, tmp_path, monkeypatch):
    look_up = Mock(side_effect=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(Unreachable, match=r"^\S+ cannot be reached \(.*not known\); run .*with a network.*gensim$"):
        download(replace(file, url="https://data.invalid/a.tsv"), tmp_path)
    look_up.assert_called_once()


def test_a_certificate_that_is_not_trusted_is_refused(server, file, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unreachable, match="certificate verify failed"):
        download(file, tmp_path)
    assert server.requests == []


def test_redirects_lead_to_https_alone(server, file, tmp_path):
    server.answers["/b.tsv"] = sends(b"", status=302, location=f"{server.url}/a.tsv")
    assert download(replace(file, url=f"{server.url}/b.tsv"), tmp_path / "one") == PAIRS
    with Server(certificate=None) as plain:
        plain.answers["/a.tsv"] = sends(PAIRS)
        server.answers["/b.tsv"] = sends(b"", status=302, location=f"{plain.url}/a.tsv")
        with pytest.raises(X2StaticError, match=r"redirects to http://.*not https"):
            download(replace(file, url=f"{server.url}/b.tsv"), tmp_path / "two")
        assert plain.requests == []


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
def test_other_schemes_are_not_even_tried(file, scheme, tmp_path):
    (tmp_path / "a.tsv").write_bytes(PAIRS)
    with pytest.raises(X2StaticError, match="is not https"):
        download(replace(file, url=f"{scheme}://{tmp_path}/a.tsv"), tmp_path / "out")
