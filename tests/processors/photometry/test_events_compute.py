"""Transients and peri-event averages against known events."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.processors.photometry import _event_aligned_compute as aligning
from nwbpipe.processors.photometry import _transients_compute as finding
from nwbpipe.simulate import simulate_photometry
from tests.processors.photometry.recordings import run, series

RATE = 100.0


def transients(folder, values, times=None, **params):
    arrays, summary = run(finding, folder, {"trace": series(folder, "trace", values, times)}, {}, **params)
    return arrays, summary["counts"]


@pytest.mark.parametrize(("noise", "least"), [(0.005, 0.99), (0.02, 0.95)])
def test_transients_are_found_where_they_are(tmp_path, noise, least):
    rng = np.random.default_rng(0)
    truth = simulate_photometry(rng, 300.0, RATE, fibers=("left",), amplitude=0.2)
    trace = truth.dff[0] + noise * rng.standard_normal(len(truth.times))
    arrays, _ = transients(tmp_path, trace, min_width_s=0.15, distance_s=1.0)
    lag = arrays["time"][:, None] - truth.event_times  # a peak comes a third of a second after its event
    hits = (lag > 0.1) & (lag < 0.7)
    assert hits.any(axis=0).mean() >= least
    assert hits.any(axis=1).mean() >= least
    assert np.median(arrays["width_s"]) == pytest.approx(1.0, abs=0.4)


def test_no_transient_reaches_over_a_gap(tmp_path):
    trace = np.random.default_rng(1).normal(0, 0.01, 1000)
    trace[400:600] += np.hanning(200)
    trace[495:505] = np.nan  # the peak is lost
    arrays, (count,) = transients(tmp_path, trace, min_width_s=0.3)
    assert count == 0
    assert np.isfinite(arrays["height"]).all()


def facts(times, kinds=None):
    kinds = ["cue"] * len(times) if kinds is None else kinds
    return {"times": list(times), "kinds": kinds, "names": sorted(set(kinds))}


def align(folder, values, events, times=None, kinds=None, **params):
    inputs = {"trace": series(folder, "trace", values, times)}
    return run(aligning, folder, inputs, facts(events, kinds), **params)


def test_averages_do_not_drift_through_a_session(tmp_path):
    """A rate that is no whole number, and events between the samples: no trial may lag behind another."""
    rate = 101.7252604
    times = np.arange(round(1800 * rate)) / rate
    events = np.arange(10.123, 1790, 7.001)
    since = times - events[np.clip(np.searchsorted(events, times, "right") - 1, 0, None)]
    trace = np.exp(-0.5 * ((since - 1.0) / 0.2) ** 2)
    arrays, summary = align(tmp_path, trace, events, times, before_s=0.5, after_s=2.5)
    peaks = arrays["lags"][np.argmax(arrays["responses"][:, 0], axis=1)]
    assert np.ptp(peaks) <= 1.001 / rate
    assert summary["reasons"] == [[""] * len(events)]
    np.testing.assert_allclose(arrays["mean"][0, 0], np.exp(-0.5 * ((arrays["lags"] - 1.0) / 0.2) ** 2), atol=2e-3)
    assert arrays["sem"].max() < 1e-3
    assert (arrays["count"] == len(events)).all()


def test_mean_and_error_are_those_of_the_trials(tmp_path):
    rng = np.random.default_rng(4)
    trace = rng.standard_normal((3000, 2))
    events, kinds = [5.0, 10.0, 15.0, 20.0], ["a", "b", "a", "a"]
    arrays, _ = align(tmp_path, trace, events, kinds=kinds, before_s=1, after_s=1)
    trials = np.stack([trace[start : start + 201] for start in (400, 1400, 1900)])
    np.testing.assert_allclose(arrays["mean"][0], trials.mean(axis=0).T, atol=1e-9)
    np.testing.assert_allclose(arrays["sem"][0], trials.std(axis=0, ddof=1).T / np.sqrt(3), atol=1e-9)
    assert np.isnan(arrays["sem"][1]).all()  # one trial has no error
    np.testing.assert_allclose(arrays["lags"], np.arange(-100, 101) / RATE, atol=1e-12)


def test_trials_are_dropped_and_say_why(tmp_path):
    trace = np.ones(1000)
    trace[500:510] = np.nan
    events = [0.2, 2.0, 2.4, 5.0, 9.5, None]
    _, summary = align(tmp_path, trace, events, before_s=0.5, after_s=1, overlapping="drop")
    assert summary["reasons"][0] == [
        "the window begins before the recording",
        "another event of its kind lies within the window",
        "another event of its kind lies within the window",
        "10 of 151 samples are missing",
        "the window ends after the recording",
        "the event has no time",
    ]
    arrays, summary = align(tmp_path, trace, events, before_s=0.5, after_s=1, max_missing=0.1)
    assert [not reason for reason in summary["reasons"][0]] == [False, True, True, True, False, False]
    assert arrays["count"].min() == 2
    assert arrays["count"].max() == 3


@pytest.mark.parametrize("baseline", ["subtract", "zscore"])
def test_each_trial_has_its_own_baseline(tmp_path, baseline):
    rng = np.random.default_rng(5)
    trace = np.repeat([1.0, 5.0], 1000) + 0.1 * rng.standard_normal(2000)
    trace[[*range(500, 600), *range(1500, 1600)]] += 1
    arrays, _ = align(
        tmp_path, trace, [5.0, 15.0], before_s=2, after_s=0.9, baseline=baseline, baseline_s=(-2, -0.05)
    )
    after = arrays["mean"][0, 0][arrays["lags"] >= 0]
    assert after.mean() == pytest.approx(1.0 if baseline == "subtract" else 10.0, rel=0.1)


def test_a_gap_in_the_timestamps_is_no_line_across_it(tmp_path):
    times = np.concatenate([np.arange(500), np.arange(700, 1200)]) / RATE
    arrays, summary = align(tmp_path, np.arange(1000.0), [3.0, 5.5], times, before_s=1, after_s=1)
    assert summary["reasons"][0][0] == ""
    assert "samples are missing" in summary["reasons"][0][1]
    assert np.isfinite(arrays["mean"]).all()
