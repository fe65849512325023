"""Series, spikes and events around a time of each trial, held to the values that were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.errors import RequestError, UnknownNameError
from nwbpipe.export import align
from nwbpipe.export._align import OUTSIDE, UNOBSERVED
from tests.export.sessions import write_arrays_session


@pytest.fixture(scope="module")
def arrays_nwb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session file with known values; it is not to be changed."""
    return write_arrays_session(tmp_path_factory.mktemp("align") / "session.nwb")


def around_go(files: Any, series: list[str], **options: Any) -> Any:
    options = {"around": "trials.go_cue", "window": (-0.5, 1.0), "bin": 0.1} | options
    return align(files, series=series, **options)


def test_each_value_is_that_of_its_time_from_the_alignment(arrays_nwb: Path) -> None:
    aligned = around_go(arrays_nwb, ["wheel", "dff", "units"])
    np.testing.assert_allclose(aligned.time, np.arange(-0.45, 1.0, 0.1))
    assert aligned.trial.values.tolist() == [0, 1]
    assert aligned.alignment_time.values.tolist() == [1.0, 2.0]
    assert aligned.choice.values.tolist() == ["right", "left"]
    # The mean of the ten samples of a bin lies half a sample before its middle.
    truth = aligned.alignment_time.values[:, None] + aligned.time.values - 0.005
    np.testing.assert_allclose(aligned.wheel, truth, atol=1e-9)
    dff = aligned["Fluorescence.dff"]
    assert dff.dims == ("trial", "time", "roi")
    np.testing.assert_allclose(dff.sel(roi=22), 1000 + (truth - 0.5) * 100, atol=1e-6)
    counts = aligned.units.sel(unit=7)
    assert counts.sel(trial=0).values.tolist() == [0] * 5 + [2] + [0] * 9  # 1.005 and 1.015
    assert counts.sel(trial=1).values.tolist() == [0] * 10 + [1] + [0] * 4  # 2.5, on the edge of a bin
    assert aligned.unit_depth.values.tolist() == [0.0, 100.0]


def test_trials_that_a_series_lacks_are_listed_with_the_reason(arrays_nwb: Path) -> None:
    aligned = around_go(arrays_nwb, ["wheel", "dff", "units"], window=(-0.8, 1.0))
    left_out = list(
        zip(
            aligned.left_out_series.values.tolist(),
            aligned.left_out_trial.values.tolist(),
            aligned.left_out_reason.values.tolist(),
            strict=True,
        )
    )
    assert left_out == [
        ("wheel", 2, OUTSIDE),
        ("Fluorescence.dff", 0, OUTSIDE),  # it begins at 0.5 s
        ("Fluorescence.dff", 2, OUTSIDE),
        ("units", 2, UNOBSERVED),
    ]
    assert aligned.trial.values.tolist() == [0, 1]
    assert np.isnan(aligned["Fluorescence.dff"].sel(trial=0)).all()
    assert np.isfinite(aligned.wheel).all()


def test_bins_in_which_a_unit_was_not_observed_are_no_zeros(arrays_nwb: Path) -> None:
    aligned = align(arrays_nwb, around="trials.go_cue", window=(0, 3), bin=0.5, series=["units"])
    seen = np.isfinite(aligned.units.sel(unit=8))
    assert seen.sel(trial=0).values.tolist() == [True] * 6
    assert seen.sel(trial=1).values.tolist() == [True] * 4 + [False] * 2  # observed until 4.0
    assert aligned.units.sel(unit=8, trial=0).values.tolist() == [0, 0, 0, 0, 1, 0]


def test_a_slow_series_is_interpolated_but_not_over_a_gap(arrays_nwb: Path) -> None:
    aligned = align(arrays_nwb, around="trials.go_cue", window=(0, 2), bin=0.1, series=["pupil"])
    assert aligned.pupil.attrs["method"] == "linear"
    at = aligned.alignment_time.values[:, None] + aligned.time.values
    gap = (at > 2.5) & (at < 3.5)
    assert np.array_equal(np.isnan(aligned.pupil), gap)
    np.testing.assert_allclose(aligned.pupil.values[~gap], 2 * at[~gap])
    nearest = align(arrays_nwb, around="trials.go_cue", window=(0, 1), bin=0.1, series=["pupil"], method="nearest")
    assert set(nearest.pupil.sel(trial=0).values.tolist()) == {2.0, 3.0, 4.0}


