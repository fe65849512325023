"""Declare a data interface: the extra that installs its reader, and the guard that checks its raw files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from nwbpipe.errors import Problem

Guard = Callable[[Mapping[str, Any]], list[Problem]]
_Class = TypeVar("_Class", bound=type)


@dataclass(frozen=True)
class Declaration:
    """The properties of an interface that are needed before it is built.

    Parameters
    ----------
    extra : str, optional
        Extra of the interface's own package that installs its reader.
    guard : callable, optional
        Takes the source's arguments; returns a problem for each thing wrong with the raw files.
    """

    extra: str | None = None
    guard: Guard | None = None


_declarations: dict[type, Declaration] = {}


def interface(*, extra: str | None = None, guard: Guard | None = None) -> Callable[[_Class], _Class]:
    """Declare a class as a data interface.

    Subclasses inherit the declaration, unless they have one of their own.

    Parameters
    ----------
    extra : str, optional
        Extra of the class's own package that installs the reader: ``pip install 'PACKAGE[EXTRA]'`` is what a user
        is told to do where an import fails.
    guard : callable, optional
        Checks the raw files before the interface is built. It takes a mapping of the source's arguments and returns
        a list of :class:`nwbpipe.errors.Problem`; empty if the files are sound.

    Returns
    -------
    callable
        A class decorator.
    """

    def declare(cls: _Class) -> _Class:
        _declarations[cls] = Declaration(extra, guard)
        return cls

    return declare


def own_declaration(cls: type) -> Declaration | None:
    """Return what a class declares itself, not by its base classes."""
    return _declarations.get(cls)
