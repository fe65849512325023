"""The series that is sorted: its samples as a recording of SpikeInterface, and its times.

A part of the compute module `_spikesorting_compute`, under the same rule: standard library, numpy, h5py and
SpikeInterface only.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

import h5py
import numpy as np
from probeinterface import Probe
from spikeinterface.core import BaseRecording, BaseRecordingSegment


class NwbSeriesSegment(BaseRecordingSegment):  # type: ignore[misc]
    """The samples of an ElectricalSeries, read as they are asked for; each process opens the file itself."""

    def __init__(self, file: str, data: str, gains: np.ndarray, offsets: np.ndarray, rate: float) -> None:
        BaseRecordingSegment.__init__(self, sampling_frequency=rate)
        self._file, self._data = file, data
        self._gains, self._offsets = gains, offsets
        self._open: Optional[h5py.File] = None
        self._pid = -1

    def _dataset(self) -> h5py.Dataset:
        # A handle that came through fork shares its state with the parent's: never use it.
        if self._open is None or self._pid != os.getpid():
            self._open, self._pid = h5py.File(self._file, "r", locking=False), os.getpid()
        return self._open[self._data]

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_open": None, "_pid": -1}

    def get_num_samples(self) -> int:
        """Return the number of samples of each channel."""
        return int(self._dataset().shape[0])

    def get_traces(
        self,
        start_frame: Optional[int] = None,
        end_frame: Optional[int] = None,
        channel_indices: Any = None,
    ) -> np.ndarray:
        """Return the traces in microvolts, float32, shape (samples, channels)."""
        dataset = self._dataset()
        chosen = np.arange(len(self._gains))[slice(None) if channel_indices is None else channel_indices]
        if dataset.ndim == 1:
            raw = dataset[start_frame:end_frame][:, None]
        elif len(chosen) == 0:
            raw = np.empty((len(range(*slice(start_frame, end_frame).indices(len(dataset)))), 0), dataset.dtype)
        else:
            # One block, then the columns: h5py's own selection by a list is far slower.
            first, last = int(chosen.min()), int(chosen.max()) + 1
            raw = dataset[start_frame:end_frame, first:last][:, chosen - first]
        return np.asarray(raw.astype("float32") * self._gains[chosen] + self._offsets[chosen])


class NwbSeriesRecording(BaseRecording):  # type: ignore[misc]
    """An ElectricalSeries as a recording of SpikeInterface, in microvolts, with its geometry."""

    def __init__(
        self,
        file: str,
        data: str,
        rate: float,
        gains: List[float],
        offsets: List[float],
        locations: List[List[float]],
        groups: List[int],
    ) -> None:
        BaseRecording.__init__(self, rate, list(range(len(gains))), "float32")
        gain, offset = np.asarray(gains, "float32"), np.asarray(offsets, "float32")
        self.add_recording_segment(NwbSeriesSegment(file, data, gain, offset, rate))
        self.set_channel_gains(1.0)
        self.set_channel_offsets(0.0)
        probe = Probe(ndim=2, si_units="um")
        probe.set_contacts(np.asarray(locations, float), shapes="circle", shape_params={"radius": 5.0})
        probe.set_device_channel_indices(np.arange(len(gains)))
        self.set_probe(probe)
        self.set_property("group", np.asarray(groups))
        self._kwargs = {
            "file": file,
            "data": data,
            "rate": rate,
            "gains": gains,
            "offsets": offsets,
            "locations": locations,
            "groups": groups,
        }


class SeriesClock(NamedTuple):
    """Times of a series' samples in the session's clock."""

    rate: float
    start: float
    timestamps: Optional[str]
    obs_intervals: np.ndarray


def read_clock(series: Mapping[str, Any], block: int = 4_000_000) -> SeriesClock:
    """Return the rate and the gaps of the series; refuse times that are not regular between gaps."""
    with h5py.File(series["file"], "r", locking=False) as file:
        samples = int(file[series["data"]].shape[0])
        if series.get("timestamps") is None:
            rate, start = float(series["rate"]), float(series.get("starting_time") or 0.0)
            return SeriesClock(rate, start, None, np.array([[start, start + samples / rate]]))
        times = file[series["timestamps"]]
        if times.shape != (samples,):
            raise ValueError(f"{times.name}: {times.shape[0]} timestamps for {samples} samples")
        step = float(np.median(np.diff(times[: min(samples, 100_000)])))
        breaks: List[int] = []
        odd, regular, elapsed = 0, 0, 0.0
        for first in range(0, samples - 1, block):
            steps = np.diff(times[first : min(first + block + 1, samples)])
            if not np.all(steps > 0):
                sample = first + int(np.flatnonzero(~(steps > 0))[0])
                raise ValueError(f"{times.name}: the timestamps do not increase after sample {sample}")
            gap = steps > 1.5 * step
            odd += int(np.sum(steps < 0.5 * step))
            breaks += (first + np.flatnonzero(gap)).tolist()
            regular += int(np.sum(~gap))
            elapsed += float(np.sum(steps[~gap]))
        if odd + len(breaks) > max(10, samples * 1e-3):
            raise ValueError(
                f"{times.name}: the timestamps are not regular ({odd + len(breaks)} of {samples} steps differ "
                "by more than half of a sample); a sorter needs regular samples"
            )
        rate = regular / elapsed
        starts = [0] + [index + 1 for index in breaks]
        ends = [*breaks, samples - 1]
        # The last sample lasts one step.
        intervals = [[float(times[a]), float(times[b]) + 1 / rate] for a, b in zip(starts, ends)]
        return SeriesClock(rate, float(times[0]), series["timestamps"], np.array(intervals))


def spike_times(
    series: Mapping[str, Any], clock: SeriesClock, frames: List[np.ndarray], block: int = 4_000_000
) -> List[np.ndarray]:
    """Return the times of the spikes in the session's clock, in seconds."""
    if clock.timestamps is None:
        return [clock.start + unit / clock.rate for unit in frames]
    out = [np.empty(len(unit)) for unit in frames]
    with h5py.File(series["file"], "r", locking=False) as file:
        times = file[clock.timestamps]
        for first in range(0, times.shape[0], block):
            part = times[first : first + block]
            for unit, target in zip(frames, out):
                low, high = np.searchsorted(unit, [first, first + len(part)])
                target[low:high] = part[unit[low:high] - first]
    return out


