"""Read a session's videos where they are: beside its file on this machine, or in a store that the parent serves."""

from __future__ import annotations

from typing import Any, Callable

#: Set by the worker, where files are served: takes a path, returns a stream or None.
open_served: Callable[[str], Any] | None = None


def open_media(path: str) -> Any:
    """Return what PyAV opens: the path, or a stream of a file that is read by ranges."""
    stream = open_served(path) if open_served is not None else None
    return path if stream is None else stream


def is_served(path: str) -> bool:
    """Return True if a file is read by ranges, where a second look at it costs a second transfer."""
    stream = open_served(path) if open_served is not None else None
    if stream is not None:
        stream.close()
    return stream is not None
