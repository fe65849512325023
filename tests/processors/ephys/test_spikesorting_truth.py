"""Sorting recordings with known units, through the engine."""

import h5py
import numpy as np
import pytest

from nwbpipe.errors import ParameterError, ToolError
from nwbpipe.run import process
from nwbpipe.simulate import DenseProbeSettings, simulate_dense_probe
from tests.processors.ephys import recording as rec
from tests.processors.ephys.simulated_units import GAIN_UV, accuracies, simulate

pytestmark = pytest.mark.slow
pytest.importorskip("spikeinterface", reason="spike sorting needs SpikeInterface: pip install nwbpipe[demo]")

#: A sorter puts a unit's time on a whole sample, by its own filtered template: it may be the trough's neighbour.
OFF_BY_ONE = 1.01 / rec.RATE


def found_times(path, table) -> list[np.ndarray]:
    with h5py.File(path) as file:
        units = file[table]
        return np.split(units["spike_times"][:], units["spike_times_index"][:-1].astype(int))


def test_units_are_found_at_their_times(tmp_path):
    truth = simulate()
    path = rec.write_session(
        tmp_path / "s.nwb", truth.samples, places=truth.locations, conversion=GAIN_UV * 1e-6, starting_time=12.5
    )
    run = process(path, "spikesorting", threads=2)
    assert run.computed
    assert run.record.outputs[0].path == "/processing/ecephys/Units_spikesorting"
    found = found_times(path, run.record.outputs[0].path)
    best = accuracies([12.5 + unit / rec.RATE for unit in truth.spikes], found, within=0.4e-3)
    print("units", len(found), "accuracies", [round(accuracy, 3) for accuracy, _ in best])
    good = [offsets for accuracy, offsets in best if accuracy >= 0.8]
    assert len(good) >= 0.8 * len(truth.spikes)
    for offsets in good:
        assert abs(np.median(offsets)) < OFF_BY_ONE
        assert np.mean(np.abs(offsets - np.median(offsets)) < OFF_BY_ONE) > 0.9
    check_waveforms(path, truth)
    assert not process(path, "spikesorting", threads=2).computed


def check_waveforms(path, truth):
    """Each unit's mean waveform is that of the data around its spikes, on its own electrode."""
    with rec.opened(path) as nwbfile:
        units = nwbfile.processing["ecephys"]["Units_spikesorting"]
        for unit in range(len(units)):
            electrode = int(units["peak_electrode"].data[unit])
            mean = units["waveform_mean"][unit][:, electrode]
            samples = np.rint((units["spike_times"][unit] - 12.5) * rec.RATE).astype(int)
            samples = samples[(samples > 100) & (samples < len(truth.samples) - 100)]
            snippets = truth.samples[samples[:, None] + np.arange(-25, 50), electrode] * GAIN_UV * 1e-6
            raw = snippets.mean(axis=0) - snippets.mean()
            assert mean.shape == raw.shape
            assert abs(np.argmin(mean) - 25) <= 1
            assert np.corrcoef(mean, raw)[0, 1] > 0.9
            assert mean.min() == pytest.approx(raw.min(), rel=0.3)


def write_dense_session(path, truth):
    order = np.rint(truth.inter_sample_shift * 13)
    return rec.write_session(
        path,
        truth.samples,
        places=truth.channel_locations,
        conversion=truth.gain_to_uv * 1e-6,
        rate=truth.rate,
        starting_time=3.0,
        columns={"adc_sample_order": order},
    )


@pytest.mark.thorough
def test_a_dense_probe_that_drifts_is_sorted_by_default(tmp_path):
    """More than 32 channels: motion is corrected without torch; bad channels and artefacts are dealt with."""
    settings = DenseProbeSettings(
        n_channels=64, duration_s=12.0, n_units=10, drift_um=12.0, drift_period_s=12.0,
        dead=(20,), noisy=(41,), artifacts_s=(5.0, 9.0),
    )  # fmt: skip
    truth = simulate_dense_probe(settings, seed=1)
    path = write_dense_session(tmp_path / "s.nwb", truth)
    process(path, "spikesorting", threads=2)
    trains = found_times(path, "processing/ecephys/Units_spikesorting")
    best = accuracies([3.0 + unit / truth.rate for unit in truth.spike_samples], trains, within=0.4e-3)
    found = np.array([accuracy for accuracy, _ in best])
    print("units", len(trains), "accuracies", found.round(3))
    assert len(trains) <= 11  # its fragments are joined
    assert np.sum(found >= 0.8) >= 9
    assert found.mean() >= 0.93
    with rec.opened(path) as nwbfile:
        module = nwbfile.processing["ecephys"]
        units, motion = module["Units_spikesorting"], module["Motion_spikesorting"]
        for text in ("20 (dead), 41 (noisy)", "2 artefacts", "reference: median", "delays", "(decentralized)"):
            assert text in units.description
        assert units["electrodes"].target.data.shape[0] == 32 * len(units)
        assert units["waveform_mean"].data.shape[2] == 32
        assert len(units["spike_amplitudes"][0]) == len(units["spike_depths"][0]) == len(units["spike_times"][0])
        edges = np.array(units["obs_intervals"][0])
        np.testing.assert_allclose(edges, [[3.0, 8.0], [8.02, 12.0], [12.02, 15.0]], atol=2e-3)
        true = truth.displacement_um(motion.get_timestamps() - 3.0)
        for window in motion.data[:].T:
            assert np.corrcoef(true, window)[0, 1] > 0.95
            assert np.abs(window - (true - np.median(true))).max() < 5.0


