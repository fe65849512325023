"""The preprocessed recording against a dense probe's truth: channels, artefacts, delays, registration, space."""

import h5py
import numpy as np
import pytest

from nwbpipe.processors.ephys import SpikeSortingParams
from nwbpipe.simulate import DenseProbeSettings, simulate_dense_probe

pytest.importorskip("spikeinterface", reason="spike sorting needs SpikeInterface: pip install nwbpipe[demo]")

SETTINGS = DenseProbeSettings(
    n_channels=40,
    duration_s=6.0,
    n_units=6,
    dead=(20,),
    noisy=(33,),
    artifacts_s=(2.0, 4.5),
)


@pytest.fixture(scope="module")
def truth():
    return simulate_dense_probe(SETTINGS, seed=3)


@pytest.fixture(scope="module")
def cache(truth, tmp_path_factory):
    """The cache by the default parameters, and what was decided."""
    from nwbpipe.processors.ephys import _preprocess as preprocessing

    folder = tmp_path_factory.mktemp("cache")
    decisions = preprocessing.preprocess(request_of(truth, folder), truth.rate, folder, lambda *_: None)
    return preprocessing.open_cache(folder), decisions


def request_of(truth, folder, **params):
    with h5py.File(folder / "series.h5", "w") as file:
        file["data"] = truth.samples
    channels = len(truth.channel_locations)
    return {
        "inputs": {"recording": {"file": str(folder / "series.h5"), "data": "/data"}},
        "params": SpikeSortingParams(**params).model_dump(mode="json"),
        "facts": {
            "locations": truth.channel_locations.tolist(),
            "groups": [0] * channels,
            "gains_to_uv": [truth.gain_to_uv] * channels,
            "offsets_to_uv": [0.0] * channels,
            "inter_sample_shift": truth.inter_sample_shift.tolist(),
            "motion_method": "none",
            "motion_reason": "",
        },
        "seed": 0,
        "threads": 1,
    }


def test_dead_and_noisy_channels_are_found_and_no_other(cache):
    labels = cache[1]["labels"]
    bad = {channel: label for channel, label in enumerate(labels) if label != "good"}
    assert bad == {20: "dead", 33: "noisy"}
    assert cache[0].get_num_channels() == 38


def test_artefacts_are_found_to_two_milliseconds_and_set_to_zero(cache, truth):
    found = np.array(cache[1]["artifacts"]) / truth.rate
    assert found.shape == truth.artifacts.shape
    assert np.abs(found - truth.artifacts).max() < 2e-3
    first, last = cache[1]["artifacts"][0]
    assert not cache[0].get_traces(start_frame=first, end_frame=last).any()


def test_a_common_signal_is_taken_off_although_channels_are_sampled_one_after_another(truth, tmp_path):
    """Without the delays undone, a good part of the common signal is left: the reference does not fit it."""
    from nwbpipe.processors.ephys import _preprocess as preprocessing

    settings = DenseProbeSettings(n_channels=40, duration_s=1.0, n_units=1, noise_uv=1.0, common_uv=30.0)
    common = simulate_dense_probe(settings, seed=4)
    left = {}
    for shift in (True, False):
        request = request_of(common, tmp_path, motion="none", bad_channels="none", artifacts=False)
        if not shift:
            request["facts"]["inter_sample_shift"] = None
        preprocessing.preprocess(request, common.rate, tmp_path, lambda *_: None)
        quiet = preprocessing.open_cache(tmp_path).get_traces(return_in_uV=True)[3000:-3000]
        left[shift] = float(np.median(np.std(quiet, axis=0)))
    assert left[True] < left[False] / 5


def test_motion_of_an_input_is_corrected_without_an_estimate(truth, tmp_path, monkeypatch):
    """Tissue that lies 40 micrometers deeper from the third second on is read as if it had not moved."""
    from nwbpipe.processors.ephys import _preprocess as preprocessing

    monkeypatch.setattr(preprocessing, "estimate_motion", None)
    request = request_of(truth, tmp_path, bad_channels="none", artifacts=False, common_reference="none")
    preprocessing.preprocess(request, truth.rate, tmp_path, lambda *_: None)
    still = np.array(preprocessing.open_cache(tmp_path).get_traces())
    moved = [[0.0], [0.0], [0.0], [40.0], [40.0], [40.0]]
    times = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    bound = {"group": 0, "displacement_um": moved, "times_s": times, "depths_um": [200.0]}
    request["facts"] |= {"motion_method": "bound", "motion_groups": [0], "motion_bound": [bound]}
    decisions = preprocessing.preprocess(request, truth.rate, tmp_path, lambda *_: None)
    assert decisions["motion"] is None  # it is another step's result
    assert decisions["motion_reason"] == "motion of 40.0 µm was corrected (the input `motion`)"
    traces = preprocessing.open_cache(tmp_path).get_traces().astype(float)
    depth, first, last = truth.channel_locations[:, 1], int(truth.rate), int(5 * truth.rate)
    inner = np.flatnonzero((depth > depth.min() + 60) & (depth < depth.max() - 60))
    deeper = [
        np.flatnonzero(np.all(truth.channel_locations == truth.channel_locations[n] + [0, 40], axis=1))[0]
        for n in inner
    ]
    early, late = slice(first // 2, first), slice(last, last + first // 2)
    for n, source in zip(inner, deeper, strict=True):
        assert np.corrcoef(traces[early, n], still[early, n])[0, 1] > 0.99
        assert np.corrcoef(traces[late, n], still[late, source])[0, 1] > 0.9


def test_too_little_space_is_refused_before_anything_is_computed(truth, tmp_path, monkeypatch):
    from nwbpipe.processors.ephys import _preprocess as preprocessing

    monkeypatch.setattr(preprocessing.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000})())
    with pytest.raises(OSError, match=r"needs 10.0 GB .* free; next: free space there"):
        preprocessing.require_space(tmp_path, 12_400_000, 384)


def test_still_tissue_is_left_alone():
    from nwbpipe.processors.ephys._registration import register_depths

    rng = np.random.default_rng(0)
    times, depths = rng.uniform(0, 30, 6000), rng.choice(rng.uniform(0, 600, 20), 6000) + rng.normal(0, 3, 6000)
    still = register_depths(times, depths, np.ones(6000), 30.0, (0.0, 620.0))[0]
    assert np.ptp(still) < 3.0


def test_ten_minutes_of_motion_are_registered():
    """Far pairs keep small errors from adding up; a bin without spikes follows its neighbours."""
    from nwbpipe.processors.ephys._registration import register_depths

    rng = np.random.default_rng(0)
    times = rng.uniform(0, 600, 120_000)
    times = times[(times < 200) | (times > 204)]
    drift = 20.0 * np.sin(times / 100)
    depths = rng.choice(rng.uniform(0, 1500, 60), len(times)) + rng.normal(0, 4, len(times)) + drift
    found, bins, windows = register_depths(times, depths, np.ones(len(times)), 600.0, (0.0, 1500.0))
    true = 20.0 * np.sin(bins / 100)
    assert len(windows) > 1
    assert np.abs(found - (true - np.median(true))[:, None]).max() < 5.0
