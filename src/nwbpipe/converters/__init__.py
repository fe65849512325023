"""session.yaml → NWB file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwbpipe.converters._clock_figure import draw_alignments
    from nwbpipe.converters._convert import convert
    from nwbpipe.converters._load import load_spec
    from nwbpipe.converters._spec import SessionSpec, SourceSpec, SubjectSpec

_HOME = {
    "SessionSpec": "_spec",
    "SourceSpec": "_spec",
    "SubjectSpec": "_spec",
    "convert": "_convert",
    "draw_alignments": "_clock_figure",
    "load_spec": "_load",
}

__all__ = ["SessionSpec", "SourceSpec", "SubjectSpec", "convert", "draw_alignments", "load_spec"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only that."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