@pytest.mark.long
def test_motion_is_estimated_by_itself_and_tissue_at_rest_stays(tmp_path):
    settings = DenseProbeSettings(n_channels=64, duration_s=20.0, n_units=16, drift_um=15.0, drift_period_s=20.0)
    truth = simulate_dense_probe(settings, seed=5)
    path = write_dense_session(tmp_path / "s.nwb", truth)
    process(path, "motion")
    with rec.opened(path) as nwbfile:
        module = nwbfile.processing["ecephys"]
        motion, raster = module["Motion_motion"], module["DriftRaster_motion"]
        true = truth.displacement_um(motion.get_timestamps() - 3.0)
        errors = motion.data[:] - (true - np.median(true))[:, None]
        print("largest error in micrometers", np.abs(errors).max().round(2))
        assert np.abs(errors).max() < 5.0
        assert len(module["MotionWindows_motion"]) == motion.data.shape[1]
        assert raster.data[:].sum() > 0.8 * sum(map(len, truth.spike_samples))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_384_channels_are_sorted_by_default(tmp_path):
    settings = DenseProbeSettings(n_channels=384, duration_s=20.0, n_units=40, drift_um=12.0, drift_period_s=20.0)
    truth = simulate_dense_probe(settings, seed=1)
    path = write_dense_session(tmp_path / "s.nwb", truth)
    process(path, "spikesorting", threads=2)
    found = found_times(path, "processing/ecephys/Units_spikesorting")
    best = accuracies([3.0 + unit / truth.rate for unit in truth.spike_samples], found, within=0.4e-3)
    accuracy = np.array([value for value, _ in best])
    print("units", len(found), "accuracies", accuracy.round(3))
    assert np.sum(accuracy >= 0.8) >= 38
    assert accuracy.mean() >= 0.95
    assert len(found) <= 42


@pytest.mark.long
def test_shanks_are_sorted_apart_and_drifting_timestamps_followed(tmp_path):
    shanks = [simulate(channels=8, units=3, seconds=15.0, seed=seed) for seed in (7, 8)]
    samples = np.hstack([shank.samples for shank in shanks])
    # The clock of the session gains 100 ppm, and a wave of 1 ms, on the nominal rate.
    nominal = np.arange(len(samples)) / rec.RATE
    stamps = 100.0 + nominal * (1 + 1e-4) + 1e-3 * np.sin(nominal)
    path = rec.write_session(
        tmp_path / "s.nwb",
        samples,
        places=np.vstack([shank.locations for shank in shanks]),
        groups=["left"] * 8 + ["right"] * 8,
        conversion=GAIN_UV * 1e-6,
        timestamps=stamps,
    )
    process(path, "spikesorting", step="sort", primary=True, threads=2)
    found = found_times(path, "units")
    with h5py.File(path) as file:
        names = [file[reference].name.rsplit("/", 1)[1] for reference in file["units/electrode_group"][:]]
        located = file["units/estimated_x"][:]
    good = 0
    for name, shank in zip(("left", "right"), shanks, strict=True):
        own = [times for times, group in zip(found, names, strict=True) if group == name]
        best = accuracies([stamps[unit] for unit in shank.spikes], own, within=0.4e-3)
        print(name, len(own), [round(accuracy, 3) for accuracy, _ in best])
        for accuracy, offsets in best:
            if accuracy >= 0.8:
                good += 1
                assert abs(np.median(offsets)) < OFF_BY_ONE
    assert good >= 0.8 * 6
    # Positions are given in each shank's own coordinates again.
    assert np.all(np.abs(located) < 100)


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        ({"sorter": "spykingcircus"}, ToolError, "'spykingcircus' is not installed"),
        ({"sorter_params": {"filterin": {}}}, ToolError, "did you mean 'filtering'"),
        ({"sorter": "spykingcirkus2"}, ParameterError, "did you mean 'spykingcircus2'"),
    ],
)
def test_a_bad_request_leaves_the_file_alone(tmp_path, params, error, text):
    path = rec.write_session(tmp_path / "s.nwb", np.zeros((1000, 4), "int16"), places=rec.column(4))
    before = path.read_bytes()
    with pytest.raises(error, match=text):
        process(path, "spikesorting", params=params)
    assert path.read_bytes() == before
