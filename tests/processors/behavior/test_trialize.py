"""trialize: arrays of series whose value at every time is known."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.nwb_builders import Column
from nwbpipe.processors.behavior import _trialize_compute as module
from nwbpipe.processors.behavior._trialize import TrializeParams, average
from tests.processors.behavior.session import write_session

pytest_plugins = ("tests.fixtures.processing",)


def test_the_grid_holds_zero():
    np.testing.assert_allclose(module.make_grid(0.1, 0.2, 10), [-0.1, 0, 0.1, 0.2])
    np.testing.assert_allclose(module.make_grid(0.15, 0.29, 10), [-0.1, 0, 0.1, 0.2])
    assert 0.0 in module.make_grid(1 / 3, 1 / 7, 997)


@pytest.mark.parametrize(
    ("method", "expected"), [("linear", [10, 15, 20]), ("nearest", [10, 10, 20]), ("previous", [10, 10, 20])]
)
def test_between_samples(method, expected):
    found = module.sample_series(
        np.array([1.0, 2.0, 3.0]), np.array([[10.0], [20.0], [30.0]]), np.array([1, 1.5, 2]), method, 2
    )
    np.testing.assert_allclose(found[:, 0], expected)


def test_across_a_gap_there_is_nothing():
    times, values = np.array([0.0, 1.0, 5.0, 6.0]), np.array([[0.0], [1.0], [5.0], [6.0]])
    found = module.sample_series(times, values, np.array([1.0, 2.0, 5.0, 5.5, 7.0]), "linear", 1.5)
    np.testing.assert_array_equal(found[:, 0], [1, np.nan, 5, 5.5, np.nan])


def test_a_missing_sample_counts_only_where_it_is_used():
    times, values = np.array([0.0, 1.0, 2.0]), np.array([[0.0], [np.nan], [2.0]])
    found = module.sample_series(times, values, np.array([0.0, 0.5, 1.0, 1.5, 2.0]), "linear", 1.5)
    np.testing.assert_array_equal(found[:, 0], [0, np.nan, np.nan, np.nan, 2])


@pytest.mark.parametrize("form", ["rate", "timestamps"])
@pytest.mark.parametrize("start", [1234.5, 1_688_252_801.33])
@pytest.mark.parametrize("method", ["linear", "previous"])
def test_unix_times(tmp_path, start, form, method):
    rate, count = 20.4992, 4000
    anchors = start + 5 + np.arange(12) * 10.0137
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.arange(count) / rate
        file["stamps"] = start + np.arange(count) / rate
        file["trials/start_time"] = anchors
    series = {"file": tmp_path / "a.h5", "data": "data", "rate": rate, "starting_time": start}
    series["timestamps"] = "stamps" if form == "timestamps" else None
    request = {
        "inputs": {"series": series, "trials": {"path": "trials"}},
        "params": {**TrializeParams(method=method).model_dump(), "align": "start_time"},
        "facts": {"rate": rate, "source_rate": rate, "conversion": 1.0, "offset": 0.0, "unit": "m"},
    }
    with h5py.File(tmp_path / "results.h5", "w") as results:
        module.compute(request, results, lambda share, text: None)
        found = results["data"][()]
        expected = anchors[:, None] - start + results["lags"][()]
    assert found.shape[0] == 12
    off = expected - found
    if method == "linear":
        assert np.abs(off).max() < 1e-6
    else:
        assert off.min() > -1e-6
        assert off.max() < 1 / rate + 1e-6


def test_average_by_its_definition():
    data = np.random.default_rng(0).normal(size=(12, 5, 2))
    data[3, 2] = np.nan
    number, mean, error = average(data)
    assert number[2].tolist() == [11, 11]
    np.testing.assert_allclose(mean, np.nanmean(data, axis=0))
    np.testing.assert_allclose(error, np.nanstd(data, axis=0, ddof=1) / np.sqrt(number))
    assert np.isnan(average(data[:1])[2]).all()


# A ramp: the value is the time, so every sample of every trial says whether its time is right.
STARTS = np.array([0.2, 5.0, 7.25, 9.5, np.nan])


@pytest.mark.parametrize("form", ["rate", "timestamps"])
def test_every_sample_is_at_its_time(tmp_path, form):
    times = 0.0 + np.arange(1000) / 100
    values = np.stack([times * 100, times * -200], axis=1).astype(np.float64)
    given = {"rate": 100.0, "starting_time": 0.0} if form == "rate" else {"timestamps": times}
    cue = Column("cue", "the cue", STARTS, "time")
    starts = np.arange(5) * 2.0
    path = write_session(
        tmp_path / "a.nwb",
        trials=(starts, starts + 1),
        trial_columns=[cue],
        ids=[10, 11, 12, 13, 14],
        ramp={"data": values, "conversion": 0.01, "offset": 1.0, **given},
    )
    params = {"align": "cue", "before_s": 0.5, "after_s": 1.0, "rate_hz": 40}
    nwbpipe.process(path, "trialize", params=params)
    with nwbpipe.read(path) as nwbfile:
        module_ = nwbfile.processing["behavior"]
        table, means = module_["TrialAligned_trialize"], module_["TrialAverage_trialize"]
        lags = means["time_from_alignment"].data[:]
        np.testing.assert_allclose(lags, np.arange(-20, 41) / 40)
        assert table["trial"].data[:].tolist() == [11, 12]
        data = table["data"].data[:]
        assert data.shape == (2, 61, 2)
        for row, start in enumerate(STARTS[1:3]):
            np.testing.assert_allclose(data[row, :, 0], start + lags + 1, atol=1e-9)
            np.testing.assert_allclose(data[row, :, 1], -2 * (start + lags) + 1, atol=1e-9)
        np.testing.assert_allclose(means["mean"].data[:], data.mean(axis=0))
        assert means["num_trials"].data[:].min() == 2
        dropped = module_["DroppedTrials_trialize"]
        assert dropped["trial"].data[:].tolist() == [10, 13, 14]
        assert list(dropped["reason"].data[:]) == [module.OUTSIDE, module.OUTSIDE, module.NO_TIME]
        assert "2 of 5 trials, 3 dropped (2: the window is not within the recording" in table.description


@pytest.mark.parametrize("start", [0.0, -180.0])
def test_a_heading_is_read_and_averaged_over_the_end_of_a_turn(tmp_path, start):
    """It goes around in 4 s; the trials begin at nearly the same direction, on both sides of the turn's end."""
    times = np.arange(4000) / 100
    heading = start + np.mod(90.0 * times - start, 360.0)
    begins = np.array([3.9, 8.1, 11.95, 16.05])
    path = write_session(
        tmp_path / "a.nwb", trials=(begins, begins + 1), heading={"data": heading, "rate": 100.0, "unit": "degrees"}
    )
    nwbpipe.process(path, "trialize", params={"before_s": 0.0, "after_s": 3.0, "rate_hz": 37.0})
    with nwbpipe.read(path) as nwbfile:
        results = nwbfile.processing["behavior"]
        lags = results["TrialAverage_trialize"]["time_from_alignment"].data[:]
        true = 90.0 * (begins[:, None] + lags)
        data, mean, error = (
            results["TrialAligned_trialize"]["data"].data[:],
            *(results["TrialAverage_trialize"][name].data[:] for name in ("mean", "standard_error")),
        )
        np.testing.assert_allclose(np.mod(data - true + 180, 360), 180, atol=1e-6)
        np.testing.assert_allclose(np.mod(mean - 90.0 * lags + 180, 360), 180, atol=1e-6)
        assert start <= mean.min() < mean.max() < start + 360
        np.testing.assert_allclose(error, np.std([-9, 9, -4.5, 4.5], ddof=1) / 2)


