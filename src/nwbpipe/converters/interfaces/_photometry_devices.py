"""NeuroConv's metadata tree of a photometry rig: fibers, light sources, detectors, indicators, viruses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nwbpipe.converters.interfaces._photometry_settings import PhotometrySettings, PhotometryTrace, value_or_none

_NOT_STATED = "not stated"
_SURFACES = ("dura", "skull_surface")


def photometry_metadata(settings: PhotometrySettings, key: str) -> dict[str, Any]:
    """Describe a rig by the types of ndx-fiber-photometry.

    What the settings leave open and the types require is None, to be filled in by the spec's ``metadata``; the check
    of the metadata refuses what is still open then.

    Parameters
    ----------
    settings : Settings
        The rig's settings.
    key : str
        The source's name: begins the keys of the rows and devices.

    Returns
    -------
    dict
        The blocks ``Devices``, ``DeviceModels`` and ``FiberPhotometry``.
    """
    devices: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    indicators: dict[str, Any] = {}
    viruses: dict[str, Any] = {}
    injections: dict[str, Any] = {}
    ordered = sorted(settings.traces, key=lambda trace: list(_detectors(settings)).index(trace.channel))
    models = _fiber_model(settings, key)
    for trace in ordered:
        fiber, implant = f"{key}_fiber_{trace.fiber}", settings.implants.get(trace.fiber, {})
        devices[fiber] = {
            "type": "OpticalFiber",
            "name": f"OpticalFiber_{key}_{trace.fiber}",
            "description": _text("Optical fiber", settings.fiber.get("fiber_type"), implant.get("notes")),
            "fiber_insertion": _insertion(trace.fiber, implant),
            **({"device_model_metadata_key": next(iter(models))} if models else {}),
        }
        source, detector = f"{key}_source_{trace.name}", f"{key}_detector_{_detectors(settings)[trace.channel]}"
        devices[source] = {
            "type": "ExcitationSource",
            "name": f"ExcitationSource_{key}_{trace.name}",
            "description": _text("Light source", settings.fiber.get("light_source")),
        }
        name = detector.removeprefix(f"{key}_detector_")
        devices[detector] = {
            "type": "Photodetector",
            "name": f"Photodetector_{key}_{name}",
            "description": "Detector",
        }
        virus = settings.viruses.get(trace.fiber)
        injection = None
        if virus and value_or_none(virus.get("virus")) is not None:
            injection = f"{key}_injection_{trace.fiber}"
            viruses[f"{key}_virus_{trace.fiber}"] = _virus(virus, f"{key}_{trace.fiber}")
            injections[injection] = _injection(virus, key, trace.fiber)
        indicator = f"{key}_indicator_{trace.name}"
        indicators[indicator] = {
            "name": f"Indicator_{key}_{trace.name}",
            "label": trace.sensor,
            "description": f"Sensor in {value_or_none(implant.get('brain_region')) or trace.fiber}, {trace.colour}",
            **({"viral_vector_injection_metadata_key": injection} if injection else {}),
        }
        rows[f"{key}_{trace.name}"] = {
            "location": value_or_none(implant.get("brain_region")),
            "excitation_wavelength_in_nm": None if trace.excitation_nm is None else float(trace.excitation_nm),
            "emission_wavelength_in_nm": None if trace.emission_nm is None else float(trace.emission_nm),
            "indicator_metadata_key": indicator,
            "optical_fiber_metadata_key": fiber,
            "excitation_source_metadata_key": source,
            "photodetector_metadata_key": detector,
            "notes": _notes(trace),
        }
    block: dict[str, Any] = {
        "FiberPhotometryIndicators": indicators,
        "FiberPhotometryTable": {
            "name": "fiber_photometry_table",
            "description": "One row a trace: its fiber, light, detector and indicator",
            "rows": rows,
        },
        key: {
            "name": "FiberPhotometryResponseSeries",
            "description": f"Photometry of {', '.join(dict.fromkeys(trace.fiber for trace in ordered))}",
            "fiber_photometry_table_region": list(rows),
        },
    }
    if viruses:
        block |= {"FiberPhotometryViruses": viruses, "FiberPhotometryVirusInjections": injections}
    return {"Devices": devices, "DeviceModels": models, "FiberPhotometry": block}


def _detectors(settings: PhotometrySettings) -> dict[int, str]:
    """Channels of the detectors, each called after its first trace."""
    names: dict[int, str] = {}
    for trace in settings.traces:
        names.setdefault(trace.channel, trace.name)
    return names


def _text(*parts: Any) -> str:
    return "; ".join(str(part) for part in parts if value_or_none(part) is not None)


def _notes(trace: PhotometryTrace) -> str:
    carrier = "carrier not stated" if trace.carrier_hz is None else f"carrier {trace.carrier_hz:g} Hz"
    return f"{trace.fiber}, {trace.colour}; channel {trace.channel}, {carrier}"


def _fiber_model(settings: PhotometrySettings, key: str) -> dict[str, Any]:
    """The fibers' model, where the settings give what its type requires: the numerical aperture."""
    aperture = value_or_none(settings.fiber.get("numerical_aperture"))
    if aperture is None:
        return {}
    diameter = value_or_none(settings.fiber.get("fiber_diameter"))
    return {
        f"{key}_fiber_model": {
            "type": "OpticalFiberModel",
            "name": f"OpticalFiberModel_{key}",
            "manufacturer": value_or_none(settings.fiber.get("fiber_type")) or _NOT_STATED,
            "numerical_aperture": float(aperture),
            **({} if diameter is None else {"core_diameter_in_um": float(diameter)}),
        }
    }


