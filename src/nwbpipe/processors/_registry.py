"""Processors by name: entry points of the group ``nwbpipe.processors``, ours among them."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from nwbpipe.errors import UnknownNameError
from nwbpipe.processors._base import Processor

GROUP = "nwbpipe.processors"


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def processor_names() -> list[str]:
    """Names of the processors that are installed, sorted."""
    return sorted(_entry_points())


def processor(name: str) -> Processor:
    """Return the processor of that name.

    Raises
    ------
    UnknownNameError
        If none is installed under it.
    """
    points = _entry_points()
    if name not in points:
        msg = f"there is no processor {name!r}"
        near = difflib.get_close_matches(name, points, n=1)
        raise UnknownNameError(
            msg,
            expected=", ".join(sorted(points)) or "one that is installed",
            found=name,
            hint=f"did you mean {near[0]!r}?" if near else "`nwbpipe processors` lists them",
        )
    made = points[name].load()()
    if not isinstance(made, Processor):
        msg = f"the entry point {name!r} of {points[name].value} is no nwbpipe.Processor"
        raise UnknownNameError(msg, expected="a subclass of nwbpipe.Processor", found=type(made).__name__)
    return made
