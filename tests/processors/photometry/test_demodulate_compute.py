"""Demodulation against known envelopes: its error by the noise, its edges, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.processors.photometry import _demodulate_compute as demodulating
from nwbpipe.quality import photometry as quality
from tests.processors.photometry.recordings import RATE, demodulate, envelopes, modulated

DURATION = 20.0


def two_carriers(noise=0.0, carriers=(213.0, 331.0), seed=0):
    rng = np.random.default_rng(seed)
    truth = envelopes(rng, 2, DURATION)
    raw = sum(modulated(one, hz) for one, hz in zip(truth, carriers, strict=True))
    return truth, raw + noise * rng.standard_normal(len(raw))


def error(found, truth, step):
    """Root mean square of the relative error, where there are values."""
    true = truth[:, ::step].T
    good = np.isfinite(found).all(axis=1)
    assert good.mean() > 0.95
    return np.sqrt(np.mean(((found - true) / true)[good] ** 2, axis=0))


# White noise of this standard deviation in each raw sample; the carriers' amplitude is 1. What is left of it is the
# noise in the 30 Hz that the filter passes (3 dB down at 15 Hz): sqrt(2 · 30 / 2000) = 17 %, and no more.
@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_the_lock_in_recovers_two_envelopes_of_one_detector(tmp_path, noise):
    truth, raw = two_carriers(noise)
    traces = [{"column": 0, "hz": 213.0}, {"column": 0, "hz": 331.0}]
    found, summary = demodulate(tmp_path, raw, traces)
    assert summary["rate"] == 100.0
    assert (error(found, truth, 20) < 0.001 + 1.1 * noise * np.sqrt(2 * 30 / RATE)).all()


def test_in_phase_is_not_biased_by_noise_and_the_magnitude_is(tmp_path):
    rng = np.random.default_rng(2)
    t = np.arange(round(DURATION * RATE)) / RATE
    drive = np.sin(2 * np.pi * 213 * t + 0.3)
    raw = 0.2 * modulated(np.ones(len(t)), 213.0) + 5.0 * rng.standard_normal(len(t))
    trace = [{"column": 0, "hz": 213.0, "reference": "drive"}]
    magnitude, _ = demodulate(tmp_path, raw, trace, drives={"drive": drive})
    in_phase, _ = demodulate(tmp_path, raw, trace, drives={"drive": drive}, component="in_phase")
    assert np.nanmean(magnitude) > 1.5 * 0.2
    assert abs(np.nanmean(in_phase) - 0.2) < 0.1


def test_in_phase_follows_a_carrier_that_drifts(tmp_path):
    t = np.arange(round(DURATION * RATE)) / RATE
    phase = 2 * np.pi * (213 * t + 0.02 * t**2)  # 0.8 Hz in 20 s
    drive, raw = np.sin(phase), 1 + np.sin(phase + 1.1)
    trace = [{"column": 0, "hz": 213.0, "reference": "drive"}]
    found, _ = demodulate(tmp_path, raw, trace, drives={"drive": drive}, component="in_phase")
    np.testing.assert_allclose(found[np.isfinite(found)], 1, atol=2e-3)


def test_the_spectrogram_gives_the_power_at_the_carrier(tmp_path):
    truth, raw = two_carriers()
    traces = [{"column": 0, "hz": 213.0}, {"column": 0, "hz": 331.0}]
    found, summary = demodulate(tmp_path, raw, traces, method="spectrogram", segment_s=0.05)
    assert summary["rate"] == 100.0
    amplitude = np.sqrt(2 * found)
    assert (error(amplitude, truth, 20) < 0.03).all()


def test_no_frequency_is_lost_between_bins(tmp_path):
    """A spectrogram whose bins are 20 Hz apart loses up to a third of the amplitude halfway; this one none."""
    for hz in (200.0, 205.0, 210.0):
        raw = modulated(np.ones(round(5 * RATE)), hz)
        found, _ = demodulate(tmp_path, raw, [{"column": 0, "hz": hz}], method="spectrogram", segment_s=0.05)
        np.testing.assert_allclose(np.nanmedian(found), 0.5, rtol=2e-3)


@pytest.mark.parametrize("rate", [6103.515625, 20000.0, 2000.0])
def test_a_pulse_stands_at_its_time_whatever_the_rate(tmp_path, rate):
    t = np.arange(round(6 * rate)) / rate
    envelope = 1 + np.exp(-0.5 * ((t - 3.217) / 0.1) ** 2)
    found, summary = demodulate(tmp_path, modulated(envelope, 331.0, rate), [{"column": 0, "hz": 331.0}], rate=rate)
    assert summary["rate"] == rate / (rate // 100)
    times = np.arange(len(found)) / summary["rate"]
    excess = np.where(np.isfinite(found[:, 0]), found[:, 0] - 1, 0)
    assert abs((times * excess).sum() / excess.sum() - 3.217) < 1e-3


def test_the_answer_does_not_depend_on_the_blocks(tmp_path, monkeypatch):
    _, raw = two_carriers(0.1)
    raw = np.stack([raw, raw[::-1]], axis=1).astype("f4")
    raw[100:103, 0] = raw[:, 0].max() + 1
    traces = [{"column": 0, "hz": 213.0}, {"column": 1, "hz": 331.0}]
    whole, at_once = demodulate(tmp_path, raw, traces)
    monkeypatch.setattr(demodulating, "BLOCK_BYTES", 20_000)
    pieces, in_blocks = demodulate(tmp_path, raw, traces)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)
    assert in_blocks == at_once


def test_missing_samples_are_missing_and_not_zero(tmp_path):
    _, raw = two_carriers()
    raw[20_000:20_040] = np.nan
    found, summary = demodulate(tmp_path, raw, [{"column": 0, "hz": 213.0}])
    lost = np.flatnonzero(~np.isfinite(found[:, 0]))
    assert 0 in lost
    assert len(found) - 1 in lost
    assert {1000, 1001} <= set(lost.tolist())
    assert len(lost) < 150
    assert summary["dropouts"][0] == pytest.approx(0.001)


def test_saturation_and_dropouts_are_those_of_the_quality_module(tmp_path, monkeypatch):
    monkeypatch.setattr(demodulating, "BLOCK_BYTES", 40_000)
    rng = np.random.default_rng(5)
    raw = np.clip(np.round(modulated(np.ones(40_000), 213.0) * 900 + rng.normal(0, 3, 40_000)), 0, 1700)
    raw[12_345:12_945] = 777
    found, summary = demodulate(tmp_path, raw.astype("i2"), [{"column": 0, "hz": 213.0}])
    assert summary["saturation"][0] == quality.saturation(raw) > 0.04
    assert summary["dropouts"][0] == quality.dropouts(raw, 40) > 0.0149
    assert np.isfinite(found).any()


@pytest.mark.parametrize(
    ("traces", "message"),
    [
        (
            [{"column": 0, "hz": 213.0}, {"column": 0, "hz": 230.0}],
            "in one band of one detector.*213.00 and 230.00 Hz",
        ),
        ([{"column": 0, "hz": 995.0}], "does not lie between 0 and the Nyquist frequency, 1000.00 Hz"),
        ([{"column": 0, "hz": 450.0}], "nothing is seen at the stated carrier of 450 Hz, but .* at 213"),
    ],
)
def test_carriers_that_cannot_be_are_refused_with_figures(tmp_path, traces, message):
    raw = modulated(np.ones(20_000), 213.0) + 0.01 * np.random.default_rng(0).standard_normal(20_000)
    with pytest.raises(ValueError, match=message):
        demodulate(tmp_path, raw, traces)


def test_noise_without_a_carrier_is_refused(tmp_path):
    raw = np.random.default_rng(0).standard_normal(20_000)
    with pytest.raises(ValueError, match="no carrier is found between 20 and 980 Hz"):
        demodulate(tmp_path, raw, [{"column": 0}])


def test_a_carrier_is_detected_beside_a_known_one_and_its_harmonics(tmp_path):
    truth = envelopes(np.random.default_rng(1), 2, DURATION)
    raw = modulated(truth[0], 150.0) + 0.5 * modulated(truth[0], 300.0) + 0.1 * modulated(truth[1], 431.7)
    found, summary = demodulate(tmp_path, raw, [{"column": 0, "hz": 150.0}, {"column": 0}])
    assert [one["source"] for one in summary["traces"]] == ["fitted", "detected"]
    assert summary["traces"][1]["hz"] == pytest.approx(431.7, abs=0.05)
    assert error(found[:, 1:], 0.1 * truth[1:], 20)[0] < 0.01


def test_a_recording_shorter_than_the_filter_is_refused(tmp_path):
    with pytest.raises(ValueError, match="shorter than the filter"):
        demodulate(tmp_path, np.ones(100), [{"column": 0, "hz": 213.0}])
