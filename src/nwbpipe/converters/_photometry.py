"""Check that the metadata of fiber photometry are complete and free of contradictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from nwbpipe.errors import Problem

_LINKS = {
    "optical_fiber_metadata_key": "OpticalFiber",
    "excitation_source_metadata_key": "ExcitationSource",
    "photodetector_metadata_key": "Photodetector",
    "dichroic_mirror_metadata_key": "DichroicMirror",
    "excitation_filter_metadata_key": "OpticalFilter",
    "emission_filter_metadata_key": "OpticalFilter",
}
_REQUIRED = (
    "location",
    "excitation_wavelength_in_nm",
    "emission_wavelength_in_nm",
    "indicator_metadata_key",
    "optical_fiber_metadata_key",
    "excitation_source_metadata_key",
    "photodetector_metadata_key",
)
_ROW = {*_REQUIRED, *_LINKS, "coordinates", "notes", "commanded_voltage_series_metadata_key"}
_OTHERS = {
    "FiberPhotometryTable",
    "FiberPhotometryIndicators",
    "FiberPhotometryViruses",
    "FiberPhotometryVirusInjections",
    "CommandedVoltageSeries",
}
_NEEDS = {
    "FiberPhotometryIndicators": ("name", "label"),
    "FiberPhotometryViruses": ("name", "construct_name", "manufacturer", "titer_in_vg_per_ml"),
    "FiberPhotometryVirusInjections": (
        *("name", "viral_vector_metadata_key", "location", "hemisphere", "reference"),
        *("ap_in_mm", "ml_in_mm", "dv_in_mm", "volume_in_uL"),
    ),
}


def check_photometry(metadata: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of the block ``FiberPhotometry`` and the devices that it names.

    Parameters
    ----------
    metadata : mapping
        NeuroConv's metadata tree, merged.

    Returns
    -------
    list of Problem
        Empty without a `FiberPhotometryTable`: a bare series is valid.
    """
    block = metadata.get("FiberPhotometry")
    if not isinstance(block, Mapping) or "FiberPhotometryTable" not in block:
        return []
    rows = block["FiberPhotometryTable"].get("rows") or {}
    if not isinstance(rows, Mapping):  # the form of NeuroConv's older TDT interface, which checks it itself
        return []
    problems = [problem for key, row in rows.items() for problem in _check_row(str(key), row, metadata)]
    for name in sorted(_ROW - set(_REQUIRED)):
        lacking = [str(key) for key, row in rows.items() if row.get(name) is None]
        if 0 < len(lacking) < len(rows):
            location = f"metadata.FiberPhotometry.FiberPhotometryTable.rows.{lacking[0]}.{name}"
            problems.append(
                Problem("the column has values in some rows only", location, "a value in every row or in none")
            )
    for kind, needed in _NEEDS.items():
        for key, entry in (block.get(kind) or {}).items():
            location = f"metadata.FiberPhotometry.{kind}.{key}"
            problems += [_missing_problem(f"{location}.{name}") for name in needed if entry.get(name) is None]
            problems += _check_side(location, entry.get("hemisphere"), entry.get("ml_in_mm"))
    problems += _check_references(block)
    for key, entry in block.items():
        if key not in _OTHERS and isinstance(entry, Mapping):
            for row in entry.get("fiber_photometry_table_region") or ():
                if row not in rows:
                    location = f"metadata.FiberPhotometry.{key}.fiber_photometry_table_region"
                    problems.append(
                        Problem("the table has no such row", location, ", ".join(map(str, rows)), str(row))
                    )
    return list(dict.fromkeys(problems))  # rows share devices


def _missing_problem(where: str) -> Problem:
    hint = "give it in `metadata`, or in the rig's settings"
    return Problem("the description of the photometry is not complete", where, "a value", "nothing", hint)


def _check_row(key: str, row: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Problem]:
    location = f"metadata.FiberPhotometry.FiberPhotometryTable.rows.{key}"
    for name in _REQUIRED:
        if row.get(name) is None:
            yield _missing_problem(f"{location}.{name}")
    for name in set(row) - _ROW:
        yield Problem("the field is unknown", f"{location}.{name}", ", ".join(sorted(_ROW)))
    light = [row.get(f"{name}_wavelength_in_nm") for name in ("excitation", "emission")]
    if all(value is not None for value in light):
        excitation, emission = map(float, light)  # type: ignore[arg-type]  # None is ruled out
        if not 200 <= excitation < emission <= 2000:
            wavelengths = f"{excitation:g} and {emission:g} nm"
            yield Problem(
                "the wavelengths are impossible",
                location,
                "nanometres, the emission above the excitation",
                wavelengths,
            )
    devices = metadata.get("Devices") or {}
    for name, kind in _LINKS.items():
        device = row.get(name)
        if device is None:
            continue
        entry = devices.get(device)
        if entry is None:
            yield Problem(
                "the device does not exist",
                f"{location}.{name}",
                ", ".join(map(str, devices)) or "devices",
                str(device),
            )
        elif not str(entry.get("type", "")).endswith(kind):
            yield Problem(
                "the device has the wrong type", f"metadata.Devices.{device}.type", kind, str(entry.get("type"))
            )
        elif kind == "OpticalFiber":
            yield from _check_fiber(f"metadata.Devices.{device}.fiber_insertion", entry.get("fiber_insertion"))


def _check_fiber(where: str, insertion: Any) -> Iterator[Problem]:
    if insertion is None:
        yield _missing_problem(where)
        return
    yield from _check_side(where, insertion.get("hemisphere"), insertion.get("insertion_position_ml_in_mm"))


def _check_side(where: str, hemisphere: Any, ml: Any) -> Iterator[Problem]:
    """Check that a coordinate lies on the side of its hemisphere: + is right."""
    if hemisphere not in ("left", "right") or not isinstance(ml, int | float) or not math.isfinite(ml) or ml == 0:
        return
    if (ml > 0) != (hemisphere == "right"):
        hint = "in NWB + is right; correct the sign, or the fiber's name"
        yield Problem("hemisphere and coordinate contradict each other", where, hemisphere, f"ML {ml:g} mm", hint)


def _check_references(block: Mapping[str, Any]) -> Iterator[Problem]:
    rows = block["FiberPhotometryTable"].get("rows") or {}
    links = [
        ("FiberPhotometryTable.rows", rows, "indicator_metadata_key", "FiberPhotometryIndicators"),
        (
            "FiberPhotometryIndicators",
            block.get("FiberPhotometryIndicators") or {},
            "viral_vector_injection_metadata_key",
            "FiberPhotometryVirusInjections",
        ),
        (
            "FiberPhotometryVirusInjections",
            block.get("FiberPhotometryVirusInjections") or {},
            "viral_vector_metadata_key",
            "FiberPhotometryViruses",
        ),
    ]
    for path, entries, name, target in links:
        targets = block.get(target) or {}
        for key, entry in entries.items():
            if entry.get(name) is not None and entry[name] not in targets:
                location = f"metadata.FiberPhotometry.{path}.{key}.{name}"
                yield Problem(
                    f"{target} has no such entry",
                    location,
                    ", ".join(map(str, targets)) or f"an entry of {target}",
                    str(entry[name]),
                )
