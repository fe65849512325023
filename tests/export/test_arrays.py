"""A session as arrays of xarray, pynapple, pandas and SpikeInterface, held to the values that were written."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.cli import main
from nwbpipe.errors import ConflictError, InputError, OverwriteError, RequestError, ToolMissingError, UnknownNameError
from nwbpipe.export import to_pandas, to_pynapple, to_spikeinterface, to_xarray, write_arrays
from tests.export.sessions import SPIKES, write_arrays_session


@pytest.fixture(scope="module")
def arrays_nwb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session file with known values; it is not to be changed."""
    return write_arrays_session(tmp_path_factory.mktemp("arrays") / "session.nwb")


# xarray -----------------------------------------------------------------------------------------------------


def test_series_of_one_clock_are_one_dataset_with_the_ids_as_labels(arrays_nwb: Path) -> None:
    tree = to_xarray(arrays_nwb)
    assert {name: set(node.data_vars) for name, node in tree.children.items()} == {
        "raw": {"raw"},
        "movie": {"movie", "Fluorescence.dff"},
        "wheel": {"wheel"},
        "blink": {"blink", "pupil"},  # two datasets of the same times
    }
    assert (tree.attrs["subject_id"], tree.attrs["session_id"]) == ("M1", "a")
    dff = tree["movie"]["Fluorescence.dff"]
    assert dff.dims == ("time", "roi")
    assert dff.roi.values.tolist() == [20, 22]
    assert dff.sel(roi=22).sel(time=slice(1.0, 1.02)).values.tolist() == [1050.0, 1051.0, 1052.0]
    assert dff.attrs["path"] == "/processing/ophys/Fluorescence/dff"
    assert tree["movie"]["movie"].dims == ("time", "x", "y")
    assert tree["blink"]["pupil"].sel(time=3.5).item() == 7.0


def test_values_are_in_their_unit(arrays_nwb: Path) -> None:
    raw = to_xarray(arrays_nwb, series=["raw"])["raw"]["raw"]
    assert raw.attrs["units"] == "volts"
    assert raw.electrode.values.tolist() == [12, 11]
    assert raw.electrode_rel_y.values.tolist() == [40.0, 20.0]
    np.testing.assert_allclose(raw.sel(time=4.0), [4000 * 2e-6, -4000 * 6e-6], rtol=1e-6)
    np.testing.assert_allclose(raw.sel(electrode=11).isel(time=slice(10, 12)), [-60e-6, -66e-6], rtol=1e-6)


@pytest.mark.parametrize(
    "key",
    [
        (slice(5, 50, 7), slice(None)),
        (slice(50, 5, -7), slice(None, None, -1)),
        (np.array([7, 3, 3, 399]), slice(0, 1)),
        (-1, 1),
        (slice(400, 400), 0),
    ],
)
def test_parts_are_read_as_numpy_would_take_them(arrays_nwb: Path, key: Any) -> None:
    truth = np.stack([np.arange(400.0), 1000 + np.arange(400.0)], axis=1)
    dff = to_xarray(arrays_nwb, series=["dff"])["movie"]["Fluorescence.dff"]
    assert np.array_equal(dff[key].values, truth[key])


def test_a_window_cuts_the_times(arrays_nwb: Path) -> None:
    tree = to_xarray(arrays_nwb, series=["dff", "pupil"], window=(1.0, 2.0))
    dff, pupil = tree["movie"]["Fluorescence.dff"], tree["blink"]["pupil"]
    assert (dff.time.values[0], dff.time.values[-1], len(dff)) == (1.0, 2.0, 101)
    assert (dff.values[0, 0], dff.values[-1, 1]) == (50.0, 1150.0)
    assert pupil.time.values.tolist() == [1.0, 1.5, 2.0]
    assert pupil.values.tolist() == [2.0, 3.0, 4.0]


def test_a_series_that_was_replaced_meanwhile_is_not_read(tmp_path: Path) -> None:
    from pynwb import TimeSeries

    import nwbpipe

    path = write_arrays_session(tmp_path / "session.nwb")
    wheel = to_xarray(path)["wheel"]["wheel"]

    def remove(file: Any) -> None:
        del file["acquisition/wheel"]

    with nwbpipe.transaction(path, before=remove) as nwbfile:
        nwbfile.add_acquisition(TimeSeries(name="wheel", description="d", data=np.zeros(500), unit="s", rate=100.0))
    with pytest.raises(ConflictError, match="replaced or removed"):
        _ = wheel.values


