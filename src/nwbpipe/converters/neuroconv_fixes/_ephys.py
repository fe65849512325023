"""Workarounds for recordings and sortings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source

_DEFAULT_GROUP = "ElectrodeGroup"


def separate_probes(sources: Iterable[Source]) -> None:
    """Give recordings from different folders electrode groups, and so electrodes, of their own.

    NeuroConv takes channels of one name in one group for the same electrodes. That is right for the bands of one
    probe, but two recordings whose channels are merely numbered share their electrodes in silence.

    Upstream: https://github.com/catalystneuro/neuroconv/issues/254. Pull request 255 answered it with groups that the
    caller has to name. Seen in NeuroConv 0.10.2.
    """
    owners: dict[str, list[Source]] = {}
    for source, recording in _with_extractor(sources, "recording_extractor"):
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


def keep_geometry(sources: Iterable[Source]) -> None:
    """Keep the positions of a probe's contacts: `rel_x`, `rel_y` of the electrodes, in micrometers.

    NeuroConv takes them from the property `location`, which SpikeInterface 0.105 no longer sets with a probe: the
    geometry would be lost in silence.

    Upstream: https://github.com/SpikeInterface/spikeinterface/pull/4465 dropped the property. Not reported to
    NeuroConv as of 2026-11. Seen in 0.10.2 with SpikeInterface 0.105.3.
    """
    for _, recording in _with_extractor(sources, "recording_extractor"):
        if recording.has_probe() and "location" not in recording.get_property_keys():
            recording.set_property("location", recording.get_channel_locations())


def place_electrodes(sources: Iterable[Source], metadata: Mapping[str, Any]) -> None:
    """Give electrodes without a location that of their group in the spec's metadata.

    NeuroConv writes the location "unknown" for each electrode, whatever the location of its group is.

    Upstream: https://github.com/catalystneuro/neuroconv/issues/1248 (open) answers with the property `brain_area`,
    which is set here. Seen in NeuroConv 0.10.2.
    """
    groups = metadata.get("Ecephys", {}).get("ElectrodeGroups", {})
    locations = {str(entry.get("name", key)): entry.get("location") for key, entry in groups.items()}
    for _, recording in _with_extractor(sources, "recording_extractor"):
        names = recording.get_property("group_name")
        if names is None or "brain_area" in recording.get_property_keys():
            continue
        if any(locations.get(str(name)) for name in names):
            recording.set_property("brain_area", np.array([locations.get(str(name)) or "unknown" for name in names]))


def rename_units(sources: Iterable[Source]) -> None:
    """Give the units of a sorting whose names another sorting has names with their source's.

    NeuroConv leaves out a unit whose name is in the table already: of two sortings with the units 0, 1, 2, … the
    second would be lost in silence.

    Upstream: https://github.com/catalystneuro/neuroconv/issues/1079, closed with the advice to rename the units. Seen
    in NeuroConv 0.10.2.
    """
    used: set[str] = set()
    for source, sorting in _with_extractor(sources, "sorting_extractor"):
        names = sorting.get_property("unit_name")
        names = [str(name) for name in (sorting.get_unit_ids() if names is None else names)]
        if used & set(names):
            names = [f"{source.name}_{name}" for name in names]
            sorting.set_property("unit_name", np.array(names))
        used |= set(names)


def add_ecephys_block(metadata: dict[str, Any], sources: Iterable[Source]) -> None:
    """Add an empty block `Ecephys` to the metadata of a session with sortings, in place.

    NeuroConv's sorting interfaces look the block up and fail where a session has no recording that brings it.

    Upstream: not reported as of 2026-11. Seen in NeuroConv 0.10.2:
    ``MockSortingInterface().add_to_nwbfile(nwbfile, metadata={})`` raises ``KeyError: 'Ecephys'``.
    """
    if any(_with_extractor(sources, "sorting_extractor")):
        metadata.setdefault("Ecephys", {})


def _with_extractor(sources: Iterable[Source], kind: str) -> list[tuple[Source, Any]]:
    extractors = [(source, getattr(source.interface, kind, None)) for source in sources]
    return [(source, extractor) for source, extractor in extractors if extractor is not None]
