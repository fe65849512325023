"""session.yaml → NWB file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwbpipe.converters._convert import convert
    from nwbpipe.converters._load import load_spec
    from nwbpipe.converters._spec import SessionSpec, SourceSpec, SubjectSpec
    from nwbpipe.converters._summary import SpecSummary, summarize_spec

_HOME = {
    "SessionSpec": "_spec",
    "SourceSpec": "_spec",
    "SpecSummary": "_summary",
    "SubjectSpec": "_spec",
    "convert": "_convert",
    "load_spec": "_load",
    "summarize_spec": "_summary",
}

__all__ = ["SessionSpec", "SourceSpec", "SpecSummary", "SubjectSpec", "convert", "load_spec", "summarize_spec"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only that."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
