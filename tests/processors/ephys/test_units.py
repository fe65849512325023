"""Units are written as NWB has them."""

import h5py
import numpy as np
import pynwb
import pytest
from nwbinspector import Importance, inspect_nwbfile, load_config

from nwbpipe.errors import ResultExistsError
from nwbpipe.processors.ephys import SpikeSorting
from tests.processors.ephys import recording as rec


@pytest.fixture
def session(tmp_path):
    data = np.zeros((50_000, 4), "int16")
    data[::100] = 7
    groups = ["shank0", "shank0", "shank1", "shank1"]
    return rec.write_session(tmp_path / "s.nwb", data, places=rec.column(4), groups=groups, order=[3, 2, 1, 0])


def write(session, tmp_path, *, primary=False, **results):
    with h5py.File(tmp_path / "results.h5", "w") as file:
        left = rec.fill(file, **results)
        with rec.opened(session, "a") as nwbfile:
            SpikeSorting().write(nwbfile, left, rec.context_of(nwbfile, primary=primary))


@pytest.fixture
def written(session, tmp_path):
    write(session, tmp_path)
    with rec.opened(session) as nwbfile:
        yield nwbfile


def units_of(nwbfile):
    return nwbfile.processing["ecephys"]["Units_sort"]


def test_spike_times_are_ragged(written):
    units = units_of(written)
    for unit, times in enumerate(rec.TIMES):
        np.testing.assert_array_equal(units["spike_times"][unit], times)
        np.testing.assert_array_equal(units["obs_intervals"][unit], [[0.0, 2.0]])


def test_waveforms_are_in_volts(written):
    units = units_of(written)
    microvolts = np.random.default_rng(0).normal(0, 50, (3, 75, 4))
    np.testing.assert_allclose(units["waveform_mean"][:], microvolts * 1e-6, rtol=1e-5)
    assert units["waveform_mean"].data.shape == units["waveform_sd"].data.shape == (3, 75, 4)
    assert (units.waveform_rate, units.waveform_unit, units.resolution) == (25_000.0, "volts", 1 / 25_000.0)
    assert units.waveform_time_before_peak_in_ms == 1.0


def test_electrodes_are_rows_of_the_files_own_table(written):
    units = units_of(written)
    assert units["electrodes"].target.table is written.electrodes
    # Column k of the series was recorded with row 3 - k.
    np.testing.assert_array_equal(units["electrodes"].target.data[:4], [3, 2, 1, 0])
    np.testing.assert_array_equal(units["peak_electrode"].data[:], [3, 2, 1])
    assert [group.name for group in units["electrode_group"][:]] == ["shank0", "shank0", "shank1"]


def test_channels_left_out_are_left_out(session, tmp_path):
    write(session, tmp_path, channels=(0, 2))
    with rec.opened(session) as nwbfile:
        units = units_of(nwbfile)
        np.testing.assert_array_equal(units["electrodes"].target.data[:], [3, 1] * 3)
        np.testing.assert_array_equal(units["electrodes_index"].data[:], [2, 4, 6])


def test_metrics_are_described_columns(written):
    units = units_of(written)
    np.testing.assert_array_equal(units["snr"][:], [5.0, np.nan, 7.5])
    assert units["num_spikes"].data.dtype.kind == "i"
    assert "Hz" not in units["snr"].description
    assert units["a_new_metric"].description == "SpikeInterface's quality metric a_new_metric"
    assert "presence_ratio" not in units.colnames  # NaN for every unit


@pytest.mark.parametrize("times", [rec.TIMES, []], ids=["units", "none"])
@pytest.mark.parametrize("primary", [False, True])
def test_the_file_is_valid_and_found_good(session, tmp_path, times, primary):
    write(session, tmp_path, times=times, primary=primary)
    assert pynwb.validate(path=session) == []
    found = [
        message
        for message in inspect_nwbfile(nwbfile_path=session, config=load_config("dandi"))
        if message.importance.value >= Importance.BEST_PRACTICE_VIOLATION.value
        and message.object_type in {"Units", "ProcessingModule", "NWBFile"}
    ]
    allowed = {"check_empty_table"} if not times else set()
    assert [message for message in found if message.check_function_name not in allowed] == []


@pytest.mark.parametrize("primary", [False, True])
def test_no_units_is_an_empty_table(session, tmp_path, primary):
    write(session, tmp_path, times=[], primary=primary)
    with rec.opened(session) as nwbfile:
        units = nwbfile.units if primary else units_of(nwbfile)
        assert len(units) == 0
        assert "spike_times" in units.colnames
        assert len(units.to_dataframe()) == 0


def test_primary_units_are_the_files_units(session, tmp_path):
    write(session, tmp_path, primary=True)
    with rec.opened(session) as nwbfile:
        assert "ecephys" not in nwbfile.processing
        np.testing.assert_array_equal(nwbfile.units["spike_times"][0], rec.TIMES[0])
    with h5py.File(session) as file:
        assert file["units"].attrs["neurodata_type"] == "Units"


def test_primary_units_beside_others_are_refused(session, tmp_path):
    write(session, tmp_path, primary=True)
    with pytest.raises(ResultExistsError, match="has units already"):
        write(session, tmp_path, primary=True)
    with rec.opened(session) as nwbfile, pytest.raises(ResultExistsError, match="leave out `primary`"):
        SpikeSorting().prepare(nwbfile, rec.context_of(nwbfile, primary=True))


def test_gaps_are_unobserved(session, tmp_path):
    write(session, tmp_path, intervals=[(0.0, 0.8), (1.0, 2.0)], times=[[0.5, 1.5], [0.1]])
    with rec.opened(session) as nwbfile:
        np.testing.assert_array_equal(units_of(nwbfile)["obs_intervals"][1], [[0.0, 0.8], [1.0, 2.0]])
