"""Sends hostile requests to `nestree serve`; a process of its own, since it forks.

    python tests/attack/hostile_requests.py FOLDER SECONDS SEED

Prints one JSON object per attack, and one at the end about memory and Ctrl-C. No request may be answered with 5xx, good
ones are answered right all the time, memory stays flat, and Ctrl-C ends the server whatever is under way.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import nestree.serve.app
import nestree.serve.connections
import nestree.serve.reader  # noqa: F401 (what the child needs)
from attack.children import BUG
from nestree.cli.main import main
from support.training import saved_run

JSON = {"content-type": "application/json"}
GOOD = {"texts": ["[MAX 2 9 [MIN 4 7 ] 0 ]"], "options": {"beam_size": 2}, "width": 50, "top": 3, "threshold": 0.9}
VALUES = (
    *(None, True, False, [], {}, [[]], {"x": {}}, "", "x", -1, 0, 3, 2**63, 10**4000, 1e308, -0.0),
    *(float("nan"), float("inf"), "\0", "\ud800", "\x1b[2J", "<script>", "../../run.json", "9" * 5_000, ["3"] * 1_000),
    *("[MAX " * 3_000, "[MAX " * 3_000 + "3 " + "] " * 3_000, "3 " * 20_000, "é" * 10_000),
)
"""Values for any field."""
BODIES = (
    *(b"", b"{", b"[" * 50_000, b'{"a":' * 10_000, b"\0", b"\xff\xfe", b"null", b"3", b'"x"', b"[]", b" " * 70_000),
    *(b"{" + b'"a":1,' * 9_000 + b'"b":1}', b'{"texts": ["3"]} x', b'{"texts": [' + b"9" * 60_000 + b"]}", b"NaN"),
)
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "X" * 1_000)
PATHS = (
    *("/", "/page.js", "/api/about", "/api/read", "/api/random", "/api/random?tokens=30", "//", "/../run.json", "*"),
    *("/api/random?tokens=00000010000000", "/api/random?tokens=5&tokens=9999999", "/api/random?tokens=" + "9" * 6_000),
    *("/..%2f..%2fetc/passwd", "/%00", "/static/%2e%2e/app.py", "/page.js/../../app.py", "/" + "a/" * 5_000, "/%ff"),
    *("/api/random?tokens=1e3", "/api/random?tokens=-5", "/api/random?tokens=%F0%9D%9F%99", "/?" + "&" * 5_000),
)
HEADERS = (
    *(b"Host: localhost\r\nHost: evil\r\n", b"Host: evil.example\r\n", b"", b"Host: localhost\r\nX: " + b"a" * 100_000),
    *(b"Host: localhost\r\nContent-Length: -1\r\n", b"Host: localhost\r\nContent-Length: 99999999999999999999\r\n"),
    b"Host: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    b"Host: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    *(
        b"Host: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n",
        b"Host: \0\r\n",
        b"Host\r\n",
        b"\xff: \xff\r\n",
    ),
    b"Host: localhost\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(3_000)),
)
FILES = 64
"""Number of open files that the server may have: fewer than the connections it accepts."""
LONGEST = 60
"""Time that an answer may take, seconds: others are computed before it."""
HUNG = 20
"""Time after which a server that got Ctrl-C is judged to hang, seconds."""


class Attacker:
    """Attacks a server; its methods return the status codes of the answers, 0 for a closed connection."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.port, self.rng = port, rng
        self.held: list[socket.socket] = []
        self.right = self.ask()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST)

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LONGEST)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (HTTPException, ConnectionError):
            return 0, b""
        finally:
            connection.close()

    def ask(self) -> dict[str, Any]:
        """Return the answer to a good request."""
        status, body = self.send("POST", "/api/read", json.dumps(GOOD).encode(), JSON)
        answer = json.loads(body) if status == 200 else {"status": status}
        answer.pop("milliseconds", None)
        return answer

    def raw(self, sent: bytes) -> list[int]:
        """Send bytes, and read the first answer."""
        with self.connect() as connection:
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                answer = HTTPResponse(connection)
                answer.begin()
                return [answer.status]
            except (HTTPException, OSError):
                return [0]

    def wrong_value(self) -> list[int]:
        """Replace one value of a good request, or add one."""
        asked = {**GOOD, "options": dict(GOOD["options"])}
        place = self.rng.choice([asked, asked["options"]])
        place[self.rng.choice([*place, "abstain", "\ud800", "engine", "arity", "inference"])] = self.rng.choice(VALUES)
        if self.rng.random() < 0.3:
            asked["texts"] = [self.rng.choice(VALUES)]
        return [self.send("POST", "/api/read", json.dumps(asked).encode(), JSON)[0]]

    def wrong_body(self) -> list[int]:
        """Send something that is not a good request's JSON."""
        kind = self.rng.choice(
            ["application/json", "application/json; charset=x", "text/plain", "multipart/form-data", ""]
        )
        return [self.send("POST", "/api/read", self.rng.choice(BODIES), {"content-type": kind})[0]]

    def wrong_request(self) -> list[int]:
        """Combine methods, addresses and headers, as bytes."""
        line = f"{self.rng.choice(METHODS)} {self.rng.choice(PATHS)} HTTP/{self.rng.choice(['1.1', '1.0', '2', '9'])}"
        headers = self.rng.choice(HEADERS) if self.rng.random() < 0.5 else b"Host: localhost\r\n"
        return self.raw(f"{line}\r\n".encode() + headers + b"\r\n" + self.rng.choice([b"", b"{}", b"\0" * 1_000]))

    def noise(self) -> list[int]:
        """Send random bytes, or a good request with one byte changed."""
        body = json.dumps(GOOD).encode()
        sent = bytearray(_head(len(body)) + body)
        sent[self.rng.randrange(len(sent))] = self.rng.randrange(256)
        return self.raw(
            bytes(sent) if self.rng.random() < 0.8 else self.rng.randbytes(self.rng.choice([1, 100, 10_000]))
        )

    def half(self) -> list[int]:
        """Begin a request, and leave it open."""
        connection = self.connect()
        connection.sendall(self.rng.choice([b"", b"G", b"GET / HTTP/1.1\r\nHost: x", _head(1_000) + b"{"]))
        self.held.append(connection)
        while len(self.held) > 20:
            self.held.pop(0).close()
        return []

    def gone(self) -> list[int]:
        """Ask for long computations, and go away."""
        for _ in range(10):
            with self.connect() as connection:
                connection.sendall(_long(200))
        return []

    def many(self) -> list[int]:
        """Open more connections than are accepted."""
        opened = []
        try:
            for _ in range(100):
                opened.append(self.connect())
        except OSError:
            pass
        for connection in opened:
            connection.close()
        return []

    def good(self) -> list[int]:
        """Ask a good request at the same time as others that go away."""
        self.gone()
        return [200 if self.ask() == self.right else 599]

    def release(self) -> None:
        for connection in self.held:
            connection.close()
        self.held.clear()


