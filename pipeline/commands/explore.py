"""`x2static explore`: a local web page to look at word vectors."""

import ipaddress
import logging
import socket
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import require
from x2static.pipeline.options import FOLDER, TEXT, UNKNOWN, VECTORS, Command, common, finish, say
from x2static.pipeline.tables import short_names

if TYPE_CHECKING:  # `explore --help` needs none of it
    from starlette.applications import Starlette
    from uvicorn import Config, Server

PORT = 8000  # tried where none is asked for
SECONDS_TO_FINISH = 2  # that answers have when it is ended

logger = logging.getLogger(__name__)


@click.command(cls=Command, epilog="Example: x2static explore runs/mine runs/other --open")
@click.argument("vectors", type=VECTORS, nargs=-1, required=True)
@click.option("--host", type=TEXT, default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), help=f"Port  [default: {PORT}, or a free one where it is taken]")
@click.option("--open/--no-browser", "opened", default=False, help="Open the page in a browser, or do not (default).")
@UNKNOWN
@click.option("--data", type=FOLDER, help="Word pairs of the scores, as for x2static evaluate.")
@common
def explore(context: click.Context, /, vectors: tuple[Path, ...], **values: Any) -> None:
    """Look at word vectors in a browser: neighbours, analogies, sentences, a map; several sets side by side.

    The page is served to this machine alone until Ctrl-C, unless --host says otherwise.
    """
    require("explore")
    with listening(values["host"], values["port"]) as bound:  # first: that a port is taken is known at once
        address, port = bound.getsockname()[:2]
        url = f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
        loopback = ipaddress.ip_address(address.partition("%")[0]).is_loopback
        hosts = {"localhost", "127.0.0.1", "::1", address, values["host"].lower()} if loopback else None
        server, words = _server(vectors, values, hosts)
        if not loopback:
            logger.warning("whoever reaches %s can look at these vectors; without --host only this machine can", url)
        bound.listen()
        say(context, f"{url} shows {', '.join(words)}; Ctrl-C ends it")
        if values["opened"]:
            webbrowser.open(url)
        with suppress(KeyboardInterrupt):  # how it is meant to end
            server.run(sockets=[bound])
    finish(context, {"url": url, "vectors": words}, "ended")


def listening(host: str, port: int | None) -> socket.socket:
    """Return a socket with an address of its own, which does not listen yet. Raises X2StaticError: there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise X2StaticError(f"--host {host}: no address ({error}); give one of this machine") from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if port is None:
        with suppress(OSError):  # it is taken; the system chooses a free one
            bound.bind((address[0], PORT, *address[2:]))
            return bound
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise X2StaticError(f"--host {host} --port {port or 0}: {error.strerror}; choose another") from error
    return bound


def _server(
    vectors: tuple[Path, ...], values: dict[str, Any], hosts: set[str] | None
) -> tuple["Server", dict[str, int]]:
    """Return the server for sets of vectors, and how many words each has, by name."""
    from uvicorn import Server

    from x2static.pipeline.evaluations.registry import fetched_data
    from x2static.pipeline.explore.answers import Searchable
    from x2static.pipeline.explore.server import make_app
    from x2static.schemas.vectors import WordVectors

    sets = []
    for name, folder in short_names(list(dict.fromkeys(vectors))).items():
        loaded = WordVectors.load(folder, values["unknown"])
        if not len(loaded):
            raise X2StaticError(f"{folder}: these vectors have no words to look at")
        sets.append(Searchable(name + loaded.outside, loaded).prepare())
    app = make_app(sets, values["data"] or fetched_data("word-similarity"), hosts)
    return Server(settings_of(app)), {one.name: len(one.vectors) for one in sets}


def settings_of(app: "Starlette") -> "Config":
    """Return how an application is served: HTTP alone, and without a word but for errors."""
    from uvicorn import Config

    quiet: dict[str, Any] = {"log_config": None, "log_level": "warning", "access_log": False, "server_header": False}
    parts: dict[str, Any] = {"loop": "asyncio", "http": "h11", "ws": "none", "lifespan": "off"}
    config = Config(app, timeout_graceful_shutdown=SECONDS_TO_FINISH, **quiet, **parts)
    config.load()  # its imports now, not before the first answer
    return config
