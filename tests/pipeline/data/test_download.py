"""What arrives is the pinned file, whole and by https, or there is one clear line."""

import hashlib
import socket
import ssl
from dataclasses import replace

import pytest

from tests.pipeline.data.conftest import PAIRS, remote
from tests.pipeline.data.server import Server, breaks_off, in_turn, redirects, sends
from x2static.durable.errors import X2StaticError
from x2static.pipeline.data import download as module
from x2static.pipeline.data.download import Unreachable, download

PAGE = b"<!DOCTYPE html><html><body>Please log in to the guest network</body></html>"


@pytest.fixture
def file(server):
    server.answers["/a.tsv"] = sends(PAIRS)
    return remote(server, "a.tsv", PAIRS)


@pytest.mark.parametrize("announced", [True, False])
def test_the_pinned_file_arrives(server, file, trust, announced):
    server.answers["/a.tsv"] = sends(PAIRS, announced=announced)
    assert download(file, trust) == PAIRS


def test_an_error_page_is_refused_with_both_hashes_and_its_beginning(server, file, trust):
    server.answers["/a.tsv"] = sends(PAGE)
    with pytest.raises(X2StaticError, match=r"web page.*<!DOCTYPE html>") as caught:
        download(file, trust)
    said = str(caught.value)
    assert file.url in said
    assert file.sha256 in said
    assert f"got more, the first {len(PAGE)} of them with sha256 {hashlib.sha256(PAGE).hexdigest()}" in said
    assert "--data DIR" in said
    assert len(server.requests) == 1


def test_a_file_of_the_right_size_with_one_other_byte_is_refused(server, file, trust):
    server.answers["/a.tsv"] = sends(PAIRS.replace(b"9.5", b"9.6"))
    with pytest.raises(X2StaticError, match="it is not the pinned file, and nothing"):
        download(file, trust)


def test_a_shorter_file_is_refused_when_the_server_says_it_is_whole(server, file, trust):
    server.answers["/a.tsv"] = sends(PAIRS[:-1])
    with pytest.raises(X2StaticError, match=r"expected 28 bytes.*got 27 bytes"):
        download(file, trust)


def test_no_more_is_read_than_was_expected_of_a_file_without_an_end(server, file, trust):
    server.answers["/a.tsv"] = server.hangs(bytes(10_000_000), after=module.PIECE)
    with pytest.raises(X2StaticError, match=r"expected 28 bytes .* got more, the first"):
        download(file, trust)


@pytest.mark.parametrize("status", [403, 404])
def test_what_the_server_refuses_is_not_asked_for_again(server, file, trust, status):
    server.answers["/a.tsv"] = sends(b"no", status=status)
    with pytest.raises(X2StaticError, match=f"a.tsv: the server answered {status}") as caught:
        download(file, trust)
    assert not isinstance(caught.value, Unreachable)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (sends(b"", status=503), "503 Service Unavailable"),
        (sends(b"", status=429), "429 Too Many Requests"),
        (breaks_off(PAIRS, 9), "the connection ended after 9 of 28 bytes"),
    ],
)
def test_passing_trouble_is_outlived_and_logged(server, file, trust, trouble, told, monkeypatch):
    warnings = []
    monkeypatch.setattr(module.logger, "warning", lambda line, *values: warnings.append(line % values))
    server.answers["/a.tsv"] = in_turn(trouble, trouble, sends(PAIRS))
    assert download(file, trust) == PAIRS
    assert warnings == [f"{file.url}: the network failed ({told}); trying again in 0.01 seconds"] * 2


def test_a_server_that_stays_in_trouble_is_named_with_its_status(server, file, trust):
    server.answers["/a.tsv"] = sends(b"", status=503)
    with pytest.raises(X2StaticError, match="the server answered 503"):
        download(file, trust)
    assert len(server.requests) == 3


def test_a_body_that_always_breaks_off_is_told_with_its_bytes(server, file, trust):
    server.answers["/a.tsv"] = breaks_off(PAIRS, 9)
    with pytest.raises(Unreachable, match="ended after 9 of 28 bytes"):
        download(file, trust)


def test_a_silent_server_is_given_up(server, file, trust, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    server.answers["/a.tsv"] = server.hangs(PAIRS, after=5)
    with pytest.raises(Unreachable, match="timed out"):  # and not "ended after": the server ends it in 30 seconds
        download(file, trust)
    assert len(server.requests) == 3


def test_a_server_that_drips_is_given_up(server, file, trust, monkeypatch):
    monkeypatch.setattr(module, "DEADLINE", 0.2)
    server.answers["/a.tsv"] = server.drips(PAIRS, 0.05)
    with pytest.raises(Unreachable, match=r"bytes in 0\.2 seconds"):
        download(file, trust)


def test_a_refused_connection_says_what_to_do_without_a_network(file, trust):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable, match=r"no connection .*refused.*without a network.*--data DIR.*gensim"):
        download(replace(file, url=f"https://localhost:{port}/a.tsv"), trust)


def test_an_unknown_host_is_not_asked_for_again(file, trust, monkeypatch):
    asked = []

    def look_up(*_, **__):
        asked.append(1)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(Unreachable, match=r"no connection .*not known"):
        download(replace(file, url="https://data.invalid/a.tsv"), trust)
    assert len(asked) == 1


def test_a_certificate_that_is_not_trusted_is_refused(server, file):
    with pytest.raises(Unreachable, match="certificate verify failed"):
        download(file, ssl.create_default_context())
    assert server.requests == []


def test_redirects_lead_to_https_alone(server, file, trust):
    server.answers["/b.tsv"] = redirects(f"{server.url}/a.tsv")
    assert download(replace(file, url=f"{server.url}/b.tsv"), trust) == PAIRS
    plain = Server(certificate=None)
    try:
        plain.answers["/a.tsv"] = sends(PAIRS)
        server.answers["/b.tsv"] = redirects(f"{plain.url}/a.tsv")
        with pytest.raises(X2StaticError, match=r"redirects to http://.*not https"):
            download(replace(file, url=f"{server.url}/b.tsv"), trust)
        assert plain.requests == []
    finally:
        plain.close()


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
def test_other_schemes_are_not_even_tried(file, trust, scheme, tmp_path):
    (tmp_path / "a.tsv").write_bytes(PAIRS)
    with pytest.raises(X2StaticError, match=f"unknown url type: {scheme}"):
        download(replace(file, url=f"{scheme}://{tmp_path}/a.tsv"), trust)
