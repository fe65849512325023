"""Find dead and noisy channels, and stretches that an artefact or saturation spoils.

A part of compute modules, under their rule: standard library, numpy, h5py and the tool (SpikeInterface, with scipy).

The coherence of a channel is that of the International Brain Laboratory (2022, "Spike sorting pipeline for the
International Brain Laboratory"): the dot product of the channel with the median of all, over the median's energy,
less its running median along the probe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import butter, sosfiltfilt, welch

GOOD, DEAD, NOISY, OUTSIDE = "good", "dead", "noisy", "out"
#: Below so many channels there is no common signal to compare with: the noise alone tells.
CHANNELS_FOR_COHERENCE = 16
NEIGHBOURS = 11
#: Below so many channels, one spike may be on most of them.
CHANNELS_FOR_ARTIFACTS = 16
#: A channel is dead below this share of the median noise of its group, and noisy above this multiple.
DEAD_NOISE, NOISY_NOISE = 0.3, 4.0
#: Power density above 0.8 of half the sampling rate, in µV²/Hz, and over the group's median, of a noisy channel.
NOISY_POWER, NOISY_POWER_RATIO = 0.02, 4.0
#: Length of the windows of a spectrum: its steps are of 10 Hz.
_WINDOW_S = 0.1


def measure_channels(
    recording: Any,
    groups: np.ndarray,
    seed: int | None,
    chunks: int = 40,
    seconds: float = 0.3,
    bands: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Measure each channel on chunks drawn at random.

    Parameters
    ----------
    recording : BaseRecording
        Raw: in microvolts, not filtered.
    groups : ndarray, int, shape (channels,)
        Group of each channel; each is compared with its own.
    seed : int, optional
    chunks : int
    seconds : float
    bands : ndarray, float64, shape (bands, 2), optional
        Lower and upper end of bands in Hz, from `choose_bands`, to measure the power density in.

    Returns
    -------
    dict of str to ndarray, float64, shape (channels,)
        ``rms_uv`` and ``noise_uv`` (median absolute deviation / 0.6745) above 300 Hz, ``coherence`` and ``trend``
        (its running median along the probe), ``hf_power`` (µV²/Hz above 0.8 of half the sampling rate),
        ``offset_uv`` (median). With `bands` also ``spectrum``, shape (channels, bands), in µV²/Hz.
    """
    rate, samples = recording.sampling_frequency, recording.get_num_samples()
    size = max(2, min(int(seconds * rate), samples))
    starts = np.sort(np.random.default_rng(seed).integers(0, samples - size + 1, chunks))
    filter_ = butter(3, min(300.0, 0.4 * rate / 2), "highpass", fs=rate, output="sos")
    depth = recording.get_channel_locations()[:, 1]
    channels = recording.get_num_channels()
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("rms_uv", "noise_uv", "coherence", "hf_power", "offset_uv")
    }
    for start in starts:
        raw = recording.get_traces(start_frame=int(start), end_frame=int(start + size))
        raw = np.asarray(raw, dtype="float64")
        parts["offset_uv"].append(np.median(raw, axis=0))
        high = sosfiltfilt(filter_, raw, axis=0, padlen=min(100, size - 1))
        parts["rms_uv"].append(np.sqrt(np.mean(high**2, axis=0)))
        parts["noise_uv"].append(np.median(np.abs(high - np.median(high, axis=0)), axis=0) / 0.6745)
        frequencies, power = welch(raw, fs=rate, axis=0, nperseg=min(size, int(0.01 * rate)))
        parts["hf_power"].append(power[frequencies > 0.8 * rate / 2].mean(axis=0))
        if bands is not None:
            parts.setdefault("spectrum", []).append(_measure_bands(raw, rate, bands))
        coherence = np.zeros(channels)
        for group in np.unique(groups):
            inside = groups == group
            reference = np.median(high[:, inside], axis=1)
            energy = float(np.sum(reference**2))
            coherence[inside] = high[:, inside].T @ reference / energy if energy > 0 else 1.0
        parts["coherence"].append(coherence)
    measured = {name: np.median(np.stack(values), axis=0) for name, values in parts.items()}
    measured["trend"] = np.zeros(channels)
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        order = inside[np.argsort(depth[inside], kind="stable")]
        measured["trend"][order] = _running_median(measured["coherence"][order])
    measured["coherence"] = measured["coherence"] - measured["trend"]
    return measured