def test_events_are_counted_and_can_be_aligned_to(arrays_nwb: Path) -> None:
    aligned = align(arrays_nwb, around="events.lick", window=(-1, 1), bin=1.0, series=["events", "wheel"])
    assert aligned.alignment_time.values.tolist() == [1.2, 2.2]
    assert aligned.events.sel(event_type="reward").values.tolist() == [[1, 0], [0, 0]]
    assert aligned.events.sel(event_type="lick").values.tolist() == [[0, 1], [1, 1]]  # 1.2 is 1 s before 2.2
    np.testing.assert_allclose(aligned.wheel[1], [1.695, 2.695], atol=1e-6)


def test_sessions_stand_side_by_side_and_one_without_the_series_is_listed(arrays_nwb: Path, tmp_path: Path) -> None:
    from tests.fixtures.processing import write_session

    other = write_arrays_session(tmp_path / "other.nwb", session_id="b", spikes=[np.array([1.05])])
    bare = write_session(tmp_path / "bare.nwb", "lever")
    tree = around_go([arrays_nwb, other, bare], ["units"])
    assert list(tree.children) == ["sub-M1_ses-a", "sub-M1_ses-b"]
    assert tree["sub-M1_ses-b"]["units"].sel(trial=0).values[:, 0].tolist() == [0] * 5 + [1] + [0] * 9
    assert "no table 'trials'" in json.loads(tree.attrs["left_out"])[str(bare)]
    with pytest.raises(UnknownNameError, match="no table 'trials'"):
        around_go([bare], ["units"])
    with pytest.raises(RequestError, match="two files are of the session sub-M1_ses-a"):
        around_go([arrays_nwb, arrays_nwb], ["units"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bin": 0.4}, RequestError, "not a whole number of bins"),
        ({"bin": 0.0}, RequestError, "not a whole number of bins"),
        ({"window": (1.0, 1.0)}, RequestError, "not a whole number of bins"),
        ({"method": "cubic"}, RequestError, "method is not known"),
        ({"around": "trials.cue"}, UnknownNameError, "trials has no times 'cue'"),
        ({"around": "trials.choice"}, UnknownNameError, "trials has no times 'choice'"),
        ({"around": "events.cue"}, UnknownNameError, "events has no times 'cue'"),
        ({"around": "go_cue"}, UnknownNameError, "no table ''"),
        ({"series": ["lever"]}, UnknownNameError, "no series 'lever'"),
        ({"series": []}, RequestError, "no series is named"),
    ],
)
def test_a_wrong_request_is_refused(arrays_nwb: Path, options: Any, error: type[Exception], message: str) -> None:
    series = options.pop("series", ["wheel"])
    with pytest.raises(error, match=message):
        around_go(arrays_nwb, series, **options)


def test_the_dataset_can_be_written(arrays_nwb: Path, tmp_path: Path) -> None:
    import xarray

    aligned = around_go(arrays_nwb, ["units", "wheel"])
    aligned.to_netcdf(tmp_path / "aligned.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "aligned.nc", engine="h5netcdf") as written:
        xarray.testing.assert_equal(written.load(), aligned)


def test_two_tables_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO
    from pynwb.epoch import TimeIntervals
    from pynwb.misc import Units

    path = write_arrays_session(tmp_path / "session.nwb")
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        trials = TimeIntervals(name="trials", description="of a second log")
        trials.add_row(start_time=2.0, stop_time=2.5)
        units = Units(name="units", description="of a second sorting")
        units.add_unit(spike_times=[1.02], id=50)
        nwbfile.processing["behavior"].add(trials)
        nwbfile.create_processing_module("ecephys", "d").add(units)
        io.write(nwbfile)
    with pytest.raises(UnknownNameError, match="no table 'trials'") as caught:
        around_go(path, ["wheel"])
    assert "intervals.trials, processing.behavior.trials" in str(caught.value.problem.expected)
    for table, times in (("/intervals/trials", [0.5, 1.5]), ("processing.behavior.trials", [2.0])):
        aligned = around_go(path, ["/units"], around=f"{table}.start_time", window=(0.0, 1.0))
        assert aligned.alignment_time.values.tolist() == times
        assert aligned.unit.values.tolist() == [7, 8]
