"""Join the fragments of a unit that a sorter left apart, and leave out units of very few spikes.

A part of compute modules, under their rule: standard library, numpy, h5py and the tool only.

A sorter that matches templates leaves spikes whose waveform was distorted (by an overlap, by drift) in units of their
own. Such a fragment has the waveform of its unit, in the same place, and never fires within its refractory period.
Where both have enough spikes, the refractory period decides; where a fragment has too few, only a waveform of the
same shape and size makes it one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Spikes of two units this close are one spike that was found twice; closer than the second, neither unit's own.
_SAME_SPIKE_S, _REFRACTORY_S = 0.0003, 0.0015
#: Least cosine of the waveforms and ratio of their sizes: where the refractory period tells, and where it can't.
_WITH_EVIDENCE, _WITHOUT = (0.9, 0.6), (0.95, 0.75)
#: So many coincidences are expected of independent units before their absence is evidence.
_LEAST_EXPECTED = 5.0
#: Share of the expected coincidences that is still a refractory period (contamination, chance).
_MOST_COINCIDENCES = 0.1
_MOST_DISTANCE_UM = 40.0
_MOST_LAG = 6


class TidiedUnits(NamedTuple):
    """Units after fragments were joined.

    Attributes
    ----------
    frames : list of ndarray
        Samples of each unit's spikes, ascending.
    groups : ndarray of int64
    merged : int
        Fragments that were joined to another unit.
    duplicates : int
        Spikes that two fragments had both.
    dropped : int
        Units left out, as they have fewer spikes than the least number.
    dropped_spikes : int
    """

    frames: list[np.ndarray]
    groups: np.ndarray
    merged: int
    duplicates: int
    dropped: int
    dropped_spikes: int


def join_fragments(
    frames: list[np.ndarray],
    groups: np.ndarray,
    templates: np.ndarray,
    locations: np.ndarray,
    rate: float,
    duration_s: float,
    min_spikes: int,
) -> TidiedUnits:
    """Join units that are one, the largest first; then leave out units of fewer than `min_spikes` spikes.

    Parameters
    ----------
    frames : list of ndarray, int64
        Samples of each unit's spikes, ascending.
    groups : ndarray, int64, shape (units,)
        Electrode group of each unit; units of two groups are never joined.
    templates : ndarray, float, shape (units, samples, channels)
        Mean waveforms.
    locations : ndarray, float, shape (channels, 2)
        Micrometers.
    rate : float
    duration_s : float
    min_spikes : int
    """
    order = sorted(range(len(frames)), key=lambda unit: (-len(frames[unit]), unit))
    peaks = np.argmax(np.ptp(templates, axis=1), axis=1) if len(frames) else np.zeros(0, int)
    trains: dict[int, np.ndarray] = {}
    merged = duplicates = 0
    for unit in order:
        near = [
            candidate
            for candidate in trains
            if groups[candidate] == groups[unit]
            and np.linalg.norm(locations[peaks[candidate]] - locations[peaks[unit]]) <= _MOST_DISTANCE_UM
        ]
        owner, best = None, 0.0
        for candidate in near:
            likeness = compare_waveforms(templates[candidate], templates[unit])
            if likeness[0] > best and _is_fragment(trains[candidate], frames[unit], likeness, rate, duration_s):
                owner, best = candidate, likeness[0]
        if owner is None:
            trains[unit] = frames[unit]
            continue
        joined = _unite(trains[owner], frames[unit], round(_SAME_SPIKE_S * rate))
        duplicates += len(trains[owner]) + len(frames[unit]) - len(joined)
        trains[owner] = joined
        merged += 1
    large = [unit for unit in sorted(trains) if len(trains[unit]) >= min_spikes]
    dropped = [len(trains[unit]) for unit in trains if len(trains[unit]) < min_spikes]
    tidied = [trains[unit] for unit in large]
    return TidiedUnits(tidied, groups[np.array(large, dtype=int)], merged, duplicates, len(dropped), sum(dropped))


def compare_waveforms(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the largest cosine of two mean waveforms over small lags, and the ratio of their sizes (0 to 1).

    Channels on which neither reaches a tenth of its peak are left out: they hold noise.
    """
    extents = np.stack([np.ptp(first, axis=0), np.ptp(second, axis=0)])
    channels = (extents > 0.1 * extents.max(axis=1, keepdims=True)).any(axis=0)
    first, second = first[:, channels], second[:, channels]
    samples = len(first)
    cosine = 0.0
    for lag in range(-_MOST_LAG, _MOST_LAG + 1):
        early, late = first[max(0, lag) : samples + min(0, lag)], second[max(0, -lag) : samples + min(0, -lag)]
        norm = float(np.linalg.norm(early) * np.linalg.norm(late))
        if norm > 0:
            cosine = max(cosine, float(np.sum(early * late)) / norm)
    sizes = extents.max(axis=1)
    return cosine, float(sizes.min() / sizes.max()) if sizes.max() > 0 else 0.0


def _is_fragment(
    train: np.ndarray, fragment: np.ndarray, likeness: tuple[float, float], rate: float, duration_s: float
) -> bool:
    """Return True if the fragment may be of the unit: by its waveform, and by the refractory period."""
    cosine, ratio = likeness
    if cosine < _WITH_EVIDENCE[0] or ratio < _WITH_EVIDENCE[1]:
        return False
    near, far = round(_SAME_SPIKE_S * rate), round(_REFRACTORY_S * rate)
    first, last = np.searchsorted(train, fragment - far), np.searchsorted(train, fragment + far, "right")
    inner = np.searchsorted(train, fragment - near), np.searchsorted(train, fragment + near, "right")
    same = int(np.sum(inner[1] - inner[0]))
    coincidences = int(np.sum(last - first)) - same
    window = 2 * (_REFRACTORY_S - _SAME_SPIKE_S)
    expected = len(train) * len(fragment) * window / duration_s
    if expected >= _LEAST_EXPECTED:
        return coincidences <= _MOST_COINCIDENCES * expected
    if coincidences > 1 + _MOST_COINCIDENCES * expected:
        return False
    return cosine >= _WITHOUT[0] and ratio >= _WITHOUT[1]


def _unite(train: np.ndarray, fragment: np.ndarray, near: int) -> np.ndarray:
    """Return the spikes of both, without those of the fragment that the unit has."""
    position = np.searchsorted(train, fragment)
    distance = np.full(len(fragment), near + 1)
    for neighbour in (position - 1, position):
        inside = (neighbour >= 0) & (neighbour < len(train))
        gap = np.abs(train[neighbour[inside]] - fragment[inside])
        distance[inside] = np.minimum(distance[inside], gap)
    return np.sort(np.concatenate([train, fragment[distance > near]]))
