"""``nestree serve``: what the page asks, its limits, and the command; the page itself is in ``test_browser``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.testclient import TestClient

from nestree.cli import serve
from nestree.cli.main import main
from nestree.evaluation import read
from nestree.runs import Run, load
from nestree.serve import connections
from nestree.serve.app import BODY_BYTES, application
from nestree.serve.examples import random_expression, right_answer
from nestree.serve.reader import Reader
from nestree.serve.worker import WAITING, Busy, Worker
from nestree.tasks import TASKS
from nestree.tasks.listops import encode, evaluate
from support.training import saved_run

JSON = {"content-type": "application/json"}
EXPRESSION = "[MAX 2 9 [MIN 4 7 ] 0 ]"


@pytest.fixture(scope="module")
def rir(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return saved_run(tmp_path_factory.mktemp("runs") / "rir", "rir-ebt-grc", encoder={"arity": 4, "beam_size": 3})


@pytest.fixture(scope="module")
def client(rir: Run) -> Iterator[TestClient]:
    with TestClient(application(Reader(rir, max_tokens=60)), base_url="http://127.0.0.1:8642") as client:
        yield client


def ask(client: TestClient, *texts: str, width: int = 100, **options: Any) -> Any:
    return ask_with({"width": width}, client, *texts, **options)


def ask_with(further: dict[str, Any], client: TestClient, *texts: str, **options: Any) -> Any:
    return client.post("/api/read", content=json.dumps({"texts": texts, "options": options, **further}), headers=JSON)


def refused(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    (message,) = response.json().values()
    assert "\n" not in message
    return message


def test_the_answer_is_the_models(client: TestClient, rir: Run) -> None:
    found = ask(client, EXPRESSION).json()
    (reading,) = read(load(rir), rir.task, [rir.task.encode(EXPRESSION)])
    assert found["label"] == reading.label
    assert dict(map(tuple, found["labels"])) == pytest.approx(
        dict(zip(rir.task.label_names, reading.probabilities, strict=True)), abs=1e-5
    )
    assert [tree["brackets"] for tree in found["sides"][0]] == [tree.brackets() for tree in reading.sides[0]]
    assert (found["right"], found["tokens"]) == ("9", [9])
    assert all(0 <= tree["f1"] <= 1 for tree in found["sides"][0])
    assert all(found["milliseconds"][part] > 0 for part in ("reading", "drawing"))
    drawing = ElementTree.fromstring(found["sides"][0][0]["svg"])
    assert not list(drawing.iter("{http://www.w3.org/2000/svg}style"))  # the page's policy forbids them


@pytest.mark.parametrize(
    "options", [{"beam_size": 1}, {"arity": 2}, {"inference": "flat"}, {"beam_size": 5, "arity": 3}], ids=str
)
def test_sliders_do_what_the_options_do(client: TestClient, rir: Run, options: dict[str, Any]) -> None:
    found = ask(client, EXPRESSION, **options).json()
    (reading,) = read(load(rir, **options), rir.task, [rir.task.encode(EXPRESSION)])
    assert found["probability"] == pytest.approx(reading.probability, abs=1e-5)
    assert [tree["brackets"] for tree in found["sides"][0]] == [tree.brackets() for tree in reading.sides[0]]
    assert found["options"] == {"beam_size": 3, "arity": 4, "inference": "grouped"} | options


def test_requests_at_once_keep_their_own_options(client: TestClient) -> None:
    asked = [{"beam_size": beam, "arity": arity} for beam in (1, 3, 5) for arity in (2, 3, 4)]
    alone = [ask(client, EXPRESSION, **options).json() for options in asked]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda options: ask(client, EXPRESSION, **options).json(), asked * 3))
    for one, other in zip(alone * 3, together, strict=True):
        one.pop("milliseconds", None)
        other.pop("milliseconds")
        assert one == other
    assert len({str(one["sides"]) for one in alone}) > 3


def test_the_page_has_only_the_sliders_of_its_encoder(client: TestClient, tmp_path: Path) -> None:
    about = client.get("/api/about").json()
    assert [control["name"] for control in about["controls"]] == ["beam_size", "arity", "inference"]
    assert about["random"] == [5, 60]
    balanced = Reader(saved_run(tmp_path / "bbt", "bbt-grc"))
    assert balanced.controls() == []
    assert len(balanced.read([EXPRESSION], {})["sides"][0]) == 1
    flat = TestClient(application(Reader(saved_run(tmp_path / "ebt", "ebt-grc"))), base_url="http://localhost")
    assert [control["name"] for control in flat.get("/api/about").json()["controls"]] == ["beam_size"]
    assert "encoder ebt-grc has no 'arity' to change" in refused(ask(flat, "3", arity=4), 422)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("[MAX 2", {}, "] missing at the end, for [MAX"),
        ("<script>", {}, "is unknown"),
        ("\ud800", {}, "half of a character"),
        ("[MAX " + "1 " * 60 + "]", {}, "62 tokens are too many: the limit is 60"),
        ("3", {"beam_size": 0}, "beam_size must be from 1 to 16, not 0"),
        ("3", {"beam_size": True}, "beam_size must be a whole number"),
        ("3", {"arity": 10**9}, "arity must be from 2 to 60"),
        ("3", {"inference": "both"}, "inference must be one of grouped, flat"),
        ("3", {"engine": "naive"}, "has no 'engine' to change"),
    ],
)
def test_what_cannot_be_read_is_said(client: TestClient, text: str, options: dict[str, Any], message: str) -> None:
    assert message in refused(ask(client, text, **options), 422)
    assert ask(client, EXPRESSION).status_code == 200


def test_an_empty_text_has_no_label_but_a_reason(client: TestClient, tmp_path: Path) -> None:
    found = ask(client, " \n").json()
    assert [found[name] for name in ("label", "probability", "reason", "labels")] == [None, None, "empty text", []]
    assert (found["right"], found["tokens"], found["sides"]) == (None, [], [[]])
    pairs = Reader(saved_run(tmp_path / "logic", "ebt-grc", data={"task": "logic"}))
    assert pairs.read(["a", ""], {})["reason"] == "empty text"
    assert pairs.read(["a", ""], {})["sides"] == [[], []]


def test_thresholds_and_further_labels(client: TestClient) -> None:
    plain = ask(client, EXPRESSION).json()
    assert plain["reason"] is None
    assert len(plain["labels"]) == 10
    assert ask_with({"top": 2}, client, EXPRESSION).json()["labels"] == plain["labels"][:2]
    for further, label in (({"threshold": 1}, None), ({"threshold": 1, "abstain": "unsure"}, "unsure")):
        found = ask_with(further, client, EXPRESSION).json()
        assert (found["label"], found["reason"]) == (label, "below the threshold")
        assert found["labels"] == plain["labels"]
    assert ask_with({"threshold": plain["probability"]}, client, EXPRESSION).json()["label"] == plain["label"]


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ({"top": 11}, "top must be at most 10, the number of labels, not 11"),
        ({"top": "2"}, "top must be an integer of at least 1, not '2'"),
        ({"threshold": 0}, "threshold must be a probability above 0 and at most 1, not 0"),
        ({"threshold": float("nan")}, "threshold must be a probability above 0 and at most 1, not nan"),
        ({"threshold": 10**400}, "threshold must be a probability above 0 and at most 1, not 1"),
        ({"threshold": "high"}, "threshold must be a probability above 0 and at most 1, not 'high'"),
        ({"abstain": "unsure"}, "abstain is the label below a threshold, and none is given"),
        ({"threshold": 0.5, "abstain": 1}, "abstain must be a string"),
        ({"threshold": 1, "abstain": "\ud800"}, "abstain contains half of a character"),
    ],
)
def test_what_else_is_asked_for_is_checked(client: TestClient, further: dict[str, Any], message: str) -> None:
    assert message in refused(ask_with(further, client, "3"), 422)


def test_malformed_requests_are_turned_away(client: TestClient) -> None:
    assert "not JSON" in refused(client.post("/api/read", content=b"{", headers=JSON), 400)
    assert "not JSON" in refused(client.post("/api/read", content=b"[" * 50_000, headers=JSON), 400)
    assert "an object" in refused(client.post("/api/read", json={"texts": ["3"], "options": [1]}), 400)
    assert "JSON object" in refused(client.post("/api/read", content=b"[]", headers=JSON), 400)
    assert "must be a list" in refused(client.post("/api/read", json={"texts": "3"}), 400)
    assert "texts must be 1 for listops, not 2" in refused(ask(client, "3", "4"), 400)
    assert "application/json" in refused(client.post("/api/read", content=b"{}"), 415)
    assert "the limit is 64 KiB" in refused(
        client.post("/api/read", content=b" " * (BODY_BYTES + 1), headers=JSON), 413
    )
    assert "width must be" in refused(ask(client, "3", width=100_000), 422)
    assert refused(client.get("/api/read"), 405)
    assert refused(client.get("/../run.json"), 404)
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_every_answer_forbids_foreign_scripts(client: TestClient) -> None:
    for path in ("/", "/page.js", "/page.css", "/api/about", "/nowhere"):
        response = client.get(path)
        assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert response.headers["x-content-type-options"] == "nosniff"
    page = client.get("/").text
    assert "http" not in page.replace("http-equiv", "")
    ElementTree.fromstring(page.replace("<!doctype html>", ""))
    assert ".nestree-tree path" in client.get("/page.css").text


def test_texts_are_escaped_in_drawings(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "logic", "ebt-grc", data={"task": "logic"})
    reader = Reader(run)
    found = reader.read(["( a ( and b ) )", "a"], {})
    assert found["right"] == "<"
    assert [len(side) > 0 for side in found["sides"]] == [True, True]
    assert "&lt;" not in found["label"]  # texts travel as they are and are written as texts
    with pytest.raises(ValueError, match="is not one of"):
        reader.read(["<b>", "a"], {})


def test_the_right_answer_of_a_formula_needs_one_that_can_be_false() -> None:
    task = TASKS["logic"]().open()
    assert right_answer(task, task.encode("( a ( or ( not a ) ) )", "a")) is None


@pytest.mark.parametrize("length", [5, 40, 300])
def test_random_expressions_have_the_length_asked_for(length: int) -> None:
    drawn = random_expression(length)
    tokens = encode(drawn["text"])
    assert length * 0.9 - 1 <= len(tokens) <= length
    assert drawn["right"] == str(evaluate(tokens))


def test_random_expressions_over_http(client: TestClient) -> None:
    drawn = client.get("/api/random?tokens=30").json()
    assert ask(client, drawn["text"]).json()["right"] == drawn["right"]
    for tokens in ("4", "61", "x", "", "²", "9" * 5000, "00000010000000", "0" * 5000 + "30", "-9", "+9", " 9", "9_0"):
        assert "from 5 to 60" in refused(client.get("/api/random", params={"tokens": tokens}), 400)
    assert "from 5 to 60" in refused(client.get("/api/random?tokens=30&tokens=10000000"), 400)


def test_the_newest_run_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="there is no run with weights in runs/"):
        serve.newest_run()
    for age, name in enumerate(("new", "old")):
        os.utime(saved_run(Path("runs") / name, "grc").weights, (10**9 - age, 10**9 - age))
    saved_run(Path("runs") / "weightless", "grc").weights.unlink()
    assert serve.newest_run().path == Path("runs/new")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "--port must be at most 65535"),
        (["--host", "no.such.host.invalid"], "--host must be an address of this machine, not no.such.host.invalid"),
        (["--max_tokens", "0"], "--max_tokens must be an integer of at least 1"),
    ],
)
def test_wrong_options_are_one_line(
    rir: Run, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(rir.path), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_busy_port_is_one_line(rir: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with serve.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(rir.path), "--port", str(port)]) == 2
    assert f"nestree: --port {port} cannot be used at 127.0.0.1 (Address already in use)" in capsys.readouterr().err


def test_requests_of_clients_that_have_gone_are_not_computed() -> None:
    """The first is under way when the clients of both go; the third is refused, as too many wait."""
    worker, began, go_on, computed = Worker(), threading.Event(), threading.Event(), list[int]()

    def compute(number: int) -> None:
        began.set()
        assert go_on.wait(60)
        computed.append(number)

    async def gone() -> dict[str, Any]:
        await asyncio.to_thread(began.wait, 60)
        return {"type": "http.disconnect"}

    async def ask() -> None:
        asked = [worker.answer(Request({"type": "http"}, gone), functools.partial(compute, n)) for n in range(WAITING)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(one) for one in ended} == {ClientDisconnect}
        go_on.set()
        await worker.answer(Request({"type": "http"}, asyncio.Event().wait), functools.partial(compute, -1))  # type: ignore[arg-type]

    asyncio.run(ask())
    assert computed == [0, -1]


def test_too_many_requests_are_refused() -> None:
    worker, go_on = Worker(), threading.Event()

    async def ask() -> None:
        request = Request({"type": "http"}, asyncio.Event().wait)  # type: ignore[arg-type]
        asked = [asyncio.ensure_future(worker.answer(request, lambda: go_on.wait(60))) for _ in range(WAITING + 2)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        go_on.set()
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert any(isinstance(one, Busy) for one in ended)
        assert ended[0] is True

    asyncio.run(ask())


@pytest.fixture
def port(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server with two connections at most, and a fraction of a second for clients."""
    monkeypatch.setattr(connections, "SECONDS", 0.3)
    monkeypatch.setattr(connections, "CONNECTIONS", 2)
    server = uvicorn.Server(uvicorn.Config(client.app, http=connections.Connection, lifespan="off", log_level="error"))
    with serve.listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


GET = b"GET /api/about HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /api/read HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD + b"{", GET, GET + b"GET"], ids=repr)
def test_slow_clients_are_disconnected(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(sent)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                received += part
    assert received.startswith(b"HTTP/1.1 200" if sent.startswith(GET) else b"")


def test_further_connections_are_closed(port: int) -> None:
    with contextlib.ExitStack() as opened:
        *_, last = [opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(3)]
        with contextlib.suppress(ConnectionResetError):
            last.sendall(GET)
            assert last.recv(100) == b""


def test_only_the_first_lack_of_file_descriptors_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    loop, handler = asyncio.new_event_loop(), connections.OutOfFiles()
    loop.set_exception_handler(handler)
    for _ in range(3):
        loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": OSError(24)})
    loop.close()
    assert capsys.readouterr().err == "nestree: no file descriptor is free for further connections (ulimit -n)\n"


def test_ctrl_c_ends_the_server(rir: Run) -> None:
    command = [sys.executable, "-m", "nestree", "serve", str(rir.path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        line = server.stdout.readline()
        port = int(line.split("127.0.0.1:")[1].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 130
        assert server.stderr.read() == "\nnestree: interrupted\n"