def test_an_unknown_series_is_refused_with_the_names(arrays_nwb: Path) -> None:
    with pytest.raises(UnknownNameError, match="has no series 'whel'") as caught:
        to_xarray(arrays_nwb, series=["whel"])
    assert "wheel" in str(caught.value.problem.expected)


def test_netcdf_holds_the_same(arrays_nwb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import xarray

    with contextlib.suppress(SystemExit):
        main(["export", str(arrays_nwb), "--to", "netcdf", str(tmp_path / "out.nc")])
    assert "left out: /acquisition/movie: a movie: written if it is named" in capsys.readouterr().out
    with xarray.open_datatree(tmp_path / "out.nc", engine="h5netcdf") as written:
        xarray.testing.assert_allclose(
            written["movie"].to_dataset(), to_xarray(arrays_nwb, series=["dff"])["movie"].to_dataset()
        )
        wheel = written["wheel"]["wheel"]  # in seconds: a number, not a duration
        assert wheel.dtype == np.float64
        assert (wheel.attrs["units"], wheel.sel(time=1.25).item()) == ("s", 1.25)
        assert json.loads(written.attrs["left_out"]) == {}


def test_a_name_may_have_the_signs_of_a_pattern(tmp_path: Path) -> None:
    import xarray
    from pynwb import NWBHDF5IO, TimeSeries

    path = write_arrays_session(tmp_path / "session.nwb")
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        for number in range(2):
            data = np.full(500, number)
            nwbfile.add_acquisition(
                TimeSeries(name=f"lines[{number}]", description="d", data=data, unit="n.a.", rate=50.0)
            )
        io.write(nwbfile)
    (node,) = to_xarray(path, series=["lines[1]"]).children.values()
    assert list(node.data_vars) == ["lines[1]"]
    write_arrays(path, tmp_path / "out.nc", to="netcdf")
    with xarray.open_datatree(tmp_path / "out.nc", engine="h5netcdf") as written:
        assert written["lines[0]"]["lines[1]"].values.tolist() == [1] * 500


# pynapple ---------------------------------------------------------------------------------------------------


def test_pynapple_has_series_units_events_and_intervals(arrays_nwb: Path) -> None:
    session = to_pynapple(arrays_nwb)
    dff = session["Fluorescence.dff"]
    assert type(dff).__name__ == "TsdFrame"
    assert dff.columns.tolist() == [20, 22]
    assert dff.get(1.0, 1.02).values[:, 1].tolist() == [1050.0, 1051.0, 1052.0]
    units = session["units"]
    for row, spikes in enumerate(SPIKES):
        assert units[row].t.tolist() == spikes.tolist()
    assert units["depth"].tolist() == [0.0, 100.0]
    assert units["unit_id"].tolist() == [7, 8]
    trials = session["trials"]
    assert trials.start.tolist() == [0.5, 1.5, 9.4]
    assert trials["choice"].tolist() == ["right", "left", "left"]
    events = session["events"]
    assert dict(zip(events["event_type"].tolist(), [events[n].t.tolist() for n in events.index], strict=True)) == {
        "lick": [1.2, 2.2],
        "reward": [0.4],
    }
    assert session["movie"].shape == (400, 4, 3)
    assert session["raw"].restrict(trials[1]).values[0].tolist() == pytest.approx([3e-3, -9e-3])


def test_intervals_that_pynapple_would_change_are_a_data_frame(arrays_nwb: Path) -> None:
    session = to_pynapple(arrays_nwb, series=[])
    assert session["epochs"]["stop_time"].tolist() == [2.0, 4.0]  # an IntervalSet would end the first 1 µs sooner
    assert session.left_out == {
        "/intervals/epochs": "some intervals overlap or touch: a data frame, not an IntervalSet"
    }
    assert set(session) == {"epochs", "events", "trials", "units"}


# pandas -----------------------------------------------------------------------------------------------------


def test_pandas_has_the_tables_and_the_named_series(arrays_nwb: Path) -> None:
    frames = to_pandas(arrays_nwb, series=["dff", "pupil"], window=(1.0, 1.5))
    assert frames["trials"]["go_cue"].tolist() == [1.0, 2.0, 9.9]
    assert frames["spike_times"]["spike_times"].map(list).tolist() == [spikes.tolist() for spikes in SPIKES]
    dff = frames["Fluorescence.dff"]
    assert (list(dff.columns), dff.index.name, len(dff)) == (["20", "22"], "time", 51)
    assert dff.loc[1.25, "22"] == 1075.0
    assert frames["pupil"]["value"].to_dict() == {1.0: 2.0, 1.5: 3.0}


def test_parquet_is_a_folder_of_tables_and_series(arrays_nwb: Path, tmp_path: Path) -> None:
    import pandas as pd

    left_out = write_arrays(arrays_nwb, tmp_path / "out", to="parquet")
    assert list(left_out) == ["/acquisition/movie"]
    names = {path.stem for path in (tmp_path / "out" / "series").iterdir()}
    assert names == {"raw", "Fluorescence.dff", "wheel", "pupil", "blink"}
    assert pd.read_parquet(tmp_path / "out" / "trials.parquet")["choice"].tolist() == ["right", "left", "left"]
    raw = pd.read_parquet(tmp_path / "out" / "series" / "raw.parquet")
    assert raw.loc[4.0].tolist() == pytest.approx([8e-3, -24e-3])
    with pytest.raises(OverwriteError):
        write_arrays(arrays_nwb, tmp_path / "out", to="parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


# SpikeInterface ---------------------------------------------------------------------------------------------


def test_spikeinterface_has_the_traces_and_the_spikes_at_their_times(arrays_nwb: Path) -> None:
    recording, sorting = to_spikeinterface(arrays_nwb, "units")
    assert recording.get_channel_ids().tolist() == [12, 11]
    traces = recording.get_traces(start_frame=100, end_frame=102)
    np.testing.assert_allclose(traces, [[200.0, -600.0], [202.0, -606.0]], rtol=1e-5)
    assert recording.get_channel_locations().tolist() == [[0.0, 40.0], [0.0, 20.0]]
    assert sorting is not None
    assert sorting.get_property("depth").tolist() == [0.0, 100.0]
    for unit, spikes in zip((7, 8), SPIKES, strict=True):
        assert sorting.get_unit_spike_train(unit_id=unit).tolist() == np.rint(spikes * 1000).tolist()
        np.testing.assert_allclose(sorting.get_unit_spike_train(unit_id=unit, return_times=True), spikes)
    assert to_spikeinterface(arrays_nwb).sorting is None


def test_spikes_outside_of_the_recording_are_refused(tmp_path: Path) -> None:
    path = write_arrays_session(tmp_path / "session.nwb", spikes=[np.array([1.0, 7.0])])
    with pytest.raises(InputError, match="outside of the recording"):
        to_spikeinterface(path, "units")
    with pytest.raises(UnknownNameError, match="no units of a step 'sort'"):
        to_spikeinterface(path, "sort")


# What is asked for wrongly ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "library", "extra"),
    [
        (to_xarray, "xarray", "arrays"),
        (to_pynapple, "pynapple", "arrays"),
        (to_pandas, "pyarrow", "arrays"),
        (to_spikeinterface, "spikeinterface", "ephys"),
    ],
)
def test_a_missing_library_names_its_extra(
    function: Any, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ToolMissingError, match=f"{library} is not installed") as caught:
        function("session.nwb")
    assert caught.value.problem.hint == f"pip install 'nwbpipe[{extra}]'"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "parquet", "sort", "out"], "don't fit the format"),
        (["--to", "phy", "out"], "don't fit the format"),
        (["--to", "parquet", "out", "--threads", "2"], "--threads does not apply to --to parquet"),
        (["--to", "phy", "sort", "out", "--series", "raw"], "--series does not apply to --to phy"),
        (["--to", "netcdf", "out", "--window", "3", "2"], "the window is empty"),
    ],
)
def test_a_wrong_request_is_refused(
    words: list[str], message: str, arrays_nwb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["export", str(arrays_nwb), *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    with pytest.raises(RequestError):
        write_arrays(arrays_nwb, "out", to="parquet", window=(2.0, 2.0))
