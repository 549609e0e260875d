"""The command ``nestree``, also as ``python -m nestree``."""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = b"\nnestree: interrupted\n"


def entry() -> int:
    """Run a command; Ctrl-C ends it in one line from the beginning on, also while modules are imported."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # in the background it may be ignored
    if ours:
        signal.signal(signal.SIGINT, _interrupted)
    from nestree.cli.main import main

    code = main()
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to do
    return code


def _interrupted(signum: int, frame: FrameType | None) -> None:
    """End at once during an import, as many libraries answer an exception there with others; else raise it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, INTERRUPTED)
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(entry())
