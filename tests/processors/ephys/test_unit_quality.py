"""Metrics of units against a simulated truth, and verdicts by sets of thresholds."""

import re

import h5py
import numpy as np
import pynwb
import pytest
from pydantic import ValidationError
from pynwb.misc import Units

from nwbpipe.errors import ToolFailedError
from nwbpipe.processors.ephys import UnitQualityParams
from nwbpipe.processors.ephys._unit_metrics import DESCRIPTIONS
from nwbpipe.processors.ephys._unit_quality import name_merges
from nwbpipe.run import process
from nwbpipe.simulate import DenseProbeSettings, simulate_dense_probe
from tests.processors.ephys import recording as rec

pytest.importorskip("spikeinterface", reason="it runs with SpikeInterface: pip install nwbpipe[demo]")


def write_units(tmp_path, truth, trains):
    path = rec.write_session(
        tmp_path / "s.nwb",
        truth.samples,
        places=truth.channel_locations,
        conversion=truth.gain_to_uv * 1e-6,
        rate=truth.rate,
        starting_time=10.0,
    )
    with rec.opened(path, "a") as nwbfile:
        nwbfile.units = Units(name="units", description="The true units.")
        for train in trains:
            nwbfile.add_unit(spike_times=10.0 + train / truth.rate)
    return path


def measure(tmp_path, params):
    """Measure true units, and one with a fifth of another's spikes."""
    truth = simulate_dense_probe(DenseProbeSettings(n_channels=16, duration_s=8.0, n_units=4), seed=2)
    trains = list(truth.spike_samples)
    trains[3] = np.unique(np.concatenate([trains[3], trains[0][::3] + 20]))
    path = write_units(tmp_path, truth, trains)
    process(path, "unit_quality", step="q", params=params)
    assert pynwb.validate(path=path) == []
    with rec.opened(path) as nwbfile:
        table = nwbfile.processing["ecephys"]["UnitQuality_q"]
        assert table["unit"].table is nwbfile.units
        assert [column.description for column in table.columns if column.name in DESCRIPTIONS] == [
            DESCRIPTIONS[column.name] for column in table.columns if column.name in DESCRIPTIONS
        ]
        return trains, {name: table[name][:] for name in table.colnames if name != "unit"}, table.description


@pytest.mark.slow
def test_units_are_measured_and_judged(tmp_path):
    params = {"metrics": "no_pc", "thresholds": {"name": "mine", "unit": {"num_spikes": {"fail_below": 1e6}}}}
    trains, found, description = measure(tmp_path, params)
    np.testing.assert_array_equal(found["num_spikes"], list(map(len, trains)))
    np.testing.assert_allclose(found["firing_rate"], np.array(list(map(len, trains))) / 8.0)
    assert (found["snr"] > 5).all()
    assert found["isi_violations_count"][:3].max() == 0
    assert {"peak_to_trough_duration", "trough_half_width", "spread", "amplitude", "sync_spike_2"} <= set(found)
    assert 2e-4 < np.median(found["peak_to_trough_duration"]) < 9e-4
    assert set(found["verdict"]) == {"fail"}
    assert all("num_spikes" in reason for reason in found["reasons"])
    assert set(found["merge_candidates"]) == {""}
    assert "not measured" in description
    assert "cumulative_drift" in description  # 8 s have no two intervals of 60 s


@pytest.mark.long
def test_principal_components_tell_units_apart(tmp_path):
    _, found, _ = measure(tmp_path, {})
    for name in ("isolation_distance", "l_ratio", "d_prime", "nn_hit_rate", "nn_miss_rate", "silhouette"):
        assert name in found
    # The foreign spikes lie near each other, far from the unit's own: their nearest neighbours are of the unit.
    for name in ("isolation_distance", "silhouette"):
        assert found[name][:3].min() > found[name][3]


@pytest.mark.slow
def test_spikes_outside_of_the_recording_are_refused(tmp_path):
    truth = simulate_dense_probe(DenseProbeSettings(n_channels=4, duration_s=0.5, n_units=1), seed=2)
    path = write_units(tmp_path, truth, [np.array([100, 20_000])])
    with pytest.raises(ToolFailedError, match=r"1 of 2 spikes lie outside of the recording, the first at 10.667 s"):
        process(path, "unit_quality")


