"""Fragments of a unit are joined to it; units of two neurons are not."""

import numpy as np
import pytest

from nwbpipe.processors.ephys._merge_fragments import compare_waveforms, join_fragments

RATE = 30_000.0
PLACES = np.column_stack([np.zeros(8), 20.0 * np.arange(8)])


def waveform(depth: float, amplitude: float = 100.0, width: float = 5.0, shift: int = 0) -> np.ndarray:
    time = np.arange(90)[:, None] - 30 - shift
    shape = -np.exp(-0.5 * (time / width) ** 2) + 0.4 * np.exp(-0.5 * ((time - 15) / 8) ** 2)
    return amplitude * shape * np.exp(-np.abs(PLACES[:, 1] - depth) / 30.0)


def neuron(rng: np.random.Generator, rate_hz: float, seconds: float) -> np.ndarray:
    """Spikes with a refractory period of 3 ms."""
    return np.cumsum((0.003 + rng.exponential(1 / rate_hz - 0.003, int(rate_hz * seconds * 1.2))) * RATE).astype(int)


def join(trains, waveforms, *, groups=None, min_spikes=1, seconds=100.0):
    groups = np.zeros(len(trains), int) if groups is None else np.array(groups)
    return join_fragments(trains, groups, np.stack(waveforms), PLACES, RATE, seconds, min_spikes)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_two_halves_of_a_neuron_are_one_unit(rng):
    train = neuron(rng, 20.0, 100.0)
    half = rng.random(len(train)) < 0.4
    noise = rng.normal(0, 1, (90, 8))
    units = join([train[half], train[~half]], [waveform(60, 80) + noise, waveform(63, 100, shift=2)])
    assert units.merged == 1
    assert units.duplicates == 0
    np.testing.assert_array_equal(units.frames[0], train)


def test_neighbours_with_one_waveform_stay_two_units(rng):
    """Two neurons may look the same: they fire within each other's refractory period."""
    trains = [neuron(rng, 20.0, 100.0), neuron(rng, 15.0, 100.0)]
    units = join(trains, [waveform(60), waveform(60)])
    assert units.merged == 0
    assert len(units.frames) == 2


def test_a_small_fragment_needs_the_same_waveform(rng):
    train = neuron(rng, 5.0, 100.0)
    parts = [train[8:], train[:8]]
    assert join(parts, [waveform(60), waveform(60, 90)]).merged == 1
    assert join(parts, [waveform(60), waveform(60, 40)]).merged == 0
    assert join(parts, [waveform(60), waveform(60, width=12.0)]).merged == 0
    assert join(parts, [waveform(40), waveform(120)]).merged == 0
    assert join(parts, [waveform(60), waveform(60, 90)], groups=[0, 1]).merged == 0


def test_spikes_that_two_units_have_are_counted_once(rng):
    train = neuron(rng, 10.0, 100.0)
    units = join([train, train[::2] + 3], [waveform(60), waveform(60, 95)])
    assert (units.merged, units.duplicates) == (1, len(train[::2]))
    np.testing.assert_array_equal(units.frames[0], train)


def test_units_of_few_spikes_are_left_out_and_counted(rng):
    train = neuron(rng, 10.0, 100.0)
    units = join([np.array([5, 90_000]), train], [waveform(20), waveform(140)], groups=[1, 0], min_spikes=10)
    assert (units.dropped, units.dropped_spikes) == (1, 2)
    assert units.groups.tolist() == [0]
    np.testing.assert_array_equal(units.frames[0], train)
    assert join([], np.zeros((1, 1, 8))).frames == []


def test_lags_and_sizes_of_waveforms():
    cosine, ratio = compare_waveforms(waveform(60), waveform(60, 50.0, shift=4))
    assert cosine > 0.999
    assert ratio == pytest.approx(0.5, abs=0.01)
