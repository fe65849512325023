"""The field potential against tones: in the band as they are, above it gone; blocks without edges; gaps kept."""

import h5py
import numpy as np
import pytest

from nwbpipe.processors.ephys import LfpParams
from tests.processors.ephys import recording as rec

pytest.importorskip("spikeinterface", reason="it runs with SpikeInterface: pip install nwbpipe[demo]")

RATE = 30_000.0


@pytest.fixture
def resample(tmp_path, monkeypatch):
    from nwbpipe.processors.ephys import _lfp_compute

    monkeypatch.setattr(_lfp_compute, "_BLOCK_S", 0.7)

    def run(data, timestamps=None, **params):
        path = tmp_path / "series.h5"
        with h5py.File(path, "w") as file:
            file["data"] = data
            if timestamps is not None:
                file["times"] = timestamps
        times = {"timestamps": None, "rate": RATE} if timestamps is None else {"timestamps": "/times"}
        channels = data.shape[1]
        request = {
            "inputs": {"recording": {"file": str(path), "data": "/data", **times}},
            "params": LfpParams(**params).model_dump(mode="json"),
            "facts": {
                "locations": rec.column(channels).tolist(),
                "groups": [0] * channels,
                "gains_to_uv": [1.0] * channels,
                "offsets_to_uv": [0.0] * channels,
                "channels": list(range(channels)),
            },
        }
        with h5py.File(tmp_path / "results.h5", "w") as results:
            summary = _lfp_compute.compute(request, results, lambda *_: None)
            return summary, {name: results[name][:] for name in results}

    return run


def tone(hertz, seconds=2.0, amplitude=100.0):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def test_tones_in_the_band_are_kept_and_those_above_do_not_alias(resample):
    data = np.column_stack([tone(8), tone(90), tone(400), tone(540), tone(3300)]).astype("float32")
    summary, arrays = resample(data)
    assert summary["rate"] == pytest.approx(1000.0)
    inner = arrays["lfp"][100:-100]
    for channel, hertz in enumerate((8, 90, 400)):
        expected = 100 * np.sin(2 * np.pi * hertz * np.arange(len(arrays["lfp"])) / 1000)
        np.testing.assert_allclose(inner[:, channel], expected[100:-100], atol=0.1)  # 0.1 %
    for channel in (3, 4):
        assert np.abs(inner[:, channel]).max() < 100 * 10 ** (-60 / 20)


def test_blocks_have_no_edges(resample):
    from nwbpipe.processors.ephys import _lfp_compute

    data = np.random.default_rng(0).normal(20, 50, (60_000, 2)).astype("float32")
    blocks = resample(data, rate=1250.0)[1]["lfp"]
    _lfp_compute._BLOCK_S = 100.0
    np.testing.assert_allclose(resample(data, rate=1250.0)[1]["lfp"], blocks, atol=1e-3)


def test_each_stretch_between_gaps_is_resampled_by_itself(resample):
    stamps = 5.0 + np.arange(60_000) / RATE
    stamps[30_010:] += 2.0
    data = np.full((60_000, 1), 7.0, "float32")
    data[30_010:] = -7.0
    summary, arrays = resample(data, timestamps=stamps)
    assert summary["stretches"] == 2
    assert len(arrays["lfp"]) == 1001 + 1000
    np.testing.assert_allclose(arrays["lfp"][:1001], 7.0, atol=0.01)  # no ringing of the step across the gap
    np.testing.assert_allclose(arrays["timestamps"][[0, 1, 1001]], [5.0, 5.001, stamps[30_010]])


def test_a_reference_is_subtracted(resample):
    data = np.column_stack([tone(8), tone(8), 2 * tone(8)]).astype("float32")
    left = resample(data, reference="median")[1]["lfp"]
    assert np.abs(left[:, :2]).max() < 0.01
    assert np.abs(left[:, 2]).max() > 90
