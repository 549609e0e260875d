"""Ctrl-C while modules are imported is one line, whatever is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

INTERRUPT = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == sys.argv[0]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = [sys.argv[1], "info"]
from nestree.__main__ import entry
sys.exit(entry())
"""


@pytest.mark.parametrize("module", ["nestree.cli.main", "rich.console", "nestree.cli.info", "torch", "numpy"])
def test_ctrl_c_during_imports_is_one_line(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPT, module], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nnestree: interrupted\n")


def test_pytorch_is_imported_when_it_is_used() -> None:
    code = (
        "import sys, nestree, nestree.cli.main; assert 'torch' not in sys.modules; nestree.Run; assert nestree.encoders"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)
