"""Scores on cases whose answer is known, and unit accuracy against SpikeInterface's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nwbpipe.simulate.scores import (
    drift_error,
    event_error_ms,
    match_masks,
    pupil_correlation,
    reference_offset,
    shift_error,
    trace_correlation,
    unit_accuracy,
)


def _square(y: int, x: int, side: int = 4, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


class TestMatchMasks:
    def test_counts_what_is_missed_and_what_is_surplus(self):
        truth = [_square(0, 0), _square(0, 10), _square(10, 0), _square(10, 10)]
        found = [_square(10, 0), _square(0, 0), _square(15, 25)]
        match = match_masks(truth, found)
        assert match.recall == 0.5
        assert match.precision == pytest.approx(2 / 3)
        assert match.pairs.tolist() == [[0, 1], [2, 0]]
        assert match.iou.tolist() == [1.0, 1.0]

    @pytest.mark.parametrize(("moved", "matched"), [(1, True), (2, False)])
    def test_half_of_the_union_is_the_threshold(self, moved: int, matched: bool):
        # Moved by 1 of 4 pixels: 12 shared of 20 (0.6). By 2: 8 of 24 (0.33).
        match = match_masks([_square(0, 0)], [_square(0, moved)])
        assert (match.recall == 1.0) is matched
        if matched:
            assert match.iou[0] == pytest.approx(12 / 20)

    def test_a_split_cell_counts_once(self):
        halves = [_square(0, 0), _square(0, 0)]
        halves[0][:, 3:] = False
        match = match_masks([_square(0, 0)], [halves[1], halves[0]])
        assert (match.recall, match.precision) == (1.0, 0.5)

    def test_a_known_offset_is_undone(self):
        truth, found = [_square(5, 5)], [_square(8, 3)]
        assert match_masks(truth, found).recall == 0.0
        assert match_masks(truth, found, offset=(2.9, -2.2)).iou.tolist() == [1.0]

    def test_nothing_found(self):
        match = match_masks([_square(0, 0)], np.zeros((0, 20, 30), dtype=bool))
        assert (match.recall, match.precision, len(match.pairs)) == (0.0, 0.0, 0)

    def test_refuses_images_that_differ(self):
        with pytest.raises(ValueError, match="pixels"):
            match_masks([_square(0, 0)], [_square(0, 0, shape=(20, 20))])
        with pytest.raises(ValueError, match="no true mask"):
            match_masks(np.zeros((0, 20, 30)), [_square(0, 0)])


class TestTraces:
    def test_each_row_has_its_own_r(self):
        time = np.linspace(0, 2 * np.pi, 400, endpoint=False)
        truth = np.stack([np.sin(time)] * 4)
        found = np.stack([3 * np.sin(time) + 7, -np.sin(time), np.cos(time), np.ones(400)])
        np.testing.assert_allclose(trace_correlation(truth, found), [1.0, -1.0, 0.0, 0.0], atol=1e-12)

    def test_is_numpys_pearson(self):
        rng = np.random.default_rng(0)
        truth, found = rng.normal(size=(2, 3, 50))
        expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(truth, found, strict=True)]
        np.testing.assert_allclose(trace_correlation(truth, found), expected)

    def test_refuses_unequal_lengths(self):
        with pytest.raises(ValueError, match="one shape"):
            trace_correlation(np.zeros((1, 5)), np.zeros((1, 6)))


class TestShifts:
    def test_a_constant_is_no_error(self):
        truth = np.random.default_rng(0).normal(size=(50, 2))
        found = truth + np.array([3.0, -2.0])
        assert shift_error(truth, found) == pytest.approx(0.0, abs=1e-12)
        assert reference_offset(truth, found) == pytest.approx((-3.0, 2.0))

    def test_is_the_root_mean_square_over_both_axes(self):
        truth = np.zeros((4, 2))
        found = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
        assert shift_error(truth, found) == pytest.approx(math.sqrt(0.5))

    def test_the_sign_matters(self):
        truth = np.array([[2.0, 0.0], [-2.0, 0.0]])
        assert shift_error(truth, -truth) == pytest.approx(math.sqrt(8.0))

    def test_refuses_another_shape(self):
        with pytest.raises(ValueError, match="n_frames, 2"):
            shift_error(np.zeros((4, 3)), np.zeros((4, 3)))


class TestDrift:
    def test_the_zero_is_free_and_the_largest_error_counts(self):
        truth = np.linspace(-10.0, 10.0, 21)
        found = np.column_stack([truth + 7.0, truth - 2.0])
        assert drift_error(truth, found) == pytest.approx(0.0)
        found[3, 1] += 4.0
        assert drift_error(truth, found) == pytest.approx(4.0)
        assert drift_error(truth, -truth[:, None]) == pytest.approx(20.0)

    def test_refuses_other_times(self):
        with pytest.raises(ValueError, match="same times"):
            drift_error(np.zeros(4), np.zeros((5, 1)))


class TestUnits:
    def test_known_counts(self):
        truth = [np.arange(10) * 0.1, np.arange(10) * 0.1 + 0.05]
        # 8 of 10 found and 2 false: 8 / (8 + 2 + 2). The second unit is not found at all.
        found = [np.concatenate([truth[0][:8] + 0.0003, [2.0, 3.0]])]
        np.testing.assert_allclose(unit_accuracy(truth, found), [8 / 12, 0.0])

    @pytest.mark.parametrize(("late_ms", "expected"), [(0.4, 1.0), (0.45, 0.0)])
    def test_the_tolerance_is_inclusive(self, late_ms: float, expected: float):
        truth = [np.arange(1, 20) * 0.1]
        assert unit_accuracy(truth, [truth[0] + late_ms * 1e-3]).tolist() == [expected]

    def test_a_spike_is_used_once(self):
        # Two found spikes near one true one: one hit, one false.
        truth, found = [np.array([1.0, 2.0, 3.0])], [np.array([1.0, 1.0002, 2.0, 3.0])]
        assert unit_accuracy(truth, found).tolist() == [3 / 4]

    def test_nothing_found(self):
        assert unit_accuracy([np.array([1.0])], []).tolist() == [0.0]

    @pytest.mark.parametrize("seed", range(4))
    def test_agrees_with_spikeinterface(self, seed: int):
        from spikeinterface.comparison import compare_sorter_to_ground_truth
        from spikeinterface.core import NumpySorting

        rate = 30_000.0
        rng = np.random.default_rng(seed)
        trains = [np.unique(rng.integers(0, 600_000, 300)) for _ in range(6)]
        found = []
        for quality, train in zip((1.0, 0.95, 0.8, 0.6, 0.3), trains, strict=False):
            kept = train[rng.uniform(size=len(train)) < quality]
            extra = rng.integers(0, 600_000, int(60 * (1 - quality)))
            jitter = rng.integers(-10, 11, len(kept))
            found.append(np.unique(np.concatenate([np.clip(kept + jitter, 0, None), extra])))
        order = rng.permutation(len(found))
        truth_sorting = NumpySorting.from_unit_dict(dict(enumerate(trains)), rate)
        found_sorting = NumpySorting.from_unit_dict({k: found[i] for k, i in enumerate(order)}, rate)
        comparison = compare_sorter_to_ground_truth(truth_sorting, found_sorting, delta_time=0.4, match_score=0.5)
        expected = comparison.get_performance()["accuracy"].to_numpy(dtype=float)
        mine = unit_accuracy([t / rate for t in trains], [found[i] / rate for i in order], 0.4)
        assert (mine > 0.9).sum() == 2
        np.testing.assert_allclose(mine, expected, atol=0.005)


class TestPupil:
    def test_scale_and_offset_are_free(self):
        area = np.random.default_rng(0).normal(300, 20, 100)
        assert pupil_correlation(area, 0.9 * area - 5) == pytest.approx(1.0)

    def test_few_lost_frames_are_left_out(self):
        area = np.random.default_rng(0).normal(300, 20, 100)
        found = area.copy()
        found[:10] = np.nan
        assert pupil_correlation(area, found) == pytest.approx(1.0)
        found[:11] = np.nan
        assert pupil_correlation(area, found) == 0.0

    def test_refuses_another_number_of_frames(self):
        with pytest.raises(ValueError, match="one shape"):
            pupil_correlation(np.zeros(5), np.zeros(6))


class TestEvents:
    def test_is_the_largest_error(self):
        assert event_error_ms([1.0, 2.0, 3.0], [1.0002, 1.9985, 3.0]) == pytest.approx(1.5)

    @pytest.mark.parametrize("found", [[1.0], [1.0, 2.0, 3.0], [1.0, math.nan]])
    def test_a_missing_event_is_infinite(self, found: list[float]):
        assert event_error_ms([1.0, 2.0], found) == math.inf

    def test_no_events_no_error(self):
        assert event_error_ms([], []) == 0.0