def hemisphere_of(fiber: str) -> str | None:
    """Hemisphere that a fiber's name begins with, as the settings' own names do."""
    return next((side for side in ("left", "right") if fiber.lower().startswith(side)), None)


def _coordinate(table: Mapping[str, Any], name: str) -> float | None:
    value = table.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _reference(table: Mapping[str, Any]) -> str:
    stated = [
        f"{axis.upper()} from {table[f'{axis}_ref']}"
        for axis in ("ap", "ml", "dv")
        if value_or_none(table.get(f"{axis}_ref"))
    ]
    return ", ".join(stated) or _NOT_STATED


def _insertion(fiber: str, implant: Mapping[str, Any]) -> dict[str, Any]:
    """Describe where a fiber goes in; a depth below a surface is the way from that surface."""
    ap, ml, dv = (_coordinate(implant, axis) for axis in ("ap", "ml", "dv"))
    below = dv is not None and implant.get("dv_ref") in _SURFACES
    stated = {
        "insertion_position_ap_in_mm": ap,
        "insertion_position_ml_in_mm": ml,
        "insertion_position_dv_in_mm": 0.0 if below else dv,
        "depth_in_mm": abs(dv) if below and dv is not None else None,
        "hemisphere": hemisphere_of(fiber),
        "position_reference": _reference(implant) if implant else None,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _virus(virus: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "name": f"ViralVector_{name}",
        "construct_name": str(virus["virus"]),
        "description": f"Virus {virus['virus']}",
        "manufacturer": value_or_none(virus.get("manufacturer")) or _NOT_STATED,
        "titer_in_vg_per_ml": _coordinate(virus, "titer") or float("nan"),
    }


def _injection(virus: Mapping[str, Any], key: str, fiber: str) -> dict[str, Any]:
    nan = float("nan")
    coordinates = {f"{axis}_in_mm": _coordinate(virus, axis) for axis in ("ap", "ml", "dv")}
    volume = _coordinate(virus, "volume")  # in nl
    notes = value_or_none(virus.get("notes")) or f"Injection for the fiber {fiber}"
    return {
        "name": f"ViralVectorInjection_{key}_{fiber}",
        "viral_vector_metadata_key": f"{key}_virus_{fiber}",
        "location": value_or_none(virus.get("brain_region")) or _NOT_STATED,
        "hemisphere": hemisphere_of(fiber) or _NOT_STATED,
        "reference": _reference(virus),
        "volume_in_uL": nan if volume is None else volume / 1000,
        **{name: nan if value is None else value for name, value in coordinates.items()},
        "description": str(notes),
    }