def test_spikes_find_their_samples_by_the_series_own_timestamps(tmp_path):
    from nwbpipe.processors.ephys._spikesorting_series import read_clock
    from nwbpipe.processors.ephys._unit_quality_compute import read_frames

    stamps = 5.0 + np.arange(1000) / rec.RATE
    stamps[500:] += 2.0
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["data"], file["times"] = np.zeros((1000, 1), "int16"), stamps
        file["units/spike_times"], file["units/spike_times_index"] = stamps[[3, 499, 500]], [2, 3]
    path = str(tmp_path / "s.h5")
    series = {"file": path, "data": "/data", "timestamps": "/times"}
    units = {"file": path, "path": "/units"}
    found = read_frames(units, series, read_clock(series), 1000)
    assert [unit.tolist() for unit in found] == [[3, 499], [500]]
    with h5py.File(path, "a") as file:
        file["units/spike_times"][1] = 6.0  # in the gap
    with pytest.raises(ValueError, match="1 of 3 spikes lie outside"):
        read_frames(units, series, read_clock(series), 1000)


@pytest.mark.thorough
def test_halves_of_a_unit_are_candidates_of_a_merge():
    from spikeinterface.core import create_sorting_analyzer, generate_ground_truth_recording
    from spikeinterface.core.numpyextractors import NumpySorting

    from nwbpipe.processors.ephys._unit_quality_compute import find_merges

    recording, sorting = generate_ground_truth_recording(
        durations=[20.0], num_channels=8, num_units=3, seed=3, generate_sorting_kwargs={"firing_rates": 20.0}
    )
    trains = [sorting.get_unit_spike_train(unit, segment_index=0) for unit in sorting.unit_ids]
    halves = np.random.default_rng(0).random(len(trains[0])) < 0.5
    trains = [trains[0][halves], trains[1], trains[2], trains[0][~halves]]
    split = NumpySorting.from_unit_dict([dict(enumerate(trains))], recording.sampling_frequency)
    analyzer = create_sorting_analyzer(split, recording, format="memory", sparse=True)
    analyzer.compute(["random_spikes", "noise_levels", "waveforms", "templates"])
    groups = find_merges(analyzer, UnitQualityParams().merges)
    assert groups.tolist() == [0, -1, -1, 0]
    assert name_merges(groups, np.array([5, 6, 7, 8])) == ["8", "", "", "5"]


def test_more_than_two_units_are_named():
    assert name_merges(np.array([1, 1, 0, -1, 1]), np.arange(5)) == ["1, 4", "0, 4", "", "", "0, 1"]


@pytest.mark.parametrize("name", ["aind", "allen", "ibl"])
def test_sets_of_thresholds_are_taken_by_name(name):
    assert UnitQualityParams(thresholds=name).thresholds["name"] == name


@pytest.mark.parametrize(
    ("thresholds", "text"),
    [
        ("alen", "no set of thresholds 'alen'"),
        ({"name": "x", "unit": {"snrr": {"fail_below": 3}}}, "snrr"),
    ],
)
def test_unknown_thresholds_are_refused(thresholds, text):
    with pytest.raises(ValidationError, match=text):
        UnitQualityParams(thresholds=thresholds)


