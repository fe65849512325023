"""Electrodes lie where the metadata say that their group lies.

NeuroConv writes the location "unknown" for each electrode, whatever the location of its group is.

Upstream: https://github.com/catalystneuro/neuroconv/issues/1248 (open) answers with the property `brain_area`, which
is set here; seen in NeuroConv 0.10.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source


def place_electrodes(sources: Iterable[Source], metadata: Mapping[str, Any]) -> None:
    """Give electrodes without a location that of their group in the spec's metadata."""
    groups = metadata.get("Ecephys", {}).get("ElectrodeGroups", {})
    locations = {str(entry.get("name", key)): entry.get("location") for key, entry in groups.items()}
    for source in sources:
        recording: Any = getattr(source.interface, "recording_extractor", None)
        names = None if recording is None else recording.get_property("group_name")
        if names is None or "brain_area" in recording.get_property_keys():
            continue
        if any(locations.get(str(name)) for name in names):
            recording.set_property("brain_area", np.array([locations.get(str(name)) or "unknown" for name in names]))
