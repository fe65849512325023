"""Measures of photometry's quality on cases that can be worked out."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.quality import photometry as quality

RATE = 100.0
T = np.arange(60_000) / RATE


def test_noise_is_that_of_the_samples_whatever_the_slow_signal():
    rng = np.random.default_rng(0)
    white = rng.normal(0, 0.3, len(T))
    assert quality.noise(white) == pytest.approx(0.3, rel=0.02)
    assert quality.noise(white + 5 * np.sin(T)) == pytest.approx(0.3, rel=0.02)
    assert np.isnan(quality.noise([1.0]))


def test_signal_to_noise():
    rng = np.random.default_rng(1)
    trace = rng.normal(0, 0.01, len(T)) + np.where(T % 10 < 0.5, 0.2, 0.0)
    assert quality.signal_to_noise(trace) == pytest.approx(20, rel=0.15)
    assert np.isnan(quality.signal_to_noise(np.ones(100)))


def test_bleaching_is_that_of_the_exponential():
    tau, fraction = quality.bleaching(2 + np.exp(-T / 150), T)
    assert tau == pytest.approx(150, rel=0.03)
    assert fraction == pytest.approx(1 - (2 + np.exp(-600 / 150)) / 3, rel=0.01)


@pytest.mark.parametrize(
    "values", [np.ones(len(T)), 1 + T / 600, 3 - T / 6000], ids=["constant", "rising", "straight"]
)
def test_a_time_constant_that_cannot_be_measured_is_not_given(values):
    tau, fraction = quality.bleaching(values, T)
    assert np.isnan(tau)
    assert fraction == pytest.approx(max(1 - values[-1] / values[0], 0), abs=0.01)


def test_correlation_and_motion_are_without_the_trends():
    rng = np.random.default_rng(2)
    motion, own = rng.standard_normal((2, len(T)))
    bleach = np.exp(-T / 200)
    signal, control = 5 * bleach + 0.3 * motion + 0.4 * own, 9 * bleach + 0.3 * motion
    assert quality.control_correlation(signal, control, T) == pytest.approx(0.6, abs=0.02)
    assert quality.control_correlation(5 * bleach + 0.1 * own, control, T) == pytest.approx(0, abs=0.02)
    assert quality.motion_share(signal, 5 * bleach + 0.3 * motion, T) == pytest.approx(0.36, abs=0.02)


def test_saturation_counts_what_stays_at_the_rails():
    wave = np.sin(np.linspace(0, 20 * np.pi, 10_001))
    assert quality.saturation(wave) == 0
    clipped = np.clip(wave, -0.9, 0.5)
    inside = np.count_nonzero(wave >= 0.5) + np.count_nonzero(wave <= -0.9)
    assert quality.saturation(clipped) == pytest.approx((inside - 20) / 10_001)  # the first sample of each of 20
    assert quality.saturation(np.ones(10)) == 0


def test_dropouts_are_missing_or_frozen_samples():
    values = np.random.default_rng(3).standard_normal(1000)
    assert quality.dropouts(values, 5) == 0
    values[10:14], values[100:120], values[500:507] = 1.0, 2.0, np.nan
    assert quality.dropouts(values, 5) == pytest.approx(0.027)


def test_missing_samples_are_those_that_gaps_leave_out():
    times = np.delete(np.arange(100) / RATE, range(40, 50))
    assert quality.missing_samples(times) == pytest.approx(0.1)


def test_verdicts():
    assert quality.judge_measures({}) == "pass"
    assert quality.judge_measures({"signal_to_noise": 8.0, "unlimited": -1e9}) == "pass"
    assert quality.judge_measures({"signal_to_noise": 4.0, "saturation": 0.0}) == "warn"
    assert quality.judge_measures({"signal_to_noise": 4.0, "saturation": 0.02}) == "fail"
    assert quality.judge_measures({"control_correlation": -0.1}) == "warn"
    assert quality.judge_measures({"control_correlation": -0.3}) == "fail"
    assert quality.judge_measures({"bleaching_fraction": float("nan")}) == "pass"
    assert quality.judge_measures({"saturation": 0.0}, {"saturation": quality.MeasureLimits(0.0, 0.5)}) == "warn"
