"""Find data interfaces by name: ours, NeuroConv's, and those of other packages."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from importlib.metadata import EntryPoint, requires
from typing import Any

from nwbpipe.converters._interface_names import list_entry_points, make_unknown_error, neuroconv_modules, our_modules
from nwbpipe.converters.interfaces._declaration import Declaration, own_declaration
from nwbpipe.converters.interfaces._neuroconv import (
    neuroconv_declaration,
    neuroconv_interface,
    neuroconv_interfaces,
)
from nwbpipe.converters.neuroconv_fixes import defer_interfaces
from nwbpipe.errors import Problem, SourceError, ToolMissingError

_EXTRA = re.compile(r"extra == [\"']([^\"']+)")


def interface_names() -> list[str]:
    """List the names of every interface that :func:`interface_class` finds, sorted.

    Imports ``neuroconv.datainterfaces`` (some seconds the first time).

    Returns
    -------
    list of str
    """
    return sorted({*our_modules(), *neuroconv_interfaces(), *list_entry_points()})


def interface_class(name: str) -> type[Any]:
    """Find a data interface by its class name.

    Ours come first (they are NeuroConv's of the same name with guards, or formats that NeuroConv lacks), then
    NeuroConv's, then those that other packages declare in the entry point group ``nwbpipe.interfaces``.

    Parameters
    ----------
    name : str
        Class name, such as ``"SpikeGLXRecordingInterface"``.

    Returns
    -------
    type
        A subclass of ``neuroconv.BaseDataInterface``, not built yet.

    Raises
    ------
    UnknownNameError
        No interface has that name; the message names the nearest ones.
    ToolMissingError
        The interface's reader is not installed; the message names the extra that brings it.
    SourceError
        A third party's entry point does not load, or names something else than a data interface.
    """
    if name in neuroconv_modules():  # one of ours of that name builds on it
        defer_interfaces(neuroconv_modules())
    modules = our_modules()
    if name in modules:
        try:
            cls: type[Any] = getattr(importlib.import_module(modules[name]), name)
        except ImportError as error:
            raise missing_reader_error(name, error) from error
        return cls
    known = neuroconv_interface(name)
    if known is not None:
        return known
    points = list_entry_points()
    if name in points:
        return _load_entry_point(name, points[name])
    raise make_unknown_error(name)


def guard_source(interface_name: str, arguments: Mapping[str, Any]) -> list[Problem]:
    """Check a source for what its reader would accept, or fail on, without saying so.

    Parameters
    ----------
    interface_name : str
        Class name of the interface.
    arguments : mapping
        The interface's source arguments.

    Returns
    -------
    list of Problem
        Empty if the guard finds nothing, or if the interface has no guard. A path that is missing is not reported
        here.

    Raises
    ------
    ToolMissingError
        The reader that the guard needs (pandas, OpenCV, tifffile) is not installed; the interface needs it too.
    """
    cls = interface_class(interface_name)
    guard = _declaration(cls)[1].guard
    if guard is None:
        return []
    try:
        return guard(arguments)
    except ImportError as error:
        raise missing_reader_error(interface_name, error, cls) from error


def missing_reader_error(name: str, error: ImportError, interface: type[Any] | None = None) -> ToolMissingError:
    """Turn an import that failed inside an interface into an error that names the extra to install.

    Parameters
    ----------
    name : str
        The interface's name.
    error : ImportError
        The error that loading or building the interface raised.
    interface : type, optional
        The interface's class, where it could be loaded: it declares the extra.

    Returns
    -------
    ToolMissingError
        To be raised ``from error``.
    """
    package, extra = ("nwbpipe", "all") if interface is None else _installation(name, interface)
    if package == "nwbpipe" and (single := _find_own_extra(error.name or "", extra)) is not None:
        package, extra = "neuroconv", single  # a reader that no extra of ours brings
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ToolMissingError(
        f"the reader that {name} needs is not installed",
        where=name,
        expected="the package to be importable",
        found=lines[0] if lines else type(error).__name__,
        hint=f"pip install '{package}[{extra}]'" if extra else f"install the readers that {package} asks for",
    )


def _find_own_extra(module: str, extra: str | None) -> str | None:
    """Return the extra of NeuroConv that alone brings a module; None if ours brings it, or none does."""
    lines = requires("neuroconv") or ()
    covered = {name for line in requires("nwbpipe") or () if extra in _EXTRA.findall(line) for name in _names(line)}
    for _ in lines:  # extras that name others
        covered |= {name for line in lines if covered & set(_EXTRA.findall(line)) for name in _names(line)}
    package = module.partition(".")[0].replace("_", "-").lower()
    owners = [
        name
        for line in lines
        if re.split(r"[^\w.-]", line, maxsplit=1)[0].replace("_", "-").lower() == package
        for name in _EXTRA.findall(line)
    ]
    return owners[0] if owners and not covered & set(owners) else None


def _names(requirement: str) -> list[str]:
    """Return the extras of NeuroConv that a requirement names: ``neuroconv[sleap,video]>=0.10``."""
    match = re.match(r"neuroconv\[([^\]]+)\]", requirement)
    return [] if match is None else match[1].replace("_", "-").split(",")


def _installation(name: str, cls: type[Any]) -> tuple[str, str | None]:
    """Return the package, and its extra, that bring an interface's reader."""
    owner, declaration = _declaration(cls)
    package = owner.__module__.split(".")[0]
    if package in ("nwbpipe", "neuroconv"):
        return "nwbpipe", declaration.extra or "all"
    point = list_entry_points().get(name)
    return (point.dist.name if point is not None and point.dist is not None else package), declaration.extra


def _declaration(cls: type[Any]) -> tuple[type[Any], Declaration]:
    """Return the declaration of a class or of its nearest base class that has one, and that class."""
    for owner in cls.__mro__:
        declaration = own_declaration(owner) or neuroconv_declaration(owner)
        if declaration is not None:
            return owner, declaration
    return cls, Declaration()


def _load_entry_point(name: str, point: EntryPoint) -> type[Any]:
    from neuroconv import BaseDataInterface

    package = point.dist.name if point.dist is not None else point.value
    entry = f"entry point {point.value} of {package}"
    try:
        cls = point.load()
    except Exception as error:
        raise SourceError(
            f"the interface {name} does not load",
            where=entry,
            found=f"{type(error).__name__}: {error}",
            hint=f"install or repair {package}",
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, BaseDataInterface)):
        raise SourceError(
            f"the entry point {name} does not name a data interface",
            where=entry,
            expected="a subclass of neuroconv.BaseDataInterface",
            found=repr(cls),
        )
    return cls
