"""Find ripples, or other bursts of a band, in a field potential: the compute module.

Standard library, numpy, h5py, scipy and ripple-detection only. `compute` leaves, a row for each event, ``samples``
(int64, (events, 3): first, last, peak), ``mean_zscore``, ``max_zscore``, ``power`` (V²), ``frequency`` (Hz),
``strongest`` (int64, index among the channels of the series) and, where a speed is bound, ``speed`` (cm/s).

The envelope is that of `band_power`: one filter of finite length gives the analytic signal, so that blocks have no
edges, and memory holds one trace of the recording instead of all its channels. What is done with the envelope is
what the detectors of ripple-detection do, by that library's own functions.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

import h5py
import numpy as np
from ripple_detection import core
from scipy.signal import oaconvolve

from ._band_power_compute import design_kernel, find_stretches

_BLOCK_S = 60.0
#: The library looks for the end of each event in all that it is given: pieces keep that from growing with the square.
_PIECE_S = 300.0
#: Where the library's kernel of smoothing ends, in standard deviations.
_TRUNCATE = 8


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Find the events of ``request["inputs"]["lfp"]``."""
    params, facts, series = request["params"], request["facts"], request["inputs"]["lfp"]
    rate = facts["rate"]
    low, high = params["band"]
    kernel = design_kernel(low, high, rate)
    gains = np.asarray(facts["gains"])
    with h5py.File(series["file"], "r", locking=False) as file:
        data = file[series["data"]]
        data = data if data.ndim == 2 else data[:][:, None]
        stamps = None if series.get("timestamps") is None else file[series["timestamps"]][:]
        stretches = find_stretches(stamps, len(data), rate)
        times = np.arange(len(data)) / rate if stamps is None else stamps
        clock = times + (float(series.get("starting_time") or 0.0) if stamps is None else 0.0)
        speed = read_speed(request["inputs"].get("speed"), facts, clock)

        columns = np.asarray(facts["channels"])
        lowest, highest = int(columns.min()), int(columns.max()) + 1

        def read(start: int, end: int) -> np.ndarray:
            values: np.ndarray = data[start:end, lowest:highest][:, columns - lowest] * gains[columns]
            return values

        valid, reach = np.ones(len(data), bool), len(kernel) // 2
        for first, last in facts.get("artifact_samples", ()):
            valid[max(0, first - reach) : last + reach] = False
        traces = Traces(read, columns, stretches, kernel, rate, params, valid)
        progress(0.05, "envelope")
        zscores = traces.normalize(progress)
        events = detect(zscores, times, traces, params, speed)
        progress(0.7, f"{len(events)} events")
        measured = measure(events, zscores, traces, progress)
    for name, values in measured.items():
        results[name] = values
    if speed is not None:
        results["speed"] = speed[measured["samples"][:, 2]]
    return {
        "events": len(events),
        "seconds": float(np.sum(traces.valid) / rate),
        "taps": len(kernel),
        "tool_version": version("ripple-detection"),
    }


class Traces:
    """The envelope of the band, reduced over channels as a detector does it."""

    def __init__(
        self,
        read: Callable[[int, int], np.ndarray],
        columns: np.ndarray,
        stretches: "List[Tuple[int, int]]",
        kernel: np.ndarray,
        rate: float,
        params: Mapping[str, Any],
        valid: np.ndarray,
    ) -> None:
        self.read, self.columns, self.stretches = read, columns, stretches
        self.kernel, self.rate, self.params = kernel, rate, params
        #: False where the filter reaches over a gap or a missing value, and in artefacts.
        self.valid = valid

    def analytic(self, start: int, end: int, low: int, high: int) -> "Tuple[np.ndarray, np.ndarray]":
        """Return the analytic signal of samples of the stretch `low` to `high`, and which of them are whole."""
        margin = len(self.kernel) // 2
        first, last = max(low, start - margin), min(high, end + margin)
        values = self.read(first, last)
        missing = ~np.isfinite(values).all(axis=1)
        values[missing] = 0.0
        pad = (margin - (start - first), margin - (last - end))
        missing = np.pad(missing, pad, constant_values=True)
        signal = oaconvolve(np.pad(values, (pad, (0, 0))), self.kernel[:, None], mode="valid", axes=0)
        # A sample is whole if none under its filter is missing.
        sums = np.concatenate([[0], np.cumsum(missing)])
        complete = sums[2 * margin + 1 :] == sums[: len(sums) - 2 * margin - 1]
        return signal, complete

    def blocks(self) -> "Iterator[Tuple[int, int, int, int]]":
        """Yield start and end of each block, and those of its stretch."""
        length = max(1, int(_BLOCK_S * self.rate))
        for low, high in self.stretches:
            for start in range(low, high, length):
                yield start, min(high, start + length), low, high

    def normalize(self, progress: Callable[[float, str], None]) -> "List[np.ndarray]":
        """Return the z-scored traces in which events are looked for: one, or one for each channel."""
        detector, sigma = self.params["detector"], self.params["smoothing"]
        traces: List[np.ndarray] = []
        length = len(self.valid)
        for start, end, low, high in self.blocks():
            reach = int(_TRUNCATE * sigma * self.rate) + 1
            first, last = max(low, start - reach), min(high, end + reach)
            signal, complete = self.analytic(first, last, low, high)
            envelope = np.abs(signal)
            if detector == "kay":
                parts = (envelope**2).sum(axis=1, keepdims=True)
            elif detector == "roumis":
                parts = envelope**2
            else:
                parts = envelope
            parts[~complete] = 0.0
            parts = core.gaussian_smooth(parts, sigma, self.rate)[start - first : end - first]
            if detector == "kay":
                parts = np.sqrt(parts)
            elif detector == "roumis":
                parts = np.sqrt(parts).mean(axis=1, keepdims=True)
            if not traces:
                traces = [np.zeros(length) for _ in range(parts.shape[1])]
            for trace, values in zip(traces, parts.T):
                trace[start:end] = values
            self.valid[start:end] &= complete[start - first : end - first]
            progress(0.05 + 0.55 * end / length, "envelope")
        if not self.valid.any():
            raise ValueError("no stretch of the field potential is longer than the filter and without missing values")
        method = self.params["normalization"]
        return [core.normalize_signal(trace, method=method, normalization_mask=self.valid) for trace in traces]