def test_irregular_times_and_gaps(tmp_path):
    generator = np.random.default_rng(1)
    times = np.cumsum(generator.uniform(0.005, 0.015, 2000))
    times[1000:] += 3.0  # the device was off
    gap = times[999]
    path = write_session(
        tmp_path / "a.nwb",
        trials=([2.0, gap - 0.5, gap + 4], [3.0, gap, gap + 5]),
        ramp={"data": times, "timestamps": times},
    )
    params = {"before_s": 0.2, "after_s": 1.0, "max_gap_s": 0.05}
    nwbpipe.process(path, "trialize", step="strict", params=params)
    nwbpipe.process(path, "trialize", step="loose", params={**params, "max_missing": 0.7})
    with nwbpipe.read(path) as nwbfile:
        strict = nwbfile.processing["behavior"]["TrialAligned_strict"]
        loose = nwbfile.processing["behavior"]["TrialAligned_loose"]
        lags = nwbfile.processing["behavior"]["TrialAverage_loose"]["time_from_alignment"].data[:]
        assert strict["trial"].data[:].tolist() == [0, 2]
        assert loose["trial"].data[:].tolist() == [0, 1, 2]
        np.testing.assert_allclose(strict["data"][1], gap + 4 + lags, atol=1e-9)
        middle = loose["data"][1]
        np.testing.assert_allclose(middle[lags <= 0.49], gap - 0.5 + lags[lags <= 0.49], atol=1e-9)
        assert np.isnan(middle[lags > 0.51]).all()
        assert loose["missing"][1] == pytest.approx(np.isnan(middle).mean())


def test_what_can_not_be_cut_is_refused(tmp_path):
    columns = [
        Column("licks", "", [np.array([1.5])], "time"),
        Column("reaction_time", "", np.array([0.5]), "duration"),
        Column("contrast", "", np.array([0.5])),
        Column("cue", "", np.array([1.25]), "time"),
        Column("tone_time", "", np.array([1.25])),
    ]
    path = write_session(
        tmp_path / "a.nwb",
        trials=([1.0], [2.0]),
        trial_columns=columns,
        backwards={"data": np.arange(3.0), "timestamps": [0.0, 2.0, 1.0]},
    )
    with pytest.raises(InputError, match="don't increase") as caught:
        nwbpipe.process(path, "trialize")
    assert "1 steps" in caught.value.problem.found
    for name in ("licks", "reaction_time", "contrast"):
        with pytest.raises(InputError, match=f"no column of times '{name}'") as caught:
            nwbpipe.process(path, "trialize", params={"align": name})
        assert caught.value.problem.expected == "one of start_time, stop_time, cue, tone_time"
