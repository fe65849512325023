"""Defects of the photometry code of the pipeline that nwbpipe follows: what a correct one does instead."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.converters.interfaces._photometry_settings import read_settings
from nwbpipe.processors.photometry import _dff_compute as dff
from tests.processors.photometry.recordings import RATE, demodulate, envelopes, modulated, run, series

CARRIERS = (171.0, 228.0, 311.0, 402.0)


@pytest.fixture(scope="module")
def four():
    truth = envelopes(np.random.default_rng(0), 4, 20.0)
    return truth, np.stack([modulated(one, hz) for one, hz in zip(truth, CARRIERS, strict=True)], axis=1)


@pytest.mark.parametrize("method", ["lock_in", "spectrogram"])
def test_four_traces_in_are_four_traces_out_each_its_own(tmp_path, four, method):
    """There: only the last one is kept."""
    truth, raw = four
    traces = [{"column": k, "hz": hz} for k, hz in enumerate(CARRIERS)]
    found, summary = demodulate(tmp_path, raw, traces, method=method, segment_s=0.05)
    assert found.shape == (2000, 4)
    good = np.isfinite(found).all(axis=1)
    r = np.corrcoef(found[good].T, truth[:, ::20][:, good])[:4, 4:]
    assert (np.diag(r) > 0.99).all()
    assert (np.abs(r - np.diag(np.diag(r))) < 0.7).all()
    assert [round(one["hz"]) for one in summary["traces"]] == list(CARRIERS)


@pytest.mark.parametrize("method", ["lock_in", "spectrogram"])
def test_the_rate_is_that_of_the_samples(tmp_path, four, method):
    """There: the carrier's frequency is stored as the demodulated sampling rate."""
    truth, raw = four
    found, summary = demodulate(tmp_path, raw, [{"column": 0, "hz": 171.0}], method=method)
    assert summary["rate"] == 100.0 != summary["traces"][0]["hz"]
    assert len(found) == truth.shape[1] / RATE * summary["rate"]


@pytest.mark.parametrize("method", ["lock_in", "spectrogram"])
def test_the_times_are_those_of_the_samples(tmp_path, method):
    """There: the spectrogram's bins get the times of the events."""
    t = np.arange(round(20 * RATE)) / RATE
    envelope = 1 + np.where((t >= 7) & (t < 12), 0.5, 0)
    found, summary = demodulate(tmp_path, modulated(envelope, 228.0), [{"column": 0, "hz": 228.0}], method=method)
    level = np.sqrt(found[:, 0] / np.nanmedian(found[:500, 0])) if method == "spectrogram" else found[:, 0]
    above = np.flatnonzero(level > 1.25) / summary["rate"]
    assert above[0] == pytest.approx(7, abs=0.011)
    assert above[-1] == pytest.approx(12, abs=0.011)


def test_a_carrier_that_starts_late_is_found(tmp_path, four):
    """There: it is looked for in the first 16,384 samples, and 0 is returned."""
    truth, raw = four
    raw = raw[:, 1].copy()
    raw[: 2**14 + 100] = 0.01 * np.random.default_rng(1).standard_normal(2**14 + 100)
    found, summary = demodulate(tmp_path, raw, [{"column": 0}])
    assert summary["traces"][0]["source"] == "detected"
    assert summary["traces"][0]["hz"] == pytest.approx(228, abs=0.05)
    np.testing.assert_allclose(found[1000:1900, 0], truth[1, 20_000:38_000:20], rtol=0.01)


@pytest.mark.parametrize(("stated", "agrees"), [(171.0, True), (172.5, True), (180.0, False), (60.0, False)])
def test_a_stated_carrier_is_compared_with_the_recorded_one(tmp_path, four, stated, agrees):
    """There: a number is compared with a truth value, and the warning means nothing."""
    _, raw = four
    drive = {"drive": np.sin(2 * np.pi * 171 * np.arange(len(raw)) / RATE)}
    trace = [{"column": 0, "hz": stated, "reference": "drive"}]
    if agrees:
        _, summary = demodulate(tmp_path, raw, trace, drives=drive)
        assert summary["traces"][0]["hz"] == pytest.approx(171, abs=0.05)
        return
    with pytest.raises(
        ValueError, match=rf"a carrier of {stated:g} Hz is stated, but the recorded one is at 171.0\d Hz"
    ):
        demodulate(tmp_path, raw, trace, drives=drive)


def test_left_and_right_keep_their_own_carriers_and_there_may_be_more_of_both(tmp_path):
    """There: the settings of left and right are swapped, and two sides and two colours are fixed in the code."""
    fibers, colours = ("left", "right", "left_posterior_tail"), ("g", "r", "far_red")
    lines = ["[Processing_Parameters]", "sampling_frequency = 5000", "[Signal_Indices]", "total_channels = 18"]
    for f, fiber in enumerate(fibers):
        lines += [f"[Processing_Parameters.{fiber}]"]
        lines += [f"carrier_frequency_{colour} = {200 + 100 * f + 30 * c}" for c, colour in enumerate(colours)]
        lines += [f"[Signal_Indices.{fiber}]"]
        lines += [f"photom_{colour} = {6 * f + 2 * c}" for c, colour in enumerate(colours)]
        lines += [f"carrier_{colour} = {6 * f + 2 * c + 1}" for c, colour in enumerate(colours)]
    path = tmp_path / "meta.toml"
    path.write_text("\n".join(lines))
    found = {trace.name: (trace.channel, trace.drive, trace.carrier_hz) for trace in read_settings(path).traces}
    assert len(found) == 9
    assert found["left_green"] == (0, 1, 200)
    assert found["right_green"] == (6, 7, 300)
    assert found["left_posterior_tail_far_red"] == (16, 17, 460)


def test_edges_are_missing_and_what_was_given_is_not_changed(tmp_path, four):
    """There: edges are 0, and a resampling writes zeros into its input."""
    _, raw = four
    given = raw.copy()
    found, summary = demodulate(tmp_path, raw, [{"column": 0, "hz": 171.0}])
    edge = int(np.ceil(summary["edge_s"] * summary["rate"]))
    assert np.isnan(found[:edge]).all()
    assert np.isnan(found[-edge + 1 :]).all()
    assert not (found == 0).any()
    trace = found.copy()
    facts = {"pairs": [{"signal": 0, "control": None, "label": "left"}]}
    arrays, _ = run(dff, tmp_path, {"signal": series(tmp_path, "s", trace)}, facts, method="percentile",
                    window_s=5.0, zscore="rolling", zscore_window_s=2.0)  # fmt: skip
    for name in ("dff", "f_zero", "zscore"):
        assert np.isnan(arrays[name][:edge]).all()
        assert not (arrays[name][:, 0] == 0).all()
    assert np.isnan(arrays["zscore"][: edge + 99]).all()  # the window does not fit yet
    np.testing.assert_array_equal(trace, found)
    np.testing.assert_array_equal(raw, given)
