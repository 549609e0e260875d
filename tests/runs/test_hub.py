"""Models of the Hugging Face Hub: its own library against a server on this machine that answers as the Hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import nestree
from nestree.cli.main import main
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, Share
from nestree.evaluation.record import record
from nestree.runs import SHARED, Run
from nestree.runs.hub import check_repository, download
from support.training import saved_run

MINE = "me/listops-tiny"
ADDRESS = f"hf:{MINE}"


class FakeHub:
    """What the Hub does of uploads and downloads, for one user with one token."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.asked: list[str] = []
        self.address = ""

    def answer(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and headers."""
        self.asked.append(f"{method} {path}")
        path, _, _ = path.partition("?")
        if path == "/api/repos/create":
            return self._create(json.loads(body), token)
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree|preupload|commit)/(.*)", path):
            return self._api(*found.groups(), body, token)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(\w+)/(.*)", path):
            return self._file(found[1], found[3])
        return 404, {"error": "no such place"}, {}

    def _create(self, asked: dict[str, Any], token: str | None) -> tuple[int, Any, dict[str, str]]:
        if token != "mine":
            return 401, {"error": "Invalid user token."}, {}
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if not name.startswith("me/"):
            return 403, {"error": "You don't have the rights to create a model under this namespace"}, {}
        there = name in self.repositories
        self.repositories.setdefault(name, {})
        self.private.setdefault(name, asked.get("visibility") == "private")
        return 409 if there else 200, {"url": f"{self.address}/{name}", "id": name}, {}

    def _api(self, name: str, what: str, rest: str, body: bytes, token: str | None) -> tuple[int, Any, dict[str, str]]:
        files = self.repositories.get(name)
        if files is None:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        if what == "revision":
            if rest != "main":
                return 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"}
            return 200, {"id": name, "sha": self.commit(name), "siblings": [{"rfilename": f} for f in files]}, {}
        if what == "tree":
            listed = [{"type": "file", "path": f, "size": len(c), "oid": digest(c)} for f, c in files.items()]
            return 200, listed, {}
        if what == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            return 200, {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]}, {}
        for line in body.splitlines():
            change = json.loads(line)
            if change["key"] == "file":
                files[change["value"]["path"]] = base64.b64decode(change["value"]["content"])
            elif change["key"] == "deletedFile":
                del files[change["value"]["path"]]
        url = f"{self.address}/{name}/commit/{self.commit(name)}"
        return 200, {"success": True, "commitOid": self.commit(name), "commitUrl": url}, {}

    def _file(self, name: str, path: str) -> tuple[int, Any, dict[str, str]]:
        content = self.repositories[name][path]
        return 200, content, {"ETag": f'"{digest(content)}"', "X-Repo-Commit": self.commit(name)}

    def commit(self, name: str) -> str:
        """The present commit: it changes with every file."""
        return digest(b"".join(path.encode() + content for path, content in sorted(self.repositories[name].items())))


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub to which this process is logged in, with an empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    fake = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            status, found, headers = fake.answer(self.command, self.path, body, token)
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    fake.address = address = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", address, raising=False)
    monkeypatch.setenv("HF_TOKEN", "mine")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with more in its folder than others should get."""
    run = saved_run(tmp_path / "run", "ebt-grc", encoder={"beam_size": 2})
    run.note(parameters=123, train_examples=10, train_longest=9, validation_examples=5)
    shares = {"root operator": [Share("[MIN", 1, 2)], "length": [Share("0-10", 1, 2)]}
    record(run, Result("near-iid", None, Share("near-iid", 1, 2), shares, 5.0, 1.0, 0.5, "generated", "80"), seed=0)
    logs = run.logs / "csv" / "000"
    logs.mkdir(parents=True)
    lines = [f"{step},{step / 1000},{'' if step % 100 else step / 2000}" for step in range(10, 1001)]
    (logs / "metrics.csv").write_text("\n".join(["step,loss,validation_accuracy", *lines, ""]))
    run.checkpoint.write_bytes(b"a pickle, for all that is known")
    run.written_about.write_text("Reads nothing but tiny lists.\n")
    return run


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must exit with 2, and return its one line."""
    assert main(arguments) == 2
    return next(line for line in capsys.readouterr().err.splitlines() if line.startswith("nestree: "))


def test_a_model_goes_there_and_comes_back(hub: FakeHub, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["share", str(run.path), MINE]) == 0
    assert capsys.readouterr().out == f"{hub.address}/{MINE}\n"
    assert set(hub.repositories[MINE]) == set(SHARED) - {"task.json"}
    assert hub.private[MINE] is False
    card = hub.repositories[MINE]["README.md"].decode()
    assert f'nestree.load("{ADDRESS}")' in card
    assert "Reads nothing but tiny lists." in card
    header = yaml.safe_load(card.split("---")[1])
    (result,) = header["model-index"][0]["results"]
    assert (result["dataset"]["split"], result["metrics"][0]["value"]) == ("near-iid", 50.0)
    there, here = nestree.load(ADDRESS).state_dict(), nestree.load(run).state_dict()
    assert all(torch.equal(there[name], here[name]) for name in here)
    assert main(["predict", ADDRESS, "[MAX 2 9 ]"]) == 0
    predicted = capsys.readouterr()
    assert main(["predict", str(run.path), "[MAX 2 9 ]"]) == 0
    assert capsys.readouterr().out == predicted.out
    assert predicted.err == ""


def test_nothing_but_a_models_files_is_fetched(hub: FakeHub, run: Run) -> None:
    assert main(["share", str(run.path), MINE]) == 0
    hub.repositories[MINE] |= {"pytorch_model.bin": b"a pickle", "nestree.py": b"import os"}
    fetched = download(ADDRESS, SHARED)
    assert {path.name for path in fetched.iterdir()} == set(SHARED) - {"task.json"}
    assert not any(name in asked for name in ("pytorch_model.bin", "nestree.py") for asked in hub.asked)


def test_nothing_is_written_into_the_cache(hub: FakeHub, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["share", str(run.path), MINE]) == 0
    there = Run.open(ADDRESS)
    assert (there.shipped, there.name, there.title) == (True, ADDRESS, "listops-tiny")
    copy = there.to_write_in()
    assert copy.path == Path("runs/listops-tiny")
    assert not any(path.is_symlink() for path in copy.path.iterdir())
    assert there.to_write_in().path == copy.path
    assert main(["report", ADDRESS, "--trees", "0"]) == 0
    assert capsys.readouterr().out.endswith("report.html\n")
    assert Path("report.html").is_file()
    assert f"--trainer.start {ADDRESS}" in fails(["train", "--resume", ADDRESS], capsys)


def test_a_revision_may_be_named(hub: FakeHub, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["share", str(run.path), MINE]) == 0
    assert Run.open(f"{ADDRESS}@main").title == "listops-tiny"
    assert f"{ADDRESS}@v9: the model has no such revision" in fails(["predict", f"{ADDRESS}@v9", "3"], capsys)


def test_without_a_network_what_was_fetched_is_taken(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["share", str(run.path), MINE]) == 0
    first = Run.open(ADDRESS)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", "http://127.0.0.1:9", raising=False)
    assert Run.open(ADDRESS).path == first.path
    said = "hf:me/other: the Hub cannot be reached, and the model was not downloaded before"
    assert said in fails(["predict", "hf:me/other", "3"], capsys)
    assert f"{MINE}: the Hub cannot be reached" in fails(["share", str(run.path), MINE], capsys)


def test_who_may_not_is_told(
    hub: FakeHub, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the Hub refuses access" in fails(["share", str(run.path), "others/theirs"], capsys)
    assert "there is no such model on the Hub, or it is private" in fails(["evaluate", "hf:me/nothing"], capsys)
    monkeypatch.delenv("HF_TOKEN")
    assert "`hf auth login`" in fails(["share", str(run.path), MINE], capsys)
    assert hub.repositories == {}


def test_a_model_takes_the_place_of_the_one_before(hub: FakeHub, run: Run) -> None:
    assert main(["share", str(run.path), MINE, "--private", "--license", "mit"]) == 0
    assert hub.private[MINE] is True
    assert hub.repositories[MINE]["README.md"].startswith(b"---\nlicense: mit\n")
    hub.repositories[MINE]["pictures.png"] = b"somebody's"
    run.written_about.unlink()
    assert main(["share", str(run.path), ADDRESS]) == 0
    assert "about.md" not in hub.repositories[MINE]
    assert "pictures.png" in hub.repositories[MINE]


def test_what_does_not_load_is_not_shared(hub: FakeHub, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.weights.write_bytes(b"nothing")
    assert "weights.safetensors: damaged" in fails(["share", str(run.path), MINE], capsys)
    assert hub.asked == []


def test_a_repository_of_something_else_is_told(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.repositories["me/bert"] = {"README.md": b"something else"}
    assert "hf:me/bert: the repository contains no model of nestree" in fails(["predict", "hf:me/bert", "3"], capsys)


def test_the_hub_is_an_extra(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for command in (["predict", ADDRESS, "3"], ["share", str(run.path), MINE]):
        assert "needs huggingface_hub: pip install 'nestree[hub]'" in fails(command, capsys)


@pytest.mark.parametrize("address", ["hf:", "hf:me", "hf:me/a/b", "hf:me/a@", "hf:../a", "hf:me/ä", "hf:me/.."])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(UserError, match="a model on the Hub is written hf:OWNER/NAME or hf:OWNER/NAME@REVISION"):
        Run.open(address)
    if "@" not in address:
        with pytest.raises(UserError, match="a repository on the Hub is written OWNER/NAME"):
            check_repository(address.removeprefix("hf:"))
