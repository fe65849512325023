"""The SpikeGLX recording against its truth: read by numpy, and by NeuroConv."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.simulate import SimulatedSession
from nwbpipe.simulate._common import Scale
from nwbpipe.simulate._ephys import write_ephys


@pytest.fixture(scope="module")
def samples(simulated: SimulatedSession) -> np.ndarray:
    n_channels = len(simulated.ephys.channel_locations)
    return np.memmap(simulated.ap_bin, dtype="<i2", mode="r").reshape(-1, n_channels + 1)


def test_length_is_what_the_meta_file_says(simulated: SimulatedSession, samples: np.ndarray):
    text = simulated.ap_bin.with_suffix(".meta").read_text()
    meta = dict(line.split("=", 1) for line in text.splitlines())
    assert int(meta["fileSizeBytes"]) == simulated.ap_bin.stat().st_size
    assert float(meta["fileTimeSecs"]) == len(samples) / simulated.ephys.rate
    assert int(meta["nSavedChans"]) == samples.shape[1]


def test_spikes_stand_where_the_truth_says_in_microvolts(simulated: SimulatedSession, samples: np.ndarray):
    truth = simulated.ephys
    before = int(truth.rate * 1e-3)
    for train, template in zip(truth.spike_samples, truth.templates, strict=True):
        inside = train[(train > before) & (train < len(samples) - template.shape[0])]
        assert len(inside) >= 10
        snippets = np.stack([samples[s - before : s - before + len(template), :-1] for s in inside])
        mean = snippets.mean(axis=0) * truth.gain_to_uv
        channel = np.abs(template).max(axis=0).argmax()
        assert np.corrcoef(mean[:, channel], template[:, channel])[0, 1] > 0.97
        np.testing.assert_allclose(mean[:, channel].min(), template[:, channel].min(), rtol=0.1)
        assert abs(int(mean[:, channel].argmin()) - before) <= 2


def test_noise_has_the_stated_size(simulated: SimulatedSession, samples: np.ndarray):
    microvolts = samples[:, :-1] * simulated.ephys.gain_to_uv
    spread = np.median(np.abs(microvolts - np.median(microvolts, axis=0)), axis=0) / 0.6745
    np.testing.assert_allclose(np.median(spread), simulated.ephys.noise_uv, rtol=0.15)


def test_spike_times_are_samples_in_the_reference_clock(simulated: SimulatedSession):
    truth = simulated.ephys
    for times, train in zip(truth.spike_times, truth.spike_samples, strict=True):
        np.testing.assert_array_equal(times, train / truth.rate)
        assert np.diff(train).min() > truth.rate * 1e-3


def test_sync_wave_rises_where_the_truth_says(simulated: SimulatedSession, samples: np.ndarray):
    high = (samples[:, -1] >> 6) & 1
    rising = np.flatnonzero(np.diff(high) == 1) + 1
    np.testing.assert_allclose(rising / simulated.ephys.rate, simulated.ephys.sync_times)


def test_neuroconv_opens_it_with_geometry_and_gain(simulated: SimulatedSession, samples: np.ndarray):
    from neuroconv.datainterfaces import SpikeGLXRecordingInterface

    interface = SpikeGLXRecordingInterface(folder_path=simulated.ephys_folder, stream_id="imec0.ap")
    recording = interface.recording_extractor
    truth = simulated.ephys
    assert recording.get_sampling_frequency() == truth.rate
    assert recording.get_num_samples() == len(samples)
    assert interface.get_timestamps()[0] == 0.0
    np.testing.assert_allclose(recording.get_channel_gains(), truth.gain_to_uv)
    np.testing.assert_array_equal(recording.get_channel_locations(), truth.channel_locations)
    np.testing.assert_array_equal(recording.get_traces(end_frame=500), samples[:500, :-1])
    assert interface.get_metadata()["NWBFile"]["session_start_time"] == datetime(2024, 5, 1, 10, 0)


def test_geometry_map_agrees_with_the_readout_table(simulated: SimulatedSession):
    """SpikeGLX says where the contacts are twice: readers of either one must agree."""
    from probeinterface.neuropixels_tools import parse_spikeglx_meta, parse_spikeglx_snsGeomMap

    meta = parse_spikeglx_meta(simulated.ap_bin.with_suffix(".meta"))
    _, _, _, _, x, y, _ = parse_spikeglx_snsGeomMap(meta)
    shifted = np.column_stack([x - x.min(), y])
    np.testing.assert_array_equal(shifted, simulated.ephys.channel_locations)


def test_tissue_that_drifts_is_where_the_truth_says(tmp_path: Path):
    """A unit's waveform, taken while the tissue is up and while it is down, is largest at another depth."""
    scale = Scale(20.0, (8, 8), 1, 24, 3, 1, drift_um=40.0)
    truth = write_ephys(tmp_path, np.random.default_rng(0), scale, "2024-05-01T10:00:00")
    (binary,) = tmp_path.rglob("*.ap.bin")
    samples = np.fromfile(binary, dtype="<i2").reshape(-1, 25)[:, :-1]
    assert truth.drift_um.max() == pytest.approx(40.0, abs=5.0)
    assert truth.drift_um.min() == pytest.approx(-40.0, abs=5.0)
    train, template = truth.spike_samples[1], truth.templates[1]
    depth = truth.channel_locations[:, 1]
    places = []
    for low, high in ((4.0, 6.0), (14.0, 16.0)):  # a triangle: up for a quarter of the period, then down
        inside = train[(train > low * truth.rate) & (train < high * truth.rate)]
        size = -np.mean([samples[spike] for spike in inside], axis=0)
        size[size < size.max() / 3] = 0
        places.append(np.average(depth, weights=size))
    assert places[0] - places[1] == pytest.approx(np.ptp(truth.drift_um), abs=16.0)
    assert template[30].argmin() == template.min(axis=0).argmin()  # its trough is 1 ms after its start