def detect(
    zscores: "List[np.ndarray]", times: np.ndarray, traces: Traces, params: Mapping[str, Any], speed: Any
) -> np.ndarray:
    """Return first and last sample of each event, shape (events, 2)."""
    ranges: List[Tuple[float, float]] = []
    threshold = params["zscore_threshold"] or (3.0 if params["detector"] == "karlsson" else 2.0)
    for zscore in zscores:
        for low, high in traces.stretches:
            for start, end in split_below_mean(zscore, low, high, int(_PIECE_S * traces.rate)):
                # Samples number the times: thresholds are compared in whole samples, not in rounded seconds.
                samples = np.arange(start, end, dtype="float64")
                shortest = params["minimum_duration"] * traces.rate - 1e-6
                ranges += core.threshold_by_zscore(zscore[start:end], samples, shortest, threshold)
    merged = list(core.merge_overlapping_ranges(ranges))
    events = np.asarray(merged, dtype="int64").reshape(-1, 2)
    sums = np.concatenate([[0], np.cumsum(~traces.valid)])
    events = events[sums[events[:, 1] + 1] == sums[events[:, 0]]]
    if speed is not None and len(events):
        still = core.exclude_movement(events, speed, np.arange(len(speed)), speed_threshold=params["speed_threshold"])
        events = np.asarray(still, dtype="int64").reshape(-1, 2)
    seconds = times[events] if len(events) else np.zeros((0, 2))
    remaining = np.asarray(core.exclude_close_events(seconds, params["close_threshold"])).reshape(-1, 2)
    chosen: np.ndarray = events[np.isin(seconds[:, 0], remaining[:, 0])]
    return chosen


def split_below_mean(zscore: np.ndarray, low: int, high: int, length: int) -> "Iterator[Tuple[int, int]]":
    """Yield pieces of a stretch that begin below the mean, where no event goes on."""
    start = low
    while start < high:
        end = min(high, start + max(1, length))
        if end < high:
            below = np.flatnonzero(zscore[end:high] < 0)
            end = high if len(below) == 0 else end + int(below[0])
        yield start, end
        start = end


def measure(
    events: np.ndarray, zscores: "List[np.ndarray]", traces: Traces, progress: Callable[[float, str], None]
) -> "Dict[str, np.ndarray]":
    """Return the measures of each event."""
    count = len(events)
    samples = np.column_stack([events, events[:, :1]]) if count else np.zeros((0, 3), "int64")
    columns = {name: np.zeros(count) for name in ("mean_zscore", "max_zscore", "power", "frequency")}
    strongest = np.zeros(count, "int64")
    number = 0
    for start, end, low, high in traces.blocks():
        # An event belongs to the block of its first sample.
        members = range(number, int(np.searchsorted(events[:, 0], end))) if count else range(0)
        number += len(members)
        if not members:
            continue
        last = int(events[list(members), 1].max()) + 2
        signal, _ = traces.analytic(start, min(last, high), low, high)
        for event in members:
            first, stop = int(events[event, 0]), int(events[event, 1]) + 1
            zscore = np.mean([trace[first:stop] for trace in zscores], axis=0)
            peak = first + int(np.argmax(zscore))
            part = signal[first - start : stop - start]
            square = np.abs(part) ** 2
            channel = int(np.argmax(square[peak - first]))
            samples[event, 2], strongest[event] = peak, traces.columns[channel]
            columns["mean_zscore"][event], columns["max_zscore"][event] = zscore.mean(), zscore.max()
            columns["power"][event] = 0.5 * square.mean()
            # Mean frequency, weighted by power: the turn of the analytic signal from sample to sample.
            turn = np.angle(np.sum(part[1:, channel] * np.conj(part[:-1, channel])))
            columns["frequency"][event] = turn / (2 * np.pi) * traces.rate
        progress(0.7 + 0.25 * number / count, "measures")
    return {"samples": samples, "strongest": strongest, **columns}


def read_speed(series: Any, facts: Mapping[str, Any], times: np.ndarray) -> Any:
    """Return the speed at times in cm/s, NaN where it was not recorded; None if none is bound."""
    if series is None:
        return None
    with h5py.File(series["file"], "r", locking=False) as file:
        values = np.asarray(file[series["data"]][:], "float64").reshape(-1) * facts["speed_scale"]
        if series.get("timestamps") is not None:
            stamps = file[series["timestamps"]][:]
        else:
            stamps = float(series["starting_time"] or 0.0) + np.arange(len(values)) / series["rate"]
    speed: np.ndarray = np.interp(times, stamps, np.abs(values + facts["speed_offset"]), left=np.nan, right=np.nan)
    return speed