def sample_times(series: Mapping[str, Any], clock: SeriesClock, periods: np.ndarray) -> np.ndarray:
    """Return start and end of periods of samples ([first, end]) in the session's clock, in seconds."""
    if not len(periods):
        return np.zeros((0, 2))
    first, last = periods[:, 0], periods[:, 1] - 1
    order = np.argsort(last, kind="stable")
    starts, ends = spike_times(series, clock, [first[np.argsort(first, kind="stable")], last[order]])
    return np.column_stack([starts, ends + 1 / clock.rate])


def cut_intervals(intervals: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Return intervals without periods; both are sorted, shape (n, 2), and do not overlap among themselves."""
    remaining: List[List[float]] = []
    for start, end in intervals:
        for first, last in periods:
            if last <= start or first >= end:
                continue
            if first > start:
                remaining.append([float(start), float(first)])
            start = min(last, end)
        if start < end:
            remaining.append([float(start), float(end)])
    return np.array(remaining).reshape(-1, 2)


def store_motion(
    results: h5py.File, motions: Any, series: Mapping[str, Any], clock: SeriesClock, samples: int
) -> None:
    """Leave motion in ``results["motion"]``; nothing if there is none.

    Parameters
    ----------
    results : h5py.File
        Gets ``displacement`` (bins, windows) and ``depths`` (windows,) in micrometers, ``times`` (bins,) in the
        session's clock, and ``groups`` (windows,), the index of each window's electrode group.
    motions : list of dict or None
        For each group what `_motion_estimate.motion_to_json` returns, and ``group``; all with the same bins.
    series, clock
        See `spike_times`.
    samples : int
        Length of the series.
    """
    if not motions:
        return
    frames = np.clip(np.rint(np.asarray(motions[0]["times_s"]) * clock.rate).astype("int64"), 0, samples - 1)
    group = results.create_group("motion")
    group["times"] = spike_times(series, clock, [frames])[0]
    group["displacement"] = np.concatenate([np.asarray(motion["displacement_um"]) for motion in motions], axis=1)
    group["depths"] = np.concatenate([np.asarray(motion["depths_um"]) for motion in motions])
    group["groups"] = np.concatenate(
        [np.full(len(motion["depths_um"]), motion["group"], dtype="int64") for motion in motions]
    )