def choose_bands(rate: float) -> np.ndarray:
    """Return lower and upper end of bands from 10 Hz to half the sampling rate, ever wider: up to 8 in an octave."""
    edges = np.unique(np.rint(np.geomspace(1, rate / 2 * _WINDOW_S, 80))) / _WINDOW_S
    return np.column_stack([edges[:-1], edges[1:]])


def _measure_bands(raw: np.ndarray, rate: float, bands: np.ndarray) -> np.ndarray:
    """Return the mean power density of each channel in each band: NaN where windows are too short for it."""
    frequencies, power = welch(raw, fs=rate, axis=0, nperseg=min(len(raw), int(_WINDOW_S * rate)))
    inside = [(frequencies >= low - 1e-6) & (frequencies < high - 1e-6) for low, high in bands]
    spectrum = [power[chosen].mean(axis=0) if chosen.any() else np.full(raw.shape[1], np.nan) for chosen in inside]
    return np.stack(spectrum, axis=1)


def _running_median(values: np.ndarray) -> np.ndarray:
    half = NEIGHBOURS // 2
    return np.array([np.median(values[max(0, n - half) : n + half + 1]) for n in range(len(values))])


def label_channels(
    measured: dict[str, np.ndarray], groups: np.ndarray, depth: np.ndarray, limits: dict[str, float] | None = None
) -> list[str]:
    """Label each channel good, dead, noisy or out (of the brain).

    Parameters
    ----------
    measured : dict
        From `measure_channels`.
    groups : ndarray, int, shape (channels,)
    depth : ndarray, float64, shape (channels,)
        Position along the probe; channels at its upper end may be out of the brain.
    limits : dict, optional
        ``dead`` and ``noisy``: least and largest coherence; ``outside``: least trend at the upper end, less 1.
    """
    limits = {"dead": -0.5, "noisy": 1.0, "outside": -0.75, **(limits or {})}
    labels = np.full(len(groups), GOOD, dtype=object)
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        noise, power = measured["noise_uv"][inside], measured["hf_power"][inside]
        usual, usual_power = np.median(noise), np.median(power)
        dead, noisy = noise < DEAD_NOISE * usual, noise > NOISY_NOISE * usual
        if usual == 0:
            dead = noise == 0
        noisy |= (power > NOISY_POWER) & (power > NOISY_POWER_RATIO * usual_power)
        if len(inside) >= CHANNELS_FOR_COHERENCE:
            dead |= measured["coherence"][inside] < limits["dead"]
            noisy |= measured["coherence"][inside] > limits["noisy"]
            top = inside[np.argsort(depth[inside], kind="stable")]
            below = measured["trend"][top] < 1.0 + limits["outside"]
            first = len(top) if below.all() else int(np.flatnonzero(~below)[-1]) + 1
            labels[top[first:]] = OUTSIDE
        labels[inside[dead]] = DEAD
        labels[inside[noisy]] = NOISY
    return [str(label) for label in labels]


def find_periods(spoiled: np.ndarray, merge: int) -> list[tuple[int, int]]:
    """Return first and end sample of each run of True, those less than `merge` samples apart as one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], spoiled, [False]]).astype("int8")))
    return merge_periods([(first, last) for first, last in edges.reshape(-1, 2).tolist()], merge)


def merge_periods(periods: list[tuple[int, int]], merge: int) -> list[tuple[int, int]]:
    """Return sorted periods, those that overlap or are less than `merge` samples apart as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(periods):
        if merged and start - merged[-1][1] <= merge:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def mark_artifacts(filtered: np.ndarray, noise: np.ndarray, *, times_noise: float, fraction: float) -> np.ndarray:
    """Return True for each sample in which most channels exceed their noise many times at once.

    Parameters
    ----------
    filtered : ndarray, shape (samples, channels)
        Before any reference is subtracted: that would take the artefact off. All groups together: a large spike
        is on every contact of its tetrode, but not on those of the others.
    noise : ndarray, shape (channels,)
    times_noise, fraction : float
    """
    if filtered.shape[1] < CHANNELS_FOR_ARTIFACTS:
        return np.zeros(len(filtered), dtype=bool)
    marked: np.ndarray = np.mean(np.abs(filtered) > times_noise * noise, axis=1) >= fraction
    return marked
