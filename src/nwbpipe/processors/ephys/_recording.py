"""Check a recording and describe it for compute modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.processors.ephys import _electrodes
from nwbpipe.processors.ephys._clock import Floats, sampling_rate

if TYPE_CHECKING:
    from pynwb.ecephys import ElectricalSeries


def check_band(series: ElectricalSeries, highest_hz: float | None, where: str) -> None:
    """Refuse a series without times, or whose sampling rate is too low for a frequency."""
    if series.rate is None and series.timestamps is None:
        msg = "the series has neither a rate nor timestamps"
        raise InputError(msg, where=where, hint="convert it again with one of them")
    rate = sampling_rate(series)
    if highest_hz is not None and highest_hz >= rate / 2:
        msg = "the filter's band does not fit the sampling rate"
        raise InputError(
            msg,
            where=where,
            expected=f"frequencies below half of the sampling rate, {rate / 2:g} Hz",
            found=f"{highest_hz:g} Hz",
            hint="is this the raw recording, not the field potential? lower freq_max otherwise",
        )


def check_field_potential(series: ElectricalSeries, bands: Mapping[str, tuple[float, float]], where: str) -> float:
    """Return the sampling rate of a field potential; refuse a series without times, too fast, or too slow for a band.

    Parameters
    ----------
    series : ElectricalSeries
    bands : mapping of str to tuple
        Lowest and highest frequency, by name.
    where : str
        Path of the series.
    """
    check_band(series, None, where)
    rate = sampling_rate(series)
    for name, (low, high) in bands.items():
        if high + 0.25 * min(low, high - low) >= rate / 2:  # the filter falls off over this
            msg = "the band does not lie below half of the sampling rate"
            raise InputError(
                msg,
                where=where,
                expected=f"well below {rate / 2:g} Hz",
                found=f"{name}: {low:g} to {high:g} Hz",
                hint="narrow the band, or resample the recording at a higher rate (`lfp -p rate=1250`)",
            )
    if rate > 5000.0:
        msg = "the series is sampled too fast for a field potential"
        raise InputError(
            msg, where=where, expected="at most 5000 Hz", found=f"{rate:g} Hz", hint="resample it first: `lfp`"
        )
    return rate


def check_shape(series: ElectricalSeries, where: str) -> int:
    """Return the number of channels; refuse data that don't fit the electrodes, or without samples."""
    shape = tuple(series.data.shape)
    channels = 1 if len(shape) == 1 else shape[1]
    if len(shape) > 2 or channels != len(series.electrodes.data):
        msg = "the series and its electrodes don't fit"
        raise InputError(
            msg, where=where, expected=f"data of shape (time, {len(series.electrodes.data)})", found=str(shape)
        )
    if shape[0] < 2:
        msg = "the series holds no samples"
        raise InputError(msg, where=where, expected="two samples or more", found=str(shape))
    return int(channels)


def find_locations(series: ElectricalSeries, group_of: list[int], where: str, needs: str | None) -> Floats | None:
    """Return the positions of the channels; refuse a recording without them if something needs them.

    Parameters
    ----------
    series : ElectricalSeries
    group_of : list of int
    where : str
        Path of the series.
    needs : str or None
        Name of what needs to know the positions; None if nothing does.
    """
    locations = _electrodes.channel_locations(series, group_of)
    if locations is None and needs is not None and len(group_of) > 1:
        msg = f"{needs} needs to know where the electrodes are"
        raise InputError(
            msg,
            where=f"{where}/electrodes",
            expected="finite columns rel_x and rel_y (or x, y and z) in the electrodes table, in micrometers, no "
            "two channels of a group in one place",
            found=", ".join(series.electrodes.table.colnames),
            hint="name the probe in session.yaml (`probe:` of the source), and convert again",
        )
    return locations


def check_gains(series: ElectricalSeries, gains_to_uv: list[float], where: str) -> None:
    """Refuse channels whose stored values have no meaning in volts."""
    hint = "convert it again from files that state the gain, or by SeriesInterface with its conversion"
    unknown = [f"{number}: {gain:g}" for number, gain in enumerate(gains_to_uv) if gain == 0 or not np.isfinite(gain)]
    if unknown:
        msg = "channels have no gain"
        found = ", ".join(unknown[:10]) + (", …" if len(unknown) > 10 else "")
        raise InputError(msg, where=where, expected="microvolts to a step", found=found, hint=hint)
    if np.issubdtype(series.data.dtype, np.integer) and all(gain == 1e6 for gain in gains_to_uv):
        msg = "the series has no gain: its integers would be volts"
        raise InputError(msg, where=where, expected="a conversion to volts", found="conversion 1", hint=hint)


def describe_recording(
    series: ElectricalSeries, where: str, *, needs: str | None = None, needs_gain: bool = True
) -> dict[str, Any]:
    """Return the facts on a recording that `_preprocess` reads: rate, length, groups, positions, gains, delays."""
    channels = check_shape(series, where)
    names, group_of = _electrodes.electrode_groups(series)
    locations = find_locations(series, group_of, where, needs)
    gains, offsets = _electrodes.gains_and_offsets(series)
    if needs_gain:
        check_gains(series, gains, where)
    stand_in = np.column_stack([np.zeros(channels), 200.0 * np.arange(channels)])
    return {
        "rate": sampling_rate(series),
        "samples": int(series.data.shape[0]),
        "group_names": names,
        "groups": group_of,
        "has_geometry": locations is not None,
        "locations": (stand_in if locations is None else locations).tolist(),
        "gains_to_uv": gains,
        "offsets_to_uv": offsets,
        "inter_sample_shift": _electrodes.sample_shifts(series),
    }
