"""HTTP connections: a time limit for slow clients, and a limit of their number."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 64
"""Number of connections at once; a further one is closed."""

SECONDS = 10.0
"""Time for a client to send a request, or to take an answer."""


class Connection(H11Protocol):
    """A connection that is closed when its client is too slow; computing an answer has no limit."""

    _deadline: asyncio.TimerHandle | None = None
    _writing_paused = False

    def connection_made(self, transport: Any) -> None:
        """Accept the connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        else:
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit."""
        super().connection_lost(exc)
        self._unset_deadline()

    def handle_events(self) -> None:
        """Handle what was received."""
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """The client does not take the answer as fast as it is written."""
        super().pause_writing()
        self._writing_paused = True
        self._look()

    def resume_writing(self) -> None:
        """The client has taken most of what was written."""
        super().resume_writing()
        self._writing_paused = False
        self._look()

    def shutdown(self) -> None:
        """End the connection at once, as nobody should wait for an answer that is still computed."""
        self.transport.abort()

    def _look(self) -> None:
        """Begin or end the time limit, as the client's turn begins or ends; what it sends meanwhile gives no more."""
        cycle = self.cycle
        its_turn = cycle is None or cycle.response_complete or cycle.more_body or self._writing_paused
        if not its_turn or self.transport.is_closing():
            self._unset_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(SECONDS, self.transport.abort)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class OutOfFiles:
    """Handles errors of the event loop: of those without a free file descriptor, only the first is printed."""

    def __init__(self) -> None:
        self.said = False

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Print an error, unless it is the same again."""
        if "out of system resource" not in context["message"]:
            loop.default_exception_handler(context)
        elif not self.said:
            self.said = True
            print(
                "nestree: no file descriptor is free for further connections (ulimit -n)", file=sys.stderr, flush=True
            )
