"""Write ``src/nestree/encoders/typed_build.py``: what editors and type checkers know of `nestree.build`.

    python tools/write_typed_build.py

A test says when it has to be run: after a change of the encoders' names or options.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

from nestree.encoders.options import EncoderOptions
from nestree.encoders.registry import BUILT_IN

FILE = Path(__file__).parents[1] / "src" / "nestree" / "encoders" / "typed_build.py"
COLUMNS = 120

HEADER = '''"""What `build` takes, for editors and type checkers: the options of every encoder that nestree brings.

Written by ``tools/write_typed_build.py`` from the classes of options; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypedDict, Unpack, cast, overload, runtime_checkable

from nestree.encoders.base import Encoder
'''

PROTOCOL = '''

@runtime_checkable
class Build(Protocol):
    """`nestree.build`: options are keyword arguments, or a mapping where the name is only known at run time."""

'''

FOOTER = '''    @overload
    def __call__(self, name: str, options: Mapping[str, object] | None = None) -> Encoder: ...


def typed(function: Callable[..., Encoder]) -> Build:
    """Return the function, with the signatures of [`Build`][] for who reads the types."""
    return cast(Build, function)
'''


def main() -> None:
    FILE.write_text(text(), encoding="utf-8")


def text() -> str:
    """Return what the file should hold."""
    classes = list(dict.fromkeys(BUILT_IN.values()))
    overloads = [_overload(name, options) for name, options in BUILT_IN.items()]
    return "".join([HEADER, *map(_typed_dict, classes), PROTOCOL, *overloads, FOOTER])


def _typed_dict(options: type[EncoderOptions]) -> str:
    about, hints = _docstrings(options), get_type_hints(options)
    lines = ["", "", f"class _{options.__name__}(TypedDict, total=False):"]
    for field in fields(options):
        lines.append(f"    {field.name}: {_annotation(hints[field.name])}")
        if field.name in about:
            lines += _quoted(about[field.name])
    return "\n".join(lines) + "\n"


def _annotation(hint: object) -> str:
    return (
        hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint).replace("typing.", "")
    )


def _quoted(about: str) -> list[str]:
    """Return a docstring at a line's length."""
    wrapped = textwrap.wrap(f'"""{" ".join(about.split())}"""', COLUMNS - 4, break_on_hyphens=False)
    return textwrap.indent("\n".join(wrapped), "    ").splitlines()


def _docstrings(options: type[EncoderOptions]) -> dict[str, str]:
    """Return what stands under each field, in the class or one that it is derived from."""
    found: dict[str, str] = {}
    for parent in reversed(options.__mro__[:-1]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(parent))).body[0]
        except (OSError, TypeError):
            continue
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, body.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if (
                isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                found[field.target.id] = after.value.value
    return found


def _overload(name: str, options: type[EncoderOptions]) -> str:
    line = f'    def __call__(self, name: Literal["{name}"], **options: Unpack[_{options.__name__}]) -> Encoder: ...'
    if len(line) > COLUMNS:
        line = (
            f'    def __call__(\n        self, name: Literal["{name}"], **options: Unpack[_{options.__name__}]\n'
            "    ) -> Encoder: ..."
        )
    return f"    @overload\n{line}\n"


if __name__ == "__main__":
    main()
