"""Recordings of different probes keep electrodes of their own.

NeuroConv takes channels of one name in one group for the same electrodes. That is right for the bands of one probe,
but two recordings whose channels are merely numbered share their electrodes in silence.

Upstream: https://github.com/catalystneuro/neuroconv/issues/254. Pull request 255 answered it with groups that
the caller has to name; seen in NeuroConv 0.10.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source

_DEFAULT_GROUP = "ElectrodeGroup"


def separate_probes(sources: Iterable[Source]) -> None:
    """Give recordings from different folders electrode groups of their own."""
    owners: dict[str, list[Source]] = {}
    for source in sources:
        recording: Any = getattr(source.interface, "recording_extractor", None)
        if recording is None:
            continue
        groups = recording.get_property("group_name")
        groups = [_DEFAULT_GROUP] * recording.get_num_channels() if groups is None else list(map(str, groups))
        sharing = [owner for group in set(groups) for owner in owners.get(group, ())]
        for group in set(groups):
            owners.setdefault(group, []).append(source)
        if any(_folder_of(owner) != _folder_of(source) for owner in sharing):
            recording.set_property("group_name", np.array([f"{group}_{source.name}" for group in groups]))


def _folder_of(source: Source) -> Path | None:
    """Return the folder that a source is read from: the bands of one probe lie together."""
    paths = [value for value in source.spec.args.values() if isinstance(value, Path)]
    return next((path if path.is_dir() else path.parent for path in paths), None)
