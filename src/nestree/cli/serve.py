"""``nestree serve``."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from nestree.checks import MOST_THREADS, check_at_least
from nestree.cli.arguments import RUN, command_parser, parse_command
from nestree.consoles import output
from nestree.errors import INTERRUPTED, OptionError, UserError
from nestree.runs import RUNS, Run

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServeOptions:
    """Address and limits of the page.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    host: str = "127.0.0.1"
    """Address to listen on; the default admits this machine only, others admit anyone who can reach them."""
    port: int = 8642
    """Port; 0 takes any free one."""
    max_tokens: int = 1000
    """Maximal length of an input, tokens."""
    threads: int = 1
    """Number of CPU threads; for one input at a time, more than one rarely helps."""

    def __post_init__(self) -> None:
        check_at_least("port", self.port, 0)
        if self.port > 65535:
            raise OptionError("port", f"must be at most 65535, not {self.port}")
        check_at_least("max_tokens", self.max_tokens, 1)
        check_at_least("threads", self.threads, 1, MOST_THREADS)


def main(arguments: Sequence[str]) -> int:
    """Serve the page until Ctrl-C."""
    parser = command_parser(
        "serve",
        "Serve a local page: type an input, and watch the answer, the trees and the beams change. Ctrl-C ends it.",
    )
    parser.add_argument("run", nargs="?", type=str, help=f"{RUN} (default: the newest in runs/).")
    parser.add_class_arguments(ServeOptions, None)
    parsed = parse_command(parser, arguments)
    options = ServeOptions(**{name: parsed[name] for name in ServeOptions.__dataclass_fields__})
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise UserError("nestree serve needs two more packages: pip install 'nestree[serve]'")
    run = newest_run() if parsed.run is None else Run.open(parsed.run)
    with closing(listen(options.host, options.port)) as listening:
        _serve(run, listening, options)
    return 0


def newest_run() -> Run:
    """Return the run under ``runs/`` whose weights were written last.

    Raises:
        UserError: there is none.
    """
    weights = [path for path in RUNS.glob("*/weights.safetensors") if (path.parent / "config.yaml").is_file()]
    if not weights:
        raise UserError(
            f"there is no run with weights in {RUNS}/: name a run folder, or train one with "
            "`nestree train listops-rir-quick`"
        )
    return Run.open(max(weights, key=lambda path: path.stat().st_mtime).parent)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, before any model is loaded.

    Raises:
        UserError: the port is in use, or there is no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise OptionError("host", f"must be an address of this machine, not {host}") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        reason = f"{port} cannot be used at {host} ({error.strerror or error}): choose another, or 0 for any free one"
        raise OptionError("port", reason) from None
    return listening


def _serve(run: Run, listening: socket.socket, options: ServeOptions) -> None:
    """Load the model, print the address of the page, and serve it until interrupted."""
    import torch
    import uvicorn

    from nestree.serve.app import application
    from nestree.serve.connections import CONNECTIONS, Connection, OutOfFiles
    from nestree.serve.reader import Reader
    from nestree.serve.worker import Worker

    torch.set_num_threads(options.threads)
    reader, worker = Reader(run, max_tokens=options.max_tokens), Worker()
    # Only on a loopback address are the possible names of the host known: there the page answers to no other.
    hosts = {} if options.host in LOOPBACK else {"hosts": ["*"]}
    app = application(reader, worker=worker, **hosts)
    config = uvicorn.Config(
        app, http=Connection, backlog=CONNECTIONS, log_level="error", access_log=False, ws="none", lifespan="off"
    )

    async def serve() -> None:
        asyncio.get_running_loop().set_exception_handler(OutOfFiles())
        await uvicorn.Server(config).serve(sockets=[listening])

    host = f"[{options.host}]" if ":" in options.host else options.host
    output().print(f"{run.name}: http://{host}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", soft_wrap=True)
    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        if not worker.busy:
            raise
        # A thread inside PyTorch can neither be stopped nor outlive the interpreter.
        print("\nnestree: interrupted", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)
