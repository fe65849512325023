"""The compute module by itself: reading, times, checks of the sorter's parameters."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.environments import _worker
from tests.processors.ephys import recording as rec

pytest.importorskip("spikeinterface", reason="spike sorting needs SpikeInterface: pip install nwbpipe[demo]")

SOURCE = Path(rec.__file__).parents[3] / "src/nwbpipe/processors/ephys/_spikesorting_compute.py"


@pytest.fixture(scope="module")
def compute():
    from nwbpipe.processors.ephys import _spikesorting_compute

    return _spikesorting_compute


@pytest.fixture(scope="module")
def preprocessing():
    from nwbpipe.processors.ephys import _preprocess

    return _preprocess


@pytest.fixture
def series(tmp_path):
    def make(samples=1000, **times):
        with h5py.File(tmp_path / "series.h5", "w") as file:
            file["data"] = np.arange(samples * 4, dtype="int16").reshape(samples, 4)
            if "timestamps" in times:
                file["times"] = times.pop("timestamps")
                times["timestamps"] = "/times"
        return {"file": str(tmp_path / "series.h5"), "data": "/data", "timestamps": None, **times}

    return make


def test_traces_are_microvolts(preprocessing, series):
    one = series()
    places = rec.column(4).tolist()
    recording = preprocessing.NwbSeriesRecording(
        one["file"], one["data"], 25e3, [0.5, 1.0, 2.0, 0.1], [0.0, 1.0, 0.0, 0.0], places, [0, 0, 1, 1]
    )
    raw = np.arange(4000, dtype=float).reshape(1000, 4)
    microvolts = raw * [0.5, 1.0, 2.0, 0.1] + [0.0, 1.0, 0.0, 0.0]
    assert recording.get_num_samples() == 1000
    np.testing.assert_allclose(recording.get_traces(start_frame=10, end_frame=20), microvolts[10:20], rtol=1e-6)
    some = recording.select_channels([3, 1]).get_traces(start_frame=0, end_frame=50)
    np.testing.assert_allclose(some, microvolts[:50, [3, 1]], rtol=1e-6)
    np.testing.assert_array_equal(recording.get_channel_locations(), places)
    np.testing.assert_array_equal(recording.get_property("group"), [0, 0, 1, 1])


def test_worker_processes_read_the_series(series, tmp_path, monkeypatch):
    """A recording goes to a worker as its class's name and arguments, and is opened there by its path."""
    one = series()
    request = {
        "inputs": {"recording": one},
        "facts": {
            "locations": rec.column(4).tolist(),
            "groups": [0] * 4,
            "gains_to_uv": [1.0] * 4,
            "offsets_to_uv": [0.0] * 4,
        },
    }
    monkeypatch.setattr(sys, "path", [*sys.path])
    _worker.add_packages(tmp_path / "packages", {_worker.PACKAGE: str(SOURCE.parent)})
    compute = importlib.import_module(f"{_worker.PACKAGE}._preprocess")  # as in a tool's Python
    recording, _ = compute.open_recording(request, 25e3)
    recording.dump(tmp_path / "recording.json")  # as a sorter does
    code = (
        "import sys; from spikeinterface.core import load\n"
        f"sys.path.append({str(tmp_path / 'packages')!r}); sys.modules['nwbpipe'] = None\n"
        "print(load(sys.argv[1]).get_traces(start_frame=5, end_frame=6).tolist())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "recording.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[[20.0, 21.0, 22.0, 23.0]]", done.stderr


def test_groups_are_set_apart(preprocessing, series):
    """Shanks whose positions are counted each from its own tip must not be taken for one place."""
    one = series()
    places = np.tile(rec.column(2), (2, 1))
    facts = {
        "locations": places.tolist(),
        "groups": [0, 0, 1, 1],
        "gains_to_uv": [1.0] * 4,
        "offsets_to_uv": [0.0] * 4,
    }
    recording, shifts = preprocessing.open_recording({"inputs": {"recording": one}, "facts": facts}, 25e3)
    found = recording.get_channel_locations()
    np.testing.assert_array_equal(found[:, 0] - shifts[[0, 0, 1, 1]], places[:, 0])
    assert found[2:, 0].min() - found[:2, 0].max() >= 500


def test_times_come_from_starting_time_and_rate(compute, series):
    one = series(rate=25e3, starting_time=12.5)
    clock = compute.read_clock(one)
    times = compute.spike_times(one, clock, [np.array([0, 25]), np.array([999])])
    np.testing.assert_allclose(np.concatenate(times), [12.5, 12.501, 12.5 + 999 / 25e3])
    np.testing.assert_allclose(clock.obs_intervals, [[12.5, 12.54]])


@pytest.mark.parametrize("block", [7, 4_000_000])
def test_times_come_from_timestamps_that_drift(compute, series, block):
    stamps = 100.0 + np.cumsum(np.linspace(1.0, 1.001, 1000)) / 25e3
    one = series(timestamps=stamps)
    clock = compute.read_clock(one, block=block)
    frames = [np.array([0, 6, 7, 8, 500]), np.zeros(0, int), np.array([13, 14, 999])]
    for unit, times in zip(frames, compute.spike_times(one, clock, frames, block=block), strict=True):
        np.testing.assert_array_equal(times, stamps[unit])
    assert clock.rate == pytest.approx(999 / (stamps[-1] - stamps[0]), rel=1e-12)
    assert clock.obs_intervals.shape == (1, 2)


@pytest.mark.parametrize("block", [10, 4_000_000])
def test_a_gap_is_not_observed(compute, series, block):
    stamps = np.arange(1000) / 25e3
    stamps[400:] += 3.0
    clock = compute.read_clock(series(timestamps=stamps), block=block)
    assert clock.rate == pytest.approx(25e3)
    np.testing.assert_allclose(clock.obs_intervals, [[0.0, 400 / 25e3], [3.0 + 400 / 25e3, 3.04]])


@pytest.mark.parametrize(
    ("stamps", "text"),
    [
        (np.r_[np.arange(500), np.arange(498, 998)] / 25e3, "do not increase after sample 499"),
        (np.cumsum(np.random.default_rng(0).exponential(4e-5, 1000)), "are not regular"),
        (np.arange(999) / 25e3, "999 timestamps for 1000 samples"),
        (np.full(1000, np.nan), "do not increase"),
    ],
    ids=["backwards", "irregular", "too few", "NaN"],
)
def test_times_that_no_sorter_can_use_are_refused(compute, series, stamps, text):
    with pytest.raises(ValueError, match=text):
        compute.read_clock(series(timestamps=stamps))


def test_a_sorters_parameters_are_checked_without_running(compute):
    with pytest.raises(ValueError, match=r"did you mean 'spykingcircus2'.*tridesclous2"):
        compute.check_sorter("spyking_circus2", {})
    with pytest.raises(ValueError, match=r"no parameter 'filterin' \(did you mean 'filtering'\?\)"):
        compute.check_sorter("spykingcircus2", {"filterin": {}})
    with pytest.raises(ValueError, match="'filtering' is 3; expected something like"):
        compute.check_sorter("spykingcircus2", {"filtering": 3})
    with pytest.raises(ModuleNotFoundError, match=r"'ironclust' is not installed; installed here: .*spykingcircus2"):
        compute.check_sorter("ironclust", {})


def test_the_cause_of_a_sorters_failure_is_its_own_last_line(compute, tmp_path):
    error = RuntimeError("Spike sorting failed. You can inspect the runtime trace in the log")
    assert compute.find_cause(tmp_path, error) == str(error)
    trace = "Traceback (most recent call last):\n  File ...\nRuntimeError: Motion estimation failed: no torch\n\n"
    (tmp_path / "spikeinterface_log.json").write_text(json.dumps({"error": True, "error_trace": trace}))
    assert compute.find_cause(tmp_path, error) == "RuntimeError: Motion estimation failed: no torch"


def test_nested_parameters_are_merged_over_the_sorters_own(compute):
    merged = compute.check_sorter("spykingcircus2", {"filtering": {"freq_min": 200}})["filtering"]
    assert merged["freq_min"] == 200
    assert merged["freq_max"] == 7000


def test_our_lists_of_sorters_are_spikeinterfaces():
    import spikeinterface.sorters
    from spikeinterface.sorters.runsorter import SORTER_DOCKER_MAP

    from nwbpipe.processors.ephys._parameters import GPU_ONLY, SORTERS, TOOLS

    sorters = spikeinterface.sorters.sorter_dict
    assert sorted(SORTERS) == spikeinterface.sorters.available_sorters()
    assert {name for name, sorter in sorters.items() if sorter.gpu_capability == "nvidia-required"} == GPU_ONLY
    # Those that pip installs need no container.
    installed = {"kilosort4", "mountainsort5", "spykingcircus2", "tridesclous2"}
    images = {name: tool.image.removeprefix("docker.io/") for name, tool in TOOLS.items() if tool.image}
    assert images == {name: image for name, image in SORTER_DOCKER_MAP.items() if name not in installed}


def test_a_sorter_that_needs_a_gpu_is_refused_where_there_is_none(compute, monkeypatch):
    sorter = compute.si.sorter_dict["kilosort2_5"]
    monkeypatch.setattr(sorter, "is_installed", classmethod(lambda cls: True))
    monkeypatch.setattr(compute.shutil, "which", lambda name: None)
    monkeypatch.setattr(compute, "GPU_DEVICE", compute.Path("/nowhere"))
    with pytest.raises(RuntimeError, match=r"'kilosort2_5' needs an NVIDIA GPU, and there is none here; next: "):
        compute.check_sorter("kilosort2_5", {})


def test_no_units_leave_empty_arrays(compute, preprocessing, series):
    one = series()
    recording = preprocessing.NwbSeriesRecording(
        one["file"], one["data"], 25e3, [1.0] * 4, [0.0] * 4, rec.column(4).tolist(), [0] * 4
    )
    _, left = compute.measure(recording, [], np.zeros(0, int), {"ms_before": 1.0, "ms_after": 2.0}, 0)
    assert left["template_mean"].shape == (0, 75, 4)
    assert left["unit_locations"].shape == (0, 3)


def test_a_sorters_own_motion_correction_is_turned_off_where_motion_is_dealt_with(compute):
    assert compute.turn_off_motion("spykingcircus2", {}, "none") == {"apply_motion_correction": False}
    assert compute.turn_off_motion("spykingcircus2", {}, "sorter") == {}


def test_waveforms_are_kept_on_the_nearest_channels_of_the_units_group(compute):
    from spikeinterface.core import generate_recording

    recording = generate_recording(num_channels=80, durations=[0.01])
    recording.set_dummy_probe_from_locations(rec.column(80))
    recording.set_property("group", np.repeat([0, 1], 40))
    nearest = compute.find_nearest_channels(recording, np.array([0, 41]), by_group=True)
    assert nearest.shape == (2, 32)
    np.testing.assert_array_equal(nearest[0], np.arange(32))
    assert nearest[1].min() == 40


def test_artefacts_are_cut_out_of_what_was_observed(compute):
    intervals = np.array([[0.0, 10.0], [12.0, 20.0]])
    periods = np.array([[1.0, 2.0], [9.5, 12.5], [19.0, 21.0]])
    np.testing.assert_array_equal(compute.cut_intervals(intervals, periods), [[0.0, 1.0], [2.0, 9.5], [12.5, 19.0]])
