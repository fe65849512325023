"""Sorting interfaces find the block `Ecephys` in the metadata.

NeuroConv's sorting interfaces look the block up and fail where a session has no recording that brings it.

Upstream: not reported as of 2026-11; seen in NeuroConv 0.10.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source


def add_ecephys_block(metadata: dict[str, Any], sources: Iterable[Source]) -> None:
    """Add an empty block `Ecephys` to the metadata of a session with sortings, in place."""
    if any(hasattr(source.interface, "sorting_extractor") for source in sources):
        metadata.setdefault("Ecephys", {})
