"""Computes answers one after the other, in a thread that the server does not wait for."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

Answer = TypeVar("Answer")

WAITING = 32
"""Number of requests that may wait for earlier ones; further ones are refused."""


class Busy(RuntimeError):
    """Too many requests are waiting."""


class Worker:
    """One computation at a time, in order; those whose client has gone before they begin are left out."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Future[Any], Callable[[], Any]]] = queue.Queue(maxsize=WAITING)
        self._thread: threading.Thread | None = None
        self.busy = False
        """Whether a computation is under way."""

    async def answer(self, request: Request, compute: Callable[[], Answer]) -> Answer:
        """Return what ``compute`` returns, unless the client of the request goes away first.

        Args:
            request: a request whose body has been read.
            compute: called in the worker's thread.

        Raises:
            Busy: too many requests are waiting.
            ClientDisconnect: the client has gone.
        """
        if self._thread is None:
            # A daemon, as Python would wait at its end for any other thread.
            self._thread = threading.Thread(target=self._work, name="answers", daemon=True)
            self._thread.start()
        promised: Future[Answer] = Future()
        try:
            self._waiting.put_nowait((promised, compute))
        except queue.Full:
            raise Busy("too many requests at once: try again") from None
        computed = asyncio.wrap_future(promised)
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((computed, gone), return_when=asyncio.FIRST_COMPLETED)
            if not computed.done():
                raise ClientDisconnect
            return computed.result()
        finally:
            computed.cancel()  # if it has not begun, it never will
            gone.cancel()

    def _work(self) -> None:
        while True:
            promised, compute = self._waiting.get()
            if not promised.set_running_or_notify_cancel():
                continue
            self.busy = True
            try:
                promised.set_result(compute())
            except BaseException as error:
                promised.set_exception(error)
            finally:
                self.busy = False


async def _gone(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
