"""Read what a person decided about units, and apply it to their spikes: labels, merges, splits, removals."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.disk import read_regular
from nwbpipe.errors import InputError, SourceError

_MAX_BYTES = 256 * 2**20  # positions of millions of spikes


@dataclass(frozen=True)
class UnitCuration:
    """A person's decisions; units are named as the sorter named them, else by their row.

    Attributes
    ----------
    labels : mapping of str to str
        Label of a unit, of a merged unit by the name of its first member, of a part of a split by its name.
    merges : tuple of tuple of str
        Units that are one.
    splits : mapping of str to list of list of int
        For a unit, the positions among its spikes of each part; spikes that no part has are another part.
    names : mapping
        Names of merged units (by their members) and of the parts of splits (by the unit), where they were given.
    removed : frozenset of str
    units : tuple of str or None
        All units that the curation knows of, if it says so.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    merges: tuple[tuple[str, ...], ...] = ()
    splits: Mapping[str, list[list[int]]] = field(default_factory=dict)
    names: Mapping[Any, Any] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    units: tuple[str, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the decisions as plain JSON, for the record."""
        return {
            "labels": dict(sorted(self.labels.items())),
            "merges": [list(members) for members in self.merges],
            "splits": {unit: [len(part) for part in parts] for unit, parts in self.splits.items()},
            "removed": sorted(self.removed),
        }


@dataclass(frozen=True)
class CuratedUnit:
    """A unit after curation: its name, its label, and rows and spikes of the units that it comes from."""

    name: str
    label: str
    sources: tuple[int, ...]
    spikes: NDArray[np.int64]


def read_unit_curation(path: Path) -> UnitCuration:
    """Read a curation: SpikeInterface's JSON (format 1 or 2), sortingview's (format 0), or a CSV with unit and label.

    Raises
    ------
    SourceError
        The file is none of them, or contradicts itself.
    """
    try:
        if path.suffix == ".json":
            content = json.loads(read_regular(path, _MAX_BYTES).decode("utf-8-sig"))
            if not isinstance(content, dict):
                raise ValueError("it is not an object")
            return _parse_json(content)
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        labels: dict[str, str] = {}
        for number, row in enumerate(rows, start=2):
            unit, label = (row.get("unit") or "").strip(), (row.get("label") or "").strip()
            if not unit or not label or unit in labels:
                raise ValueError(f"line {number}: expected a unit and its label, once; found {dict(row)}")
            labels[unit] = label
        return UnitCuration(labels)
    except (OSError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        msg = "the curation can't be read"
        expected = "a CSV with unit and label, or SpikeInterface's curation.json (format 0, 1 or 2)"
        raise SourceError(msg, where=str(path), expected=expected, found=str(error)) from error


def _parse_json(content: Mapping[str, Any]) -> UnitCuration:
    version = str(content.get("format_version", "0" if "labelsByUnit" in content or "mergeGroups" in content else ""))
    if version == "0":
        labels = {str(unit): _first(values) for unit, values in content.get("labelsByUnit", {}).items() if values}
        merges = tuple(tuple(map(str, group)) for group in content.get("mergeGroups", []))
        return UnitCuration(labels, merges)
    if version not in ("1", "2"):
        raise ValueError(f"format_version {version!r} is unknown")
    labels = {}
    for entry in content.get("manual_labels", []):
        values = entry.get("labels", {key: value for key, value in entry.items() if key != "unit_id"})
        texts = [_first(value) for value in values.values() if value]
        if texts:
            labels[str(entry["unit_id"])] = texts[0]
    units = tuple(map(str, content["unit_ids"]))
    if version == "1":
        merges = tuple(tuple(map(str, group)) for group in content.get("merge_unit_groups", []))
        return UnitCuration(
            labels, merges, removed=frozenset(map(str, content.get("removed_units", []))), units=units
        )
    names: dict[Any, Any] = {}
    merges = tuple(tuple(map(str, merge["unit_ids"])) for merge in content.get("merges", []))
    for members, merge in zip(merges, content.get("merges", []), strict=True):
        if merge.get("new_unit_id") is not None:
            names[members] = str(merge["new_unit_id"])
    splits: dict[str, list[list[int]]] = {}
    for split in content.get("splits", []):
        unit = str(split["unit_id"])
        splits[unit] = _parse_split(split)
        if split.get("new_unit_ids"):
            names[unit] = [str(name) for name in split["new_unit_ids"]]
    removed = frozenset(map(str, content.get("removed", [])))
    return UnitCuration(labels, merges, splits, names, removed, units)


def _first(value: Any) -> str:
    return str(value[0] if isinstance(value, list) else value)


def _parse_split(split: Mapping[str, Any]) -> list[list[int]]:
    if split.get("mode", "indices") == "indices":
        parts = split["indices"]
        return [[int(n) for n in part] for part in (parts if parts and isinstance(parts[0], list) else [parts])]
    labels = np.asarray(split["labels"])
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]


def apply_curation(
    curation: UnitCuration, names: Sequence[str], counts: Sequence[int], ends: NDArray[np.int64]
) -> list[CuratedUnit]:
    """Return the units after curation; each spike of a unit that is not removed is in exactly one of them.

    Parameters
    ----------
    curation : UnitCuration
    names : sequence of str
        Names of the units, in the order of their rows.
    counts : sequence of int
        Number of spikes of each.
    ends : ndarray, int64
        Ends of the units' spikes among all spikes.

    Raises
    ------
    InputError
        The curation is of other units, uses a unit twice, or splits off spikes that a unit does not have.
    """
    _check(curation, names, counts)
    row = {name: number for number, name in enumerate(names)}
    spikes = {name: np.arange(end - count, end) for name, count, end in zip(names, counts, ends, strict=True)}
    merged = {member: members for members in curation.merges for member in members}
    curated: list[CuratedUnit] = []
    for name in names:
        if name in curation.removed or (name in merged and merged[name][0] != name):
            continue
        if name in merged:
            members = merged[name]
            label = next((curation.labels[member] for member in members if member in curation.labels), "")
            title = curation.names.get(members, "+".join(members))
            sources = tuple(row[member] for member in members)
            all_spikes = np.concatenate([spikes[member] for member in members])
            curated.append(CuratedUnit(title, curation.labels.get(title, label), sources, all_spikes))
        elif name in curation.splits:
            part_names = curation.names.get(name, [])
            parts = [np.asarray(part, dtype=np.int64) for part in curation.splits[name]]
            remainder = np.setdiff1d(np.arange(len(spikes[name])), np.concatenate([np.zeros(0, np.int64), *parts]))
            parts += [remainder] if len(remainder) else []
            for number, part in enumerate(parts):
                title = part_names[number] if number < len(part_names) else f"{name}.{number}"
                label = curation.labels.get(title, curation.labels.get(name, ""))
                curated.append(CuratedUnit(title, label, (row[name],), spikes[name][np.sort(part)]))
        else:
            curated.append(CuratedUnit(name, curation.labels.get(name, ""), (row[name],), spikes[name]))
    titles = [unit.name for unit in curated]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        msg = "two curated units have one name"
        raise InputError(msg, where=", ".join(twice), hint="give new_unit_id other values")
    return curated


def _check(curation: UnitCuration, names: Sequence[str], counts: Sequence[int]) -> None:
    mentioned = {*(member for members in curation.merges for member in members), *curation.splits, *curation.removed}
    titles = {title for value in curation.names.values() for title in (value if isinstance(value, list) else [value])}
    mentioned |= set(curation.labels) - titles
    existing = set(names)
    strangers = sorted((mentioned | set(curation.units or ())) - existing)
    if strangers or (curation.units is not None and set(curation.units) != existing):
        msg = "the curation is of other units"
        text = f"units that the step lacks: {', '.join(strangers[:10])}" if strangers else "fewer units"
        expected = f"the {len(names)} units {', '.join(list(names)[:10])}"
        raise InputError(msg, expected=expected, found=text, hint="curate the units of this step's present run")
    roles = [*(member for members in curation.merges for member in members), *curation.splits, *curation.removed]
    twice = sorted({unit for unit in roles if roles.count(unit) > 1})
    if twice:
        msg = "the curation merges, splits or removes a unit twice"
        raise InputError(msg, where=", ".join(twice), expected="one of them for each unit", found="several")
    count_of = dict(zip(names, counts, strict=True))
    for unit, parts in curation.splits.items():
        positions = np.concatenate([np.zeros(0, np.int64), *(np.asarray(part, dtype=np.int64) for part in parts)])
        if len(np.unique(positions)) != len(positions) or not np.isin(positions, np.arange(count_of[unit])).all():
            msg = f"the split of unit {unit} does not fit its spikes"
            expected = f"each of the positions 0 to {count_of[unit] - 1} at most once"
            raise InputError(msg, expected=expected, found=f"positions up to {positions.max()}")
