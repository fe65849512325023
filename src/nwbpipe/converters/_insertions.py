"""Write where probes were inserted: electrode groups, and the regions of their electrodes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.converters.spec._entities import Insertion
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import SourceError, SpecError

if TYPE_CHECKING:
    from pynwb import NWBFile

_COLUMNS = ("channel", "region")


def add_insertions(spec: SessionSpec, nwbfile: NWBFile) -> None:
    """Complete electrode groups and electrodes of a file in memory by the spec's `insertions`.

    Raises
    ------
    SpecError
        If no electrode group or device has the name of an insertion, or two insertions are of one group.
    SourceError
        If a table of regions can't be read, or does not fit the channels of the group.
    """
    owners: dict[str, str] = {}
    for name, insertion in (spec.insertions or {}).items():
        section = f"{spec.path}: insertions.{name}"
        groups = [
            group
            for group in nwbfile.electrode_groups.values()
            if name in (group.name, getattr(group.device, "name", ""))
        ]
        if not groups:
            names = sorted(
                {*nwbfile.electrode_groups, *(group.device.name for group in nwbfile.electrode_groups.values())}
            )
            msg = f"no electrode group or probe is called {name!r}"
            raise SpecError(msg, where=section, expected=", ".join(names) or "a source of voltages", found=name)
        for group in groups:
            if group.name in owners:
                msg = f"the electrode group {group.name!r} has two insertions"
                raise SpecError(
                    msg, where=section, found=f"{owners[group.name]}, {name}", hint="leave one of them out"
                )
            owners[group.name] = name
        _complete_groups(groups, insertion)
        _complete_electrodes(nwbfile, groups, insertion, section)


def _complete_groups(groups: list[Any], insertion: Insertion) -> None:
    for group in groups:
        text = insertion.describe()
        if insertion.description:
            text += f"; {insertion.description}"
        old = str(group.description or "").rstrip(".")
        group.fields["description"] = text if old in ("", "no description") else f"{old}; {text}"
        group.fields["location"] = insertion.location
        if insertion.ap_in_mm is not None and insertion.dv_in_mm is not None and insertion.ml_in_mm is not None:
            # NWB: x is positive posterior, y inferior, z right; in micrometers.
            x, y, z = -insertion.ap_in_mm * 1e3, -insertion.dv_in_mm * 1e3, insertion.ml_in_mm * 1e3
            group.fields["position"] = np.array((x, y, z), dtype=[("x", "<f8"), ("y", "<f8"), ("z", "<f8")])


def _complete_electrodes(nwbfile: NWBFile, groups: list[Any], insertion: Insertion, where: str) -> None:
    table = nwbfile.electrodes
    if table is None:
        return
    names = {group.name for group in groups}
    rows = [row for row, name in enumerate(table["group_name"].data[:]) if str(name) in names]
    locations = list(table["location"].data[:])
    if insertion.regions is None:
        for row in rows:
            if str(locations[row]) in ("", "unknown"):
                locations[row] = insertion.location
    else:
        regions = read_regions(insertion.regions, where)
        strangers = sorted(set(regions) - set(range(len(rows))))
        if strangers or len(regions) != len(rows):
            raise SourceError(
                "the table of regions does not fit the channels of the probe",
                where=f"{where}.regions: {insertion.regions.name}",
                expected=f"a region for each of the channels 0 to {len(rows) - 1}",
                found=f"{len(regions)} channels" + (f", also {strangers[:10]}" if strangers else ""),
            )
        for channel, row in enumerate(rows):
            locations[row] = regions[channel]
    column = table["location"]
    if isinstance(column.data, list):
        column.data[:] = locations
    else:
        column.fields["data"] = np.array(locations, dtype=object)


def read_regions(path: Path, where: str) -> dict[int, str]:
    """Read a CSV with the columns channel and region.

    Raises
    ------
    SourceError
        If a column is missing, a channel is named twice, or a region is empty.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = [(reader.line_num, line) for line in reader]
            head = [name.strip() for name in reader.fieldnames or ()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = "the table of regions can't be read"
        raise SourceError(msg, where=f"{where}.regions: {path.name}", expected="a CSV", found=str(error)) from error
    if not set(_COLUMNS) <= set(head):
        msg = "the table of regions lacks a column"
        raise SourceError(
            msg, where=f"{where}.regions: {path.name}", expected="channel, region", found=", ".join(head)
        )
    regions: dict[int, str] = {}
    for number, line in lines:
        values = {str(key).strip(): (value or "").strip() for key, value in line.items() if isinstance(value, str)}
        channel, region = values.get("channel", ""), values.get("region", "")
        if not channel.isdigit() or not region or int(channel) in regions:
            raise SourceError(
                "a row of the table does not name a channel of its own and its region",
                where=f"{where}.regions: {path.name}, line {number}",
                found=f"channel {channel!r}, region {region!r}",
            )
        regions[int(channel)] = region
    return regions
