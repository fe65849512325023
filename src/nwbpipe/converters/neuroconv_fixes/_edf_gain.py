"""The gain of EDF recordings is that of the format's definition.

A step is (physical max - min) / (digital max - min) (https://www.edfplus.info/specs/edf.html). neo divides by one
step more: the values come out 1 % too small for 101 steps.

Upstream: not reported as of 2026-11; so since https://github.com/NeuralEnsemble/python-neo/pull/1035, seen in neo
0.14.6. A gain that is not neo's is left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def correct_edf_gain(interface: Any) -> list[str]:
    """Put right the gains and offsets of an EDF recording, before it is written.

    Parameters
    ----------
    interface : BaseDataInterface
        Any interface; all but EDF recordings are left alone.

    Returns
    -------
    list of str
        A note if the gain was corrected.
    """
    recording: Any = getattr(interface, "recording_extractor", None)
    if recording is None or "EDFRecordingInterface" not in {owner.__name__ for owner in type(interface).__mro__}:
        return []
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
