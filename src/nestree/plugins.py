"""What can be chosen by name: what nestree brings, and what other packages add to it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from nestree.errors import OptionError, UserError

MODULES = "NESTREE_MODULES"
"""Environment variable of modules, separated by commas, that are imported for what they register."""

T = TypeVar("T")

_imported: set[str] = set()


class Registry(Mapping[str, T], Generic[T]):
    """A mapping by name: what nestree brings, what [`register`][] adds, and what installed packages declare.

    A package declares in its metadata what is then found without being imported first, as the entry point
    ``mean = "my_package.mean:MeanOptions"`` of the registry's group. It is imported when it is looked up: listing names
    imports nothing, and a package that is broken is in nobody's way.
    """

    def __init__(self, what: str, group: str, check: Callable[[str, object], T], **known: T) -> None:
        """Begin with what nestree brings.

        Args:
            what: "encoder" or "task", for messages.
            group: entry points of this group are looked up.
            check: returns what is kept for a name and something registered; a ValueError says what is wrong with it.
            known: what nestree brings; no package may take the name of one, so that runs mean the same everywhere.
        """
        self._what, self._group, self._check = what, group, check
        self._brought = frozenset(known)
        self._known: dict[str, T] = known

    def register(self, name: str, value: object) -> None:
        """Add something under a name; what has the same module and class name takes the place of the one before.

        Raises:
            ValueError: the name is taken, or it is nothing that can be registered.
        """
        if not isinstance(name, str) or not name or any(letter.isspace() for letter in name):
            raise OptionError("name", f"must be a word, not {name!r}")
        before = self._known.get(name)
        if before is not None and (name in self._brought or _home(before) != _home(value)):
            raise ValueError(f"{self._what} {name!r} exists already: choose another name")
        self._known[name] = self._check(name, value)

    def __getitem__(self, name: str) -> T:
        """Return what has the name.

        Raises:
            KeyError: nothing has.
            UserError: a package declares it, and cannot be loaded.
        """
        self._import_modules()
        if name not in self._known:
            self._known[name] = self._loaded(self._declared[name])
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether something has the name; nothing is loaded for that."""
        self._import_modules()
        return name in self._known or name in self._declared

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        self._import_modules()
        return iter(dict.fromkeys([*self._known, *self._declared]))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(list(iter(self)))

    def __repr__(self) -> str:
        """Show the names."""
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
        """Import, once, the modules that [`MODULES`][] names."""
        for name in filter(None, map(str.strip, os.environ.get(MODULES, "").split(","))):
            if name in _imported:
                continue
            _imported.add(name)  # first: what it registers is looked up while it is imported
            try:
                importlib.import_module(name)
            except Exception as error:
                _imported.discard(name)
                raise UserError(f"{MODULES}: {name} cannot be imported: {type(error).__name__}: {error}") from error


def _home(value: object) -> tuple[object, ...]:
    """Return where something is defined: a cell of a notebook that is run again defines the same class anew."""
    named = value if isinstance(value, type) else type(value)
    return (named.__module__, named.__qualname__, getattr(value, "name", None))
