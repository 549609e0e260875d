"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; what was written there takes the place of ``path`` when the block ends.

    If the block fails, ``path`` is left as it was and the temporary file is removed. Two processes that write the same
    path at once use two temporary names, and the one that ends last wins.

    Example:
        >>> with replacing("table.tsv") as temporary:
        ...     temporary.write_text("3\\t[MAX 2 3 ]\\n")
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
