"""A web server with TLS on the loopback interface, which can be slow, break off and lie."""

import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A server; `answers` maps a path to what is done about it, `requests` lists the paths that were asked for."""

    def __init__(self, certificate: Path | None) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        outer = self

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True  # one that hangs is left behind

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Say nothing of clients that went away: some are meant to."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                outer.answers.get(self.path, sends(b"not here", status=404))(self)

            def log_message(self, *_: Any) -> None: ...

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'http' if certificate is None else 'https'}://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def sends(
    body: bytes, status: int = 200, length: int | None = -1, pause: float = 0, stays: float = 0, location: str = ""
) -> Answer:
    """Send a body whose announced length is another (-1: its own, None: none), slowly, or without closing at its end.

    `pause` are the seconds behind each byte, `stays` those before the connection is closed.
    """

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length < 0 else length))
        if location:
            handler.send_header("Location", location)
        handler.end_headers()
        for piece in [body[at : at + 1] for at in range(len(body))] if pause else [body]:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)
        time.sleep(stays)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Answer the first request by the first, and so on."""
    left = list(answers)
    return lambda handler: left.pop(0)(handler)
