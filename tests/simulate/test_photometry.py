"""Simulated photometry, read with nothing of ours."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
from scipy.io import loadmat

from nwbpipe.simulate import SimulatedSession, simulate_photometry
from nwbpipe.simulate._photometry import RIG_CARRIERS, RIG_RATE, write_csv, write_ppd


def test_the_rigs_channels_hold_the_envelopes(simulated: SimulatedSession):
    channels = loadmat(simulated.photometry_mat)["data"]
    settings = tomllib.loads(simulated.photometry_settings.read_text())
    truth = simulated.photometry
    assert channels.shape == (settings["Signal_Indices"]["total_channels"], len(truth.times))
    since = truth.times - truth.times[0]
    for k, fiber in enumerate(truth.fibers):
        at = settings["Signal_Indices"][fiber]
        for colour, envelope, hz in zip(
            ("g", "iso"), (truth.signal[k], truth.control[k]), RIG_CARRIERS[fiber], strict=True
        ):
            assert settings["Processing_Parameters"][fiber][f"carrier_frequency_{colour}"] == hz
            drive = channels[at[f"carrier_{colour}"]]
            assert np.argmax(np.abs(np.fft.rfft(drive - 2.5))) / since[-1] == pytest.approx(hz, rel=0.01)
            wave = (drive - 2.5) / 2.5
            found = 2 * np.mean(channels[at[f"photom_{colour}"]] * wave)
            assert found == pytest.approx(envelope.mean(), rel=0.02)


def test_its_clock_and_its_events(simulated: SimulatedSession):
    truth = simulated.photometry
    assert truth.times[0] == pytest.approx(simulated.offsets_s["photometry"])
    assert truth.times[1] - truth.times[0] == pytest.approx(1 / RIG_RATE)
    names = np.array(simulated.behavior.event_names)
    cues = simulated.behavior.event_times[names == "cue"]
    assert len(truth.event_times) >= 1
    assert np.abs(truth.event_times[:, None] - cues).min(axis=1).max() < 1e-9
    for onset in truth.event_times:
        before, after = (truth.dff[0][np.searchsorted(truth.times, onset + lag)] for lag in (-0.001, 0.4))
        assert after - before > 0.05


def test_what_is_asked_for_is_what_there_is():
    rng = np.random.default_rng(0)
    truth = simulate_photometry(rng, 120.0, 100.0, amplitude=0.0, motion=0.03, bleaching=0.4)
    assert (truth.dff == 0).all()
    np.testing.assert_allclose(truth.motion.std(axis=1), 0.03, rtol=1e-6)
    expected = 1 - 0.4 * (1 - np.exp(-truth.times / truth.tau_s[0, 0]))
    np.testing.assert_allclose(truth.signal[0] / (1 + truth.motion[0]), expected)


def test_pyphotometry_and_csv(tmp_path):
    rng = np.random.default_rng(0)
    truth = simulate_photometry(rng, 20.0, 130.0, event_times=np.array([4.0, 9.0]), noise=0.001)
    write_ppd(tmp_path / "a.ppd", rng, truth)
    content = (tmp_path / "a.ppd").read_bytes()
    size = int.from_bytes(content[:2], "little")
    header = json.loads(content[2 : 2 + size])
    words = np.frombuffer(content[2 + size :], "<u2").reshape(-1, 2)
    assert (header["mode"], header["sampling_rate"]) == ("2EX_1EM_pulsed", 130)
    np.testing.assert_allclose((words[:, 0] >> 1) * header["volts_per_division"][0], truth.signal[0], atol=0.006)
    assert np.flatnonzero(np.diff(words[:, 0] & 1) == 1).tolist() == [519, 1169]
    write_csv(tmp_path / "a.csv", rng, truth)
    table = np.genfromtxt(tmp_path / "a.csv", delimiter=",", names=True)
    assert table.dtype.names == ("time", "left_signal", "left_control", "right_signal", "right_control")
    np.testing.assert_allclose(table["right_control"], truth.control[1], atol=0.006)
