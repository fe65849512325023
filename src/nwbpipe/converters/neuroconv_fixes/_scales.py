"""Scales that a reader or a recording program gets wrong: a sample's value in volts must be what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np

# The steps of a 16-bit converter, and the ranges (V) that an analog input may have.
_STEPS = 2**16
_RANGES_V = (0.5, 50.0)


def mend_scales(interface: Any) -> list[str]:
    """Put right the gains and units of a recording, before it is written.

    - EDF: a step is (physical max - min) / (digital max - min), as the format's definition has it
      (https://www.edfplus.info/specs/edf.html); neo 0.14 divides by one more: 1 % too little for 101 steps.
    - Analog inputs of Open Ephys up to 0.5: ``structure.oebin`` calls their unit uV, though the step is in volts.

    Parameters
    ----------
    interface : BaseDataInterface
        An interface of NeuroConv with a `recording_extractor`; others are left alone.

    Returns
    -------
    list of str
        Remarks on what was put right.
    """
    recording: Any = getattr(interface, "recording_extractor", None)
    names = {owner.__name__ for owner in type(interface).__mro__}
    if recording is None:
        return []
    if "EDFRecordingInterface" in names:
        return _mend_edf(recording)
    if "OpenEphysBinaryAnalogInterface" in names:
        return _mend_analog_inputs(recording)
    return []


def _mend_edf(recording: Any) -> list[str]:
    raw: Any = getattr(recording, "neo_reader", None)
    headers: Any = getattr(raw, "signal_headers", None)
    stream = getattr(recording, "stream_id", None)
    if headers is None:
        return []
    # neo makes the channel's id of the signal's place, and names it by its label; labels may repeat.
    channels = [channel for channel in raw.header["signal_channels"] if channel["stream_id"] == stream]
    ids = [str(name) for name in recording.channel_ids]
    for key in ("name", "id"):
        found = {str(channel[key]): headers[int(channel["id"])] for channel in channels}
        if len(found) == len(channels) and set(ids) <= set(found):
            break
    else:
        return []
    low, high, first, last = (
        np.array([found[name][key] for name in ids], dtype=float)
        for key in ("physical_min", "physical_max", "digital_min", "digital_max")
    )
    span, steps = high - low, last - first
    for gain, offset in (("gain_to_physical_unit", "offset_to_physical_unit"), ("gain_to_uV", "offset_to_uV")):
        given = recording.get_property(gain)
        if given is None:
            continue
        unit = given * (steps + 1) / span  # volts in the file are microvolts here: a power of ten, or 1
        if not np.allclose(np.log10(unit), np.round(np.log10(unit)), atol=1e-6):
            return []  # not neo's mistake: a version that has mended it, or that scales otherwise
        unit = 10 ** np.round(np.log10(unit))
        recording.set_property(gain, span / steps * unit)
        recording.set_property(offset, (low - first * span / steps) * unit)
    return ["the gain is by the definition of EDF; neo's is too small by one step of the digital range"]


def _mend_analog_inputs(recording: Any) -> list[str]:
    unit, gain = recording.get_property("physical_unit"), recording.get_property("gain_to_physical_unit")
    if unit is None or gain is None or not all(str(name) == "uV" for name in unit):
        return []
    if not ((gain * _STEPS >= _RANGES_V[0]) & (gain * _STEPS <= _RANGES_V[1])).all():
        return []
    recording.set_property("physical_unit", np.array(["volts"] * len(unit)))
    return ["the unit of the analog inputs is volts: Open Ephys calls it uV, with a step in volts"]
