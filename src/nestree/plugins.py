"""Registries of what can be chosen by name: built in, or added by other packages."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from nestree.errors import OptionError, UserError

MODULES = "NESTREE_MODULES"
"""Environment variable with the names of modules, separated by commas, to import for what they register."""

T = TypeVar("T")

_imported: set[str] = set()


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to what nestree has built in, what [`register`][] adds, and what installed packages declare.

    A package declares an entry point in the group of the registry, such as ``mean = "my_package.mean:MeanOptions"``. It
    is imported only when its name is looked up, so listing names imports nothing, and a broken package does no harm.
    """

    def __init__(self, what: str, group: str, check: Callable[[str, object], T], **known: T) -> None:
        """Start with what nestree has built in.

        Args:
            what: "encoder" or "task", for error messages.
            group: group of the entry points.
            check: returns the value to store for a name and a registered object, or raises a ValueError.
            known: what is built in; packages cannot use these names, so that a run means the same everywhere.
        """
        self._what, self._group, self._check = what, group, check
        self._brought = frozenset(known)
        self._known: dict[str, T] = known

    def register(self, name: str, value: object) -> None:
        """Add a value under a name; one of the same module and class name replaces the previous one.

        Raises:
            ValueError: the name is taken, or the value cannot be registered.
        """
        if not isinstance(name, str) or not name or any(letter.isspace() for letter in name):
            raise OptionError("name", f"must be a word, not {name!r}")
        before = self._known.get(name)
        if before is not None and (name in self._brought or _home(before) != _home(value)):
            raise ValueError(f"{self._what} {name!r} exists already: choose another name")
        self._known[name] = self._check(name, value)

    def __getitem__(self, name: str) -> T:
        """Return the value of a name.

        Raises:
            KeyError: there is no such name.
            UserError: a package declares it, but cannot be loaded.
        """
        self._import_modules()
        if name not in self._known:
            self._known[name] = self._loaded(self._declared[name])
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        """Return whether the name exists, without loading its package."""
        self._import_modules()
        return name in self._known or name in self._declared

    def __iter__(self) -> Iterator[str]:
        self._import_modules()
        return iter(dict.fromkeys([*self._known, *self._declared]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"<{self._what}s: {', '.join(self)}>"

    @cached_property
    def _declared(self) -> dict[str, EntryPoint]:
        found = {point.name: point for point in entry_points(group=self._group)}
        return {name: found[name] for name in sorted(found)}

    def _loaded(self, point: EntryPoint) -> T:
        try:
            return self._check(point.name, point.load())
        except Exception as error:
            package = point.dist.name if point.dist else point.value
            raise UserError(
                f"{self._what} {point.name} of package {package} cannot be loaded: {type(error).__name__}: {error}"
            ) from error

    def _import_modules(self) -> None:
        """Import the modules that [`MODULES`][] names, each once."""
        for name in filter(None, map(str.strip, os.environ.get(MODULES, "").split(","))):
            if name in _imported:
                continue
            _imported.add(name)  # before the import, which may look names up in this registry
            try:
                importlib.import_module(name)
            except Exception as error:
                _imported.discard(name)
                raise UserError(f"{MODULES}: {name} cannot be imported: {type(error).__name__}: {error}") from error


def _home(value: object) -> tuple[object, ...]:
    """Return where a value is defined, to recognise a class that a notebook cell defines again."""
    named = value if isinstance(value, type) else type(value)
    return (named.__module__, named.__qualname__, getattr(value, "name", None))
