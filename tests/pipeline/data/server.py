"""A web server with TLS on the loopback interface, which can be slow, break off and lie; and a proxy to it."""

import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away: some are meant to."""


class Server:
    """A server; `answers` maps a path to what is done about it, `requests` lists the paths that were asked for."""

    def __init__(self, certificate: Path | None) -> None:
        """Listen on a port of its own; without a certificate, in the clear."""
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                outer.answers.get(self.path, sends(b"not here", status=404))(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'http' if certificate is None else 'https'}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop; what hangs is let go."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def hangs(self, body: bytes, after: int) -> Answer:
        """Announce a body, send the beginning of it, and then nothing until the server is closed."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            _head(handler, 200, len(body))
            handler.wfile.write(body[:after])
            handler.wfile.flush()
            self.closing.wait(30)

        return answer

    def drips(self, body: bytes, seconds: float) -> Answer:
        """Send a byte at a time."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            _head(handler, 200, len(body))
            for at in range(len(body)):
                handler.wfile.write(body[at : at + 1])
                handler.wfile.flush()
                if self.closing.wait(seconds):
                    return

        return answer


def sends(body: bytes, status: int = 200, announced: bool = True) -> Answer:
    """Send a body, with its length or without."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, status, len(body) if announced else None)
        handler.wfile.write(body)

    return answer


def breaks_off(body: bytes, after: int) -> Answer:
    """Announce a body and close the connection in the middle of it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, 200, len(body))
        handler.wfile.write(body[:after])

    return answer


def redirects(url: str) -> Answer:
    """Send the client elsewhere."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Answer the first request by the first, and so on."""
    left = list(answers)
    return lambda handler: left.pop(0)(handler)


def _head(handler: BaseHTTPRequestHandler, status: int, length: int | None) -> None:
    handler.send_response(status)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


class Proxy:
    """A proxy that leads every `CONNECT` to one port of this machine."""

    def __init__(self, port: int) -> None:
        """Listen on a port of its own."""
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                outer.asked.append(self.path)
                with socket.create_connection(("127.0.0.1", port)) as there:
                    self.send_response(200)
                    self.end_headers()
                    back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
                    back.start()
                    _pump(self.connection, there)
                    back.join()
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
