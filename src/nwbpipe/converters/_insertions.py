"""Write where probes were inserted: electrode groups, and the regions of their electrodes."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.converters.spec._entities import Insertion
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import SourceError, SpecError

if TYPE_CHECKING:
    from pynwb import NWBFile

#: Where a row stands, its channel, its region, AP, ML and DV in micrometers, and its place along the probe.
_Row = tuple[str, str, str, list[Any], float | None]
#: Names of the column with the region, in tables of ours, of Pinpoint and of IBL.
_REGIONS = ("region", "acronym", "brain_region")
_AXES = {"x": "Position towards posterior", "y": "Position towards inferior", "z": "Position towards right"}
_SAME_PLACE_UM = 1.0


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
        _replace_column(table, "location", locations)
        return
    regions = read_regions(insertion.regions, where)
    strangers = sorted(set(regions) - set(range(len(rows))))
    if strangers or len(regions) != len(rows):
        raise SourceError(
            "the table of regions does not fit the channels of the probe",
            where=f"{where}.regions: {insertion.regions.name}",
            expected=f"a region for each of the channels 0 to {len(rows) - 1}",
            found=f"{len(regions)} channels" + (f", also {strangers[:10]}" if strangers else ""),
        )
    channels = {row: regions[channel] for channel, row in enumerate(rows)}
    _check_order(table, channels, f"{where}.regions: {insertion.regions.name}")
    for row, channel in channels.items():
        locations[row] = channel.region
    _replace_column(table, "location", locations)
    positions = {row: channel.position for row, channel in channels.items() if channel.position is not None}
    if positions:
        _add_positions(table, positions)


def _check_order(table: Any, channels: dict[int, ChannelRegion], where: str) -> None:
    """Refuse channels that lie elsewhere along the probe than the electrodes: IBL numbers them as its sorter does."""
    if "rel_y" not in table.colnames:
        return
    pairs = [
        (float(table["rel_y"].data[row]), channel.axial)
        for row, channel in channels.items()
        if channel.axial is not None
    ]
    offsets = [axial - depth for depth, axial in pairs if np.isfinite(depth)]  # programs count from other zeros
    if offsets and np.ptp(offsets) > _SAME_PLACE_UM:
        raise SourceError(
            "the channels are in another order than the electrodes of the probe",
            where=where,
            expected=f"axial as rel_y: {', '.join(f'{depth:g}' for depth, _ in pairs[:8])}, …",
            found=f"{', '.join(f'{axial:g}' for _, axial in pairs[:8])}, …",
            hint="write a CSV with the columns channel and region, channels numbered as in the recording",
        )


def _add_positions(table: Any, positions: dict[int, Any]) -> None:
    """Write the columns x, y and z of some electrodes; those of others stay, or are NaN."""
    for axis, name in enumerate("xyz"):
        values = list(table[name].data[:]) if name in table.colnames else [np.nan] * len(table)
        for row, position in positions.items():
            values[row] = position[axis]
        if name in table.colnames:
            _replace_column(table, name, values)
        else:
            table.add_column(name=name, description=f"{_AXES[name]}, in micrometers", data=values)


def _replace_column(table: Any, name: str, values: list[Any]) -> None:
    column = table[name]
    if isinstance(column.data, list):
        column.data[:] = values
    else:
        column.fields["data"] = np.array(values, dtype=object if isinstance(values[0], str) else np.float64)


@dataclass(frozen=True)
class ChannelRegion:
    """The region that a channel lies in, and its places in micrometers, if known: in NWB's axes, along the probe."""

    region: str
    position: tuple[float, float, float] | None = None
    axial: float | None = None


def read_regions(path: Path, where: str) -> dict[int, ChannelRegion]:
    """Read the regions of channels: a CSV, or ``channel_locations.json`` of IBL's alignment program.

    A CSV has the columns channel and region (or acronym, brain_region), and maybe ap_in_mm, ml_in_mm and dv_in_mm.
    In the JSON ``channel_<number>`` has brain_region, x (right), y (anterior), z (dorsal) in micrometers from bregma,
    and axial, its place along the probe.

    Raises
    ------
    SourceError
        If a column is missing, a channel is named twice, a region is empty, or a coordinate is not a number.
    """
    source = f"{where}.regions: {path.name}"
    try:
        rows = _read_json(path, source) if path.suffix.lower() == ".json" else _read_csv(path, source)
    except (OSError, ValueError, csv.Error) as error:
        msg = "the table of regions can't be read"
        raise SourceError(msg, where=source, expected="a CSV or JSON", found=str(error)) from error
    regions: dict[int, ChannelRegion] = {}
    for title, channel, region, coordinates, axial in rows:
        if not channel.isdecimal() or not region or int(channel) in regions:
            raise SourceError(
                "a row of the table does not name a channel of its own and its region",
                where=f"{source}, {title}",
                found=f"channel {channel!r}, region {region!r}",
            )
        regions[int(channel)] = ChannelRegion(region, _parse_position(coordinates, f"{source}, {title}"), axial)
    return regions


def _parse_position(coordinates: Sequence[Any], where: str) -> tuple[float, float, float] | None:
    """Turn AP, ML and DV in micrometers (anterior, right, dorsal positive) into NWB's axes."""
    if all(value in (None, "") for value in coordinates):
        return None
    try:
        ap, ml, dv = (float(value) for value in coordinates)
    except (TypeError, ValueError):
        ap = ml = dv = float("nan")
    if not np.isfinite([ap, ml, dv]).all():
        msg = "a row of the table does not have three coordinates"
        raise SourceError(msg, where=where, expected="numbers", found=", ".join(map(str, coordinates)))
    return -ap, -dv, ml


def _read_csv(path: Path, source: str) -> list[_Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        lines = [(reader.line_num, line) for line in reader]
        names = [name.strip() for name in reader.fieldnames or ()]
    region = next((name for name in _REGIONS if name in names), None)
    if "channel" not in names or region is None:
        msg = "the table of regions lacks a column"
        expected = f"channel, and {', '.join(_REGIONS[:-1])} or {_REGIONS[-1]}"
        raise SourceError(msg, where=source, expected=expected, found=", ".join(names))
    rows: list[_Row] = []
    for number, line in lines:
        values = {str(key).strip(): (value or "").strip() for key, value in line.items() if isinstance(value, str)}
        coordinates = [_scale(values.get(name, "")) for name in ("ap_in_mm", "ml_in_mm", "dv_in_mm")]
        rows.append((f"line {number}", values.get("channel", ""), values.get(region, ""), coordinates, None))
    return rows


def _scale(text: str) -> Any:
    """Return millimeters in micrometers; a text that is not a number stays as it is."""
    try:
        return float(text) * 1e3
    except ValueError:
        return text


def _read_json(path: Path, source: str) -> list[_Row]:
    content = json.loads(path.read_text(encoding="utf-8"))
    names = [name for name in content if name.startswith("channel_")] if isinstance(content, dict) else []
    channels = {name: content[name] for name in names if isinstance(content[name], dict)}
    if not channels:
        msg = "the file does not hold the regions of channels"
        raise SourceError(msg, where=source, expected="channel_0, channel_1, … with brain_region", found=path.name)
    rows = []
    for name, entry in channels.items():
        number, axial = name.removeprefix("channel_"), entry.get("axial")
        coordinates = [entry.get(axis) for axis in "yxz"]
        axial = float(axial) if isinstance(axial, int | float) else None
        rows.append((name, number, str(entry.get("brain_region") or ""), coordinates, axial))
    return rows
