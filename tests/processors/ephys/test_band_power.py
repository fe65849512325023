"""Bands of a field potential with known tones."""

import numpy as np
import pynwb
import pytest

from nwbpipe.errors import InputError
from nwbpipe.processors.ephys import BandPowerParams
from nwbpipe.processors.ephys import _band_power_compute as compute
from nwbpipe.run import process
from tests.processors.ephys import recording as rec

RATE = 1000.0


def analyse(signal, band, metric, step=1, block_s=None, monkeypatch=None):
    if block_s:
        monkeypatch.setattr(compute, "_BLOCK_S", block_s)
    kernel = compute.design_kernel(*band, RATE)
    out = np.full((len(signal) // step, signal.shape[1]), np.nan)
    parts = compute.measure_stretch(
        signal, (0, len(signal)), slice(0, signal.shape[1]), np.ones(signal.shape[1]), kernel, step, RATE, metric
    )
    for first, part in parts:
        out[first : first + len(part)] = part
    return out, len(kernel) // 2


def test_a_tone_has_its_amplitude_phase_and_power():
    time = np.arange(10_000) / RATE
    tone = 3.0 * np.cos(2 * np.pi * 8.0 * time + 0.5)[:, None]
    amplitude, margin = analyse(tone, (6.0, 10.0), "amplitude")
    inside = slice(margin, -margin)
    np.testing.assert_allclose(amplitude[inside], 3.0, rtol=2e-3)
    assert np.isnan(amplitude[: margin - 1]).all()
    phase, _ = analyse(tone, (6.0, 10.0), "phase")
    truth = np.angle(np.exp(1j * (2 * np.pi * 8.0 * time + 0.5)))[:, None]
    assert np.abs(np.angle(np.exp(1j * (phase - truth)))[inside]).max() < 2e-3
    power, _ = analyse(tone, (6.0, 10.0), "power", step=20)
    np.testing.assert_allclose(power[np.isfinite(power)], 4.5, rtol=5e-3)
    other, _ = analyse(tone, (13.0, 30.0), "amplitude")
    assert np.nanmax(other) < 3.0e-3 * 2  # 60 dB down


def test_blocks_are_the_same_as_the_whole(monkeypatch):
    noise = np.random.default_rng(0).normal(size=(9000, 2))
    whole, _ = analyse(noise, (6.0, 10.0), "power", step=10)
    blocks, _ = analyse(noise, (6.0, 10.0), "power", step=10, block_s=0.35, monkeypatch=monkeypatch)
    np.testing.assert_allclose(blocks, whole, rtol=1e-5, atol=1e-8)


def test_bands_of_a_session_with_a_gap(tmp_path):
    time = np.arange(12_000) / RATE
    time[6000:] += 5.0
    depth = np.arange(3) * np.pi / 4
    tone = 1000 * np.cos(2 * np.pi * 8.0 * time[:, None] + depth)
    path = rec.write_session(tmp_path / "s.nwb", np.rint(tone).astype("int16"), timestamps=time, conversion=1e-6)
    process(path, "band_power", step="phase", params={"bands": {"theta": [6, 10]}, "metric": "phase", "rate": 100})
    assert pynwb.validate(path=path) == []
    with rec.opened(path) as nwbfile:
        series = nwbfile.processing["ecephys"]["BandPower_phase"]
        values, times = series.data[:, :, 0], series.timestamps[:]
        good = np.isfinite(values).all(axis=1)
        assert 0.3 < good.mean() < 0.9
        truth = np.angle(np.exp(1j * (2 * np.pi * 8.0 * times[:, None] + depth)))
        assert np.abs(np.angle(np.exp(1j * (values - truth)))[good]).max() < 0.01
        assert not ((times > 6.0) & (times < 11.0)).any()
        assert series.bands["band_name"][:].tolist() == ["theta"]
        assert series.source_channels.data[:].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"(?s)below half of the sampling rate.*450 to 600 Hz"):
        process(path, "band_power", step="fast", params={"bands": {"fast": [450, 600]}})


def test_a_recording_of_spikes_is_refused(tmp_path):
    path = rec.write_session(tmp_path / "s.nwb", np.zeros((100, 2), "int16"))
    with pytest.raises(InputError, match=r"(?s)too fast for a field potential.*`lfp`"):
        process(path, "band_power")


def test_a_band_the_wrong_way_round_is_refused():
    with pytest.raises(ValueError, match="'theta' is 10 to 6 Hz"):
        BandPowerParams(bands={"theta": (10, 6)})
