"""The web server of `x2static explore`: one page, and the answers that it asks for, as JSON.

What a browser must not be made to do: a page from elsewhere that gives its own name this machine's address (DNS
rebinding) is refused by the Host header; whatever of a corpus got past the page's escaping could run nothing and load
nothing, since the policy names the page's own script and style by their hashes.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from x2static.durable.errors import X2StaticError
from x2static.evaluation.measures import figures_of
from x2static.evaluation.word_similarity import average, evaluate_word_similarity
from x2static.pipeline.explore import answers
from x2static.pipeline.explore.answers import Searchable

Answer = dict[str, Any]  # as JSON has it

PAGE = Path(__file__).with_name("page.html")
MOST_NEIGHBOURS, MOST_ON_MAP = 200, 20_000
MOST_SENTENCES, LONGEST_BODY = 20, 100_000  # bytes; of the one request that has a body


class Guard:
    """Refuses requests that were meant for another host, and sends the headers that tie the page's hands."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, policy: str) -> None:
        self.app = app
        self.hosts = hosts  # names that a request may call this server by; None: any
        self.headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        host = Headers(scope=scope).get("host", "")
        if self.hosts is not None and _name_of(host) not in self.hosts:
            text = f"this server does not answer for the host {host!r}; see --host\n"
            await PlainTextResponse(text, 421)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _name_of(host: str) -> str | None:
    """Return the name in a Host header, without the port; None for what is no host."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def policy_of(page: str) -> str:
    """Return the Content-Security-Policy that lets a page run its own script and style, and ask its own server."""
    hashes = {}
    for tag in ("script", "style"):
        inner = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inner]
        hashes[tag] = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def make_app(sets: Sequence[Searchable], data: Path | None = None, hosts: Collection[str] | None = None) -> Starlette:
    """Return the web application for some sets of vectors; `data` are the word pairs of the scores.

    `hosts` are the names that it may be called by, None for any.
    """
    page = PAGE.read_text(encoding="utf-8")
    questions = Questions(sets, data)

    async def index(_: Request) -> Response:
        return HTMLResponse(page)

    def route(path: str, answer: Callable[[Request], Answer]) -> Route:
        def respond(request: Request) -> Response:  # not async: run in a thread, so that the next key need not wait
            return JSONResponse(answer(request))

        return Route(f"/api/{path}", respond)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/sentences", questions.sentences, methods=["POST"]),
            route("facts", questions.facts),
            route("complete", questions.complete),
            route("neighbours", questions.neighbours),
            route("analogy", questions.analogy),
            route("similarity", questions.similarity),
            route("map", questions.word_map),
            route("run", questions.run),
            route("scores", questions.scores),
        ],
        middleware=[Middleware(Guard, hosts=hosts, policy=policy_of(page))],
        exception_handlers={HTTPException: _say},
    )


class Questions:
    """What can be asked of some sets of vectors; each method reads its parameters from a request."""

    def __init__(self, sets: Sequence[Searchable], data: Path | None) -> None:
        self.sets, self.data = sets, data
        self._lock = Lock()
        self._scores: Answer | None = None

    def facts(self, _: Request) -> Answer:
        """What the sets are."""
        return {"sets": [_facts(one) for one in self.sets]}

    def complete(self, request: Request) -> Answer:
        """How a word may go on."""
        return {"words": answers.complete(self.sets, _word(request, "prefix"))}

    def neighbours(self, request: Request) -> Answer:
        """What is near to a word, by set."""
        word, n = _word(request, "word"), _number(request, "n", 20, MOST_NEIGHBOURS)
        return {"sets": [answers.neighbours(one, word, n) for one in self.sets]}

    def analogy(self, request: Request) -> Answer:
        """What is near to a - b + c, by set."""
        words = (_word(request, "a"), _word(request, "b"), _word(request, "c"))
        n = _number(request, "n", 20, MOST_NEIGHBOURS)
        return {"sets": [answers.analogy(one, words, n) for one in self.sets]}

    def similarity(self, request: Request) -> Answer:
        """How alike two words are, by set."""
        first, second = _word(request, "a"), _word(request, "b")
        return {"sets": [answers.similarity(one, first, second) for one in self.sets]}

    async def sentences(self, request: Request) -> Response:
        """How alike sentences are, by set."""
        texts = _sentences(await _body(request))
        of_sets = [await run_in_threadpool(answers.sentences, one, texts) for one in self.sets]
        return JSONResponse({"sets": of_sets})

    def word_map(self, request: Request) -> Answer:
        """The map of one set."""
        place = _number(request, "set", 0, len(self.sets) - 1, least=0)
        return answers.word_map(self.sets[place], _number(request, "n", 2000, MOST_ON_MAP))

    def run(self, _: Request) -> Answer:
        """What the sets were made with."""
        return {"settings": answers.settings(self.sets)}

    def scores(self, _: Request) -> Answer:
        """Word similarity by set, or why there is none; computed when first asked for, since it takes seconds."""
        with self._lock:
            if self._scores is None:
                self._scores = {"sets": [self._scores_of(one) for one in self.sets]}
        return self._scores

    def _scores_of(self, one: Searchable) -> Answer:
        try:
            scores = evaluate_word_similarity(one.vectors, self.data)
        except X2StaticError as error:  # no data, a package that is missing, not a pair that is covered
            return {"error": str(error)}
        return figures_of(scores) | {"average": average(scores)}


async def _say(_: Request, error: Exception) -> Response:
    """Return what is wrong with a request, as JSON."""
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return JSONResponse({"error": detail}, status)


def _facts(one: Searchable) -> Answer:
    vectors = one.vectors
    facts = {"name": one.name, "words": len(vectors), "dim": vectors.dim, "subwords": vectors.subwords is not None}
    return facts | {"cuts": vectors.segmentation is not None}


def _word(request: Request, name: str) -> str:
    """Return a parameter. Raises HTTPException: it is missing."""
    if (word := request.query_params.get(name)) is None:
        raise HTTPException(400, f"the parameter {name} is missing")
    return word


def _number(request: Request, name: str, default: int, most: int, least: int = 1) -> int:
    """Return a parameter that is a number. Raises HTTPException: it is something else, or out of range."""
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise HTTPException(400, f"{name} is {text!r}; it must be a number from {least} to {most}")
    return int(text)


async def _body(request: Request) -> bytes:
    """Return the body of a request. Raises HTTPException: it is too long, and not read to its end."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise HTTPException(413, f"the sentences have more than {LONGEST_BODY:,} bytes; send fewer")
    return body


def _sentences(body: bytes) -> list[str]:
    """Return the sentences of a request. Raises HTTPException: they are something else, or too many."""
    try:
        texts = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or not texts:
        raise HTTPException(400, "the body must be a list of sentences")
    if len(texts) > MOST_SENTENCES:
        raise HTTPException(400, f"{len(texts)} sentences; {MOST_SENTENCES} at most are compared at once")
    return texts