def test_metrics_are_asked_for_by_name():
    asked = UnitQualityParams(metrics=["l_ratio", "snr", "snr"])
    assert asked.metrics == ("snr", "l_ratio")
    assert asked.model_dump(mode="json")["metrics"] == ["snr", "l_ratio"]
    assert UnitQualityParams(metrics=["snr", "l_ratio"]) == asked
    assert UnitQualityParams().model_dump(mode="json")["metrics"] == "all"


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        (["snr", "l_ration"], r"there is no metric 'l_ration' \(did you mean 'l_ratio'.*\?\)$"),
        (["isi_violation"], r"'isi_violation' \(did you mean 'isi_violations_ratio' or 'isi_violations_count'"),
        (["zzz"], r"there is no metric 'zzz'; there are: num_spikes, firing_rate, .*spread"),
        (
            "no_pcs",
            r"no set of metrics 'no_pcs' \(did you mean 'no_pc'\?\); expected all, no_pc, or a list of names$",
        ),
        ("snr", "no set of metrics 'snr'.*the name of a column goes into a list"),
        ([], "at least 1 item"),
        ([1], "valid string"),
    ],
)
def test_unknown_metrics_are_refused(metrics, text):
    with pytest.raises(ValidationError) as caught:
        UnitQualityParams(metrics=metrics)
    assert any(re.search(text, error["msg"]) for error in caught.value.errors())


def test_each_metric_is_found_by_the_name_of_its_column():
    """Of SpikeInterface's metrics, those asked for and those that the thresholds judge by, and no other."""
    from nwbpipe.processors.ephys import _unit_quality_compute as compute

    quality, shapes, columns = compute.choose_metrics({"metrics": list(DESCRIPTIONS), "thresholds": {}})
    ours = {"amplitude", "cumulative_drift"}
    assert set(DESCRIPTIONS) == set(columns) == ours | set(compute.list_columns([*quality, *shapes]))
    thresholds = UnitQualityParams(thresholds="aind").thresholds
    chosen = compute.choose_metrics({"metrics": ["l_ratio", "peak_half_width"], "thresholds": thresholds})
    assert [set(names) for names in chosen] == [
        {"mahalanobis", "presence_ratio", "isi_violation", "amplitude_cutoff"},
        {"half_width"},
        {"l_ratio", "peak_half_width", "presence_ratio", "isi_violations_ratio", "amplitude_cutoff"},
    ]


@pytest.mark.filterwarnings("ignore")  # SpikeInterface's, on metrics of so short a recording
def test_metrics_asked_for_are_measured_and_those_that_can_not_be_are_named():
    from spikeinterface.core import generate_ground_truth_recording

    from nwbpipe.processors.ephys import _unit_quality_compute as compute

    recording, sorting = generate_ground_truth_recording(durations=[3.0], num_channels=4, num_units=2, seed=3)
    frames = [sorting.get_unit_spike_train(unit, segment_index=0) for unit in sorting.unit_ids]
    asked = ["num_spikes", "trough_half_width", "drift_ptp", "isolation_distance"]
    thresholds = {"name": "mine", "unit": {"snr": {"fail_below": 2.0}}}
    params = UnitQualityParams(metrics=asked, thresholds=thresholds, merges="none").model_dump(mode="json")
    recording.set_property("group", [0] * 4)
    metrics, absent, further = compute.measure(recording, frames, params, 0)
    assert set(metrics) | set(absent) == {*asked, "snr", "bombcell_label"}
    assert metrics["num_spikes"].tolist() == list(map(len, frames))
    assert {"trough_half_width", "snr"} <= set(metrics)
    assert "too short" in absent["drift_ptp"]
    assert "not asked for: num_positive_peaks" in absent["bombcell_label"]
    assert further == {}


@pytest.mark.filterwarnings("ignore")  # SpikeInterface's, on metrics of so short a recording
def test_all_metrics_are_the_same_again_with_the_same_seed():
    """SpikeInterface measures the noise of sd_ratio in stretches that it draws without a seed."""
    from spikeinterface.core import generate_ground_truth_recording

    from nwbpipe.processors.ephys import _unit_quality_compute as compute

    params = UnitQualityParams(metrics=["sd_ratio", "snr"], merges="none").model_dump(mode="json")
    ratios = []
    for _ in range(2):
        recording, sorting = generate_ground_truth_recording(durations=[60.0], num_channels=4, num_units=2, seed=3)
        recording.set_property("group", [0] * 4)
        frames = [sorting.get_unit_spike_train(unit, segment_index=0) for unit in sorting.unit_ids]
        ratios.append(compute.measure(recording, frames, params, 1)[0]["sd_ratio"].tolist())
    assert ratios[0] == ratios[1]
