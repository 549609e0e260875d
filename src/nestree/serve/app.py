"""The web application: static files and a JSON API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestree.serve.examples import random_expression
from nestree.serve.reader import Reader, Refused
from nestree.serve.worker import Busy, Worker
from nestree.trees.svg import STYLE

BODY_BYTES = 64 * 1024
"""Maximal size of a request, bytes."""

LONGEST_NUMBER = 9
"""Maximal number of digits of a number in an address."""

HEADERS = {
    # The browser loads and runs only our three files, whatever an input contains.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

STATIC = {"/": ("index.html", "text/html"), "/page.js": ("page.js", "text/javascript")}


def application(
    reader: Reader,
    *,
    hosts: Sequence[str] = ("localhost", "127.0.0.1", "[::1]", "::1"),
    worker: Worker | None = None,
) -> Starlette:
    """Return the application.

    Args:
        reader: reads the inputs.
        hosts: accepted host names; ``*`` accepts any. This refuses other websites that let their name point to this
            machine (DNS rebinding).
        worker: computes the answers; None: one of its own.
    """
    worker = worker or Worker()

    async def about(_: Request) -> Response:
        return JSONResponse(reader.about())

    async def read(request: Request) -> Response:
        asked = await _asked(request)
        texts, options = asked.get("texts"), asked.get("options", {})
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise HTTPException(400, "texts must be a list of strings")
        if not isinstance(options, dict):
            raise HTTPException(400, "options must be an object")
        if len(texts) != reader.task.sides:
            raise HTTPException(400, f"texts must be {reader.task.sides} for {reader.task.name}, not {len(texts)}")
        further = {name: asked[name] for name in ("width", "top", "threshold", "abstain") if name in asked}
        return JSONResponse(await worker.answer(request, lambda: reader.read(texts, options, **further)))

    async def random(request: Request) -> Response:
        lengths = reader.about()["random"]
        if lengths is None:
            raise HTTPException(404, f"{reader.task.name} has no random inputs")
        tokens = _whole_number(request.query_params.get("tokens", ""))
        if tokens is None or not lengths[0] <= tokens <= lengths[1]:
            raise HTTPException(400, f"tokens must be a whole number from {lengths[0]} to {lengths[1]}")
        return JSONResponse(await worker.answer(request, lambda: random_expression(tokens)))

    return Starlette(
        routes=[
            *(Route(path, _file(*file)) for path, file in STATIC.items()),
            Route("/page.css", _text(_static("page.css") + "\n" + STYLE + "\n", "text/css")),
            Route("/api/about", about),
            Route("/api/read", read, methods=["POST"]),
            Route("/api/random", random),
        ],
        exception_handlers={
            Refused: lambda _, error: _error(422, str(error)),
            Busy: lambda _, error: _error(429, str(error)),
            ClientDisconnect: lambda _, error: _error(400, "the client has disconnected"),
            HTTPException: _http_error,
        },
        middleware=[Middleware(_Headers), Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
    )


class _Headers:
    """Adds [`HEADERS`][] to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


async def _asked(request: Request) -> dict[str, Any]:
    """Return the JSON object in a request's body, of at most [`BODY_BYTES`][].

    Other content types are refused: browsers let other websites send those without a preflight request.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the request must be application/json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise HTTPException(413, f"the input is too long: the limit is {BODY_BYTES // 1024} KiB")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the request is not JSON") from None
    if not isinstance(asked, dict):
        raise HTTPException(400, "the request must be a JSON object")
    return asked


def _whole_number(text: str) -> int | None:
    """Return the number that ASCII digits stand for; None if it is anything else, or longer than any limit."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER else None


def _static(name: str) -> str:
    return (resources.files("nestree.serve") / "static" / name).read_text(encoding="utf-8")


def _file(name: str, kind: str) -> Any:
    return _text(_static(name), kind)


def _text(content: str, kind: str) -> Any:
    async def answer(_: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


def _error(status: int, message: str, headers: Any = None) -> Response:
    return JSONResponse({"error": message}, status_code=status, headers=headers)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, str(error.detail), error.headers)
