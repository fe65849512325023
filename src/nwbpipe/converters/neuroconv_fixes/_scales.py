"""Workarounds for scales: a sample's value in volts must be the measured one."""

from __future__ import annotations

from typing import Any

import numpy as np

# The steps of a 16-bit converter, and the ranges (V) that an analog input may have.
_STEPS = 2**16
_RANGES_V = (0.5, 50.0)


def correct_scales(interface: Any) -> list[str]:
    """Put right the gains and units of a recording before it is written; return notes on the corrections.

    Parameters
    ----------
    interface : BaseDataInterface
        Any interface; all but EDF recordings and Open Ephys' analog inputs are left alone.
    """
    recording: Any = getattr(interface, "recording_extractor", None)
    names = {owner.__name__ for owner in type(interface).__mro__}
    if recording is not None and "EDFRecordingInterface" in names:
        return _correct_edf_gain(recording)
    if recording is not None and "OpenEphysBinaryAnalogInterface" in names:
        return _correct_analog_unit(recording)
    return []


def _correct_edf_gain(recording: Any) -> list[str]:
    """Scale EDF by the format's definition.

    A step is (physical max - min) / (digital max - min) (https://www.edfplus.info/specs/edf.html). neo divides by one
    step more: the values come out 1 % too small for 101 steps.

    Upstream: not reported as of 2026-11; so since https://github.com/NeuralEnsemble/python-neo/pull/1035. Seen in neo
    0.14.6. A gain that is not neo's is left alone.
    """
    reader: Any = getattr(recording, "neo_reader", None)
    headers: Any = getattr(reader, "signal_headers", None)
    stream = getattr(recording, "stream_id", None)
    if headers is None:
        return []
    # neo makes the channel's id of the signal's place, and names it by its label; labels may repeat.
    channels = [channel for channel in reader.header["signal_channels"] if channel["stream_id"] == stream]
    ids = [str(name) for name in recording.channel_ids]
    for key in ("name", "id"):
        by_id = {str(channel[key]): headers[int(channel["id"])] for channel in channels}
        if len(by_id) == len(channels) and set(ids) <= set(by_id):
            break
    else:
        return []
    low, high, first, last = (
        np.array([by_id[name][key] for name in ids], dtype=float)
        for key in ("physical_min", "physical_max", "digital_min", "digital_max")
    )
    span, steps = high - low, last - first
    for gain, offset in (("gain_to_physical_unit", "offset_to_physical_unit"), ("gain_to_uV", "offset_to_uV")):
        read = recording.get_property(gain)
        if read is None:
            continue
        unit = read * (steps + 1) / span  # volts in the file are microvolts here: a power of ten, or 1
        if not np.allclose(np.log10(unit), np.round(np.log10(unit)), atol=1e-6):
            return []  # not neo's mistake: a version that has mended it, or that scales otherwise
        unit = 10 ** np.round(np.log10(unit))
        recording.set_property(gain, span / steps * unit)
        recording.set_property(offset, (low - first * span / steps) * unit)
    return ["the gain is by the definition of EDF; neo's is too small by one step of the digital range"]


def _correct_analog_unit(recording: Any) -> list[str]:
    """Call the unit of Open Ephys' analog inputs volts.

    Up to 0.5, Open Ephys calls their unit uV in ``structure.oebin``, though the step is in volts; neo hands it on.

    Upstream: https://github.com/open-ephys/plugin-GUI/issues/472 (the step is always in volts) and
    https://github.com/NeuralEnsemble/python-neo/pull/1624 (volts where the file names no unit). Files that name uV
    remain: this ends with a neo that reads them as volts. Seen in neo 0.14.6.
    """
    unit, gain = recording.get_property("physical_unit"), recording.get_property("gain_to_physical_unit")
    if unit is None or gain is None or not all(str(name) == "uV" for name in unit):
        return []
    if not ((gain * _STEPS >= _RANGES_V[0]) & (gain * _STEPS <= _RANGES_V[1])).all():
        return []
    recording.set_property("physical_unit", np.array(["volts"] * len(unit)))
    return ["the unit of the analog inputs is volts: Open Ephys calls it uV, with a step in volts"]
