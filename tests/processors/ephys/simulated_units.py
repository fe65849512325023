"""Recordings with known units, by SpikeInterface, and how well a sorting finds them."""

from typing import NamedTuple

import numpy as np

from tests.processors.ephys.recording import RATE

GAIN_UV = 0.195


class Truth(NamedTuple):
    samples: np.ndarray  # int16, (time, channels)
    locations: np.ndarray  # (channels, 2) micrometers
    spikes: list[np.ndarray]  # samples of each unit's spikes


def simulate(channels=16, units=6, seconds=20.0, seed=7) -> Truth:
    """Units close enough to the probe to be seen: 90 microvolts and more, over noise of 5."""
    from spikeinterface.core import generate_ground_truth_recording

    recording, sorting = generate_ground_truth_recording(
        durations=[seconds],
        sampling_frequency=RATE,
        num_channels=channels,
        num_units=units,
        seed=seed,
        generate_unit_locations_kwargs={
            "margin_um": 0.0,
            "minimum_z": 5.0,
            "maximum_z": 20.0,
            "minimum_distance": 15,
        },
    )
    samples = np.clip(np.rint(recording.get_traces() / GAIN_UV), -32768, 32767).astype("int16")
    spikes = [np.asarray(sorting.get_unit_spike_train(unit, segment_index=0)) for unit in sorting.unit_ids]
    return Truth(samples, recording.get_channel_locations(), spikes)


def nearest(truth: np.ndarray, found: np.ndarray, within: float) -> np.ndarray:
    """Differences found - true (same unit as both) of the pairs that are each other's nearest, within a distance."""
    after = np.clip(np.searchsorted(truth, found), 1, len(truth) - 1)
    match = np.where(np.abs(truth[after] - found) < np.abs(truth[after - 1] - found), after, after - 1)
    difference = found - truth[match]
    order = np.argsort(np.abs(difference), kind="stable")
    _, first = np.unique(match[order], return_index=True)  # a true spike is found once
    kept = difference[order[first]]
    return kept[np.abs(kept) <= within]


def accuracies(truth: list[np.ndarray], found: list[np.ndarray], within: float) -> list[tuple[float, np.ndarray]]:
    """For each true unit: hits over hits, misses and false ones of its best match, and the hits' offsets."""
    pairs = []
    for number, unit in enumerate(truth):
        for other, times in enumerate(found):
            offsets = nearest(unit, times, within) if len(times) else np.zeros(0)
            hits = len(offsets)
            pairs.append((hits / (len(unit) + len(times) - hits), number, other, offsets))
    best = {number: (0.0, np.zeros(0)) for number in range(len(truth))}
    used: set[int] = set()
    done: set[int] = set()
    for accuracy, number, other, offsets in sorted(pairs, key=lambda pair: -pair[0]):
        if number not in done and other not in used:
            best[number] = (accuracy, offsets)
            done.add(number)
            used.add(other)
    return [best[number] for number in range(len(truth))]