def _head(length: int) -> bytes:
    lines = (
        "POST /api/read HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def _long(groups: int) -> bytes:
    """Return a request for a long input: 4,000 groups take half a minute."""
    text = "[MAX " + "[MIN 3 4 ] " * groups + "]"
    body = json.dumps({"texts": [text], "options": {"beam_size": 16, "inference": "flat"}}).encode()
    return _head(len(body)) + body


def serve(folder: Path, output: Path) -> tuple[int, int]:
    """Serve a run in a forked process; return its number and the port."""
    pid = os.fork()
    if pid == 0:
        code = BUG
        try:
            number = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(number, 1)
            os.dup2(number, 2)
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
            code = main(["serve", str(folder), "--port", "0", "--max_tokens", "20000"])
        finally:
            sys.stderr.flush()
            os._exit(code)
    while not (found := re.search(r"127\.0\.0\.1:(\d+)", output.read_text() if output.exists() else "")):
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            sys.exit(output.read_text())
        time.sleep(0.1)
    return pid, int(found[1])


def memory(pid: int) -> int:
    """Return a process's resident memory, bytes; 0 where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


def interrupt(pid: int, attacker: Attacker) -> tuple[float, int]:
    """Send Ctrl-C while something is computed and a request is open; return seconds until the end, and exit code."""
    open_ones = [attacker.connect() for _ in range(3)]
    open_ones[0].sendall(_head(100))
    for connection in open_ones[1:]:
        connection.sendall(_long(4_000))
    time.sleep(0.5)
    began = time.monotonic()
    os.kill(pid, signal.SIGINT)
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > began + HUNG:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    seconds = time.monotonic() - began
    return seconds, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over."""
    place.mkdir(parents=True, exist_ok=True)
    saved_run(place / "run", "rir-ebt-grc", encoder={"arity": 4, "beam_size": 3})
    pid, port = serve(place / "run", place / "output.txt")
    began, rng = time.monotonic(), random.Random(seed)
    attacker = Attacker(port, rng)
    ways: list[Callable[[], list[int]]] = [
        attacker.wrong_value,
        attacker.wrong_body,
        attacker.wrong_request,
        attacker.noise,
    ]
    rare: list[Callable[[], list[int]]] = [attacker.half, attacker.gone, attacker.many, attacker.good]
    before, number = memory(pid), 0
    while time.monotonic() < began + limit:
        way = rng.choice(rare if number % 10 == 9 else ways)
        print(json.dumps({"attack": way.__name__, "status": way()}), flush=True)
        if time.monotonic() < began + limit / 4:
            before = memory(pid)  # by then every kind of request has been answered
        number += 1
    attacker.release()
    good = attacker.ask() == attacker.right
    grown = memory(pid) - before
    seconds, code = interrupt(pid, attacker)
    end = {
        "right": good,
        "grown": grown,
        "seconds": seconds,
        "code": code,
        "output": (place / "output.txt").read_text(),
    }
    print(json.dumps(end), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
