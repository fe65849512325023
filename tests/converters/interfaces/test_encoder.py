"""EncoderInterface: counters that overflow and are reset, against the truth, and IBL's wheels."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError
from nwbpipe.testing import InterfaceTests


def encoder(path, **arguments):
    return interface_class("EncoderInterface")(file_path=path, **{"counts_per_turn": 1024, **arguments})


def write(path, times, counts):
    path.write_text("time,position\n" + "".join(f"{t},{c}\n" for t, c in zip(times, counts, strict=True)))
    return path


def walk(count=5000, seed=0):
    """True position in counts, and its times in microseconds."""
    generator = np.random.default_rng(seed)
    return np.cumsum(generator.integers(-20, 23, count)), np.cumsum(generator.integers(500, 1500, count))


@pytest.mark.parametrize("wrap", [128, 1024, 4096])
def test_both_counters_overflow(tmp_path, wrap):
    truth, times = walk()
    counter = (truth + wrap // 2) % wrap - wrap // 2
    clock = (times + 2**32 - 10_000) % 2**32
    path = write(tmp_path / "a.csv", clock, counter)
    found = encoder(path, time_unit="us", time_wrap=2**32, position_wrap=wrap)
    np.testing.assert_array_equal(np.diff(found.counts), np.diff(truth))
    np.testing.assert_allclose(np.diff(found.times), np.diff(times) / 1e6, rtol=0, atol=2e-9)


def test_the_overflows_of_a_position_in_radians_are_counted(tmp_path):
    truth = np.cumsum(np.random.default_rng(0).uniform(0, 0.1, 2000))
    path = write(tmp_path / "a.csv", np.arange(2000), truth % (2 * np.pi))
    found = encoder(path, counts_per_turn=2 * np.pi, position_wrap=2 * np.pi)
    np.testing.assert_allclose(found.counts, truth, atol=1e-9)
    assert found._notes == [f"{int(truth[-1] / (2 * np.pi))} overflows of the counter of 6.28319 values were undone"]


class TestTurns(InterfaceTests):
    interface = interface_class("EncoderInterface")
    options = (("direction", -1),)
    unit, factor = "radians", -2 * np.pi / 1024

    def write_source(self, folder):
        truth, times = walk(400)
        return {
            "file_path": write(folder / "a.csv", times / 1e6, truth),
            "counts_per_turn": 1024,
            **dict(self.options),
        }

    def check_content(self, nwbfile, metadata_key):
        truth, times = walk(400)
        series = nwbfile.acquisition[metadata_key]
        np.testing.assert_allclose(series.data[:] * series.conversion, truth * self.factor)
        np.testing.assert_allclose(series.timestamps[:], times / 1e6)
        assert series.unit == self.unit


class TestDistanceOfTheRim(TestTurns):
    options = (("wheel_diameter_m", 0.062),)
    unit, factor = "meters", np.pi * 0.062 / 1024


def test_resets_are_refused_or_joined(tmp_path):
    path = write(tmp_path / "a.csv", [0, 1, 2, 3, 4], [100, 110, 0, 5, 3])
    with pytest.raises(SourceError, match="1 steps are larger") as caught:
        encoder(path, max_step=50)
    assert "row 3: from 110 to 0" in caught.value.problem.found
    joined = encoder(path, max_step=50, on_reset="join")
    assert joined.counts.tolist() == [100, 110, 110, 115, 113]
    assert joined._notes == ["1 resets of the counter were joined"]


def test_a_rate_and_an_array(tmp_path):
    np.save(tmp_path / "a.npy", np.array([0, 1, 3, 6]))
    found = encoder(tmp_path / "a.npy", sampling_frequency=100.0)
    assert found.times.tolist() == [0, 0.01, 0.02, 0.03]
    np.save(tmp_path / "b.npy", np.array([[0.5, 1], [0.75, 2]]))
    assert encoder(tmp_path / "b.npy").times.tolist() == [0.5, 0.75]
    with pytest.raises(SourceError, match="wrong shape"):
        encoder(tmp_path / "a.npy")
    np.save(tmp_path / "c.npy", np.array([{}, {}]), allow_pickle=True)
    np.save(tmp_path / "d.npy", np.array(["1", "2"]))
    (tmp_path / "e.npy").write_bytes(b"")
    for name in ("c.npy", "d.npy", "e.npy"):
        with pytest.raises(SourceError, match="can't be read"):
            encoder(tmp_path / name)


@pytest.mark.parametrize(
    ("times", "counts", "arguments", "message", "figures"),
    [
        ([0, 2, 1], [0, 1, 2], {}, "go backwards", "1 of 2 steps"),
        ([0, 1, 1], [0, 1, 2], {}, "have the time of the one above", "row 3: 1.000000 s"),
        ([0, 1, ""], [0, 1, 2], {}, "1 of 3 rows have no time", "row 3"),
        ([0, 1], [0, 900], {"position_wrap": 512}, "don't fit the counter", "from 0 to 900"),
        ([0], [0], {}, "fewer than two", "1"),
        ([0, 1], [0, 1], {"counts_per_turn": 0}, "has a wrong value", "0"),
        ([0, 1], [0, 1], {"sampling_frequency": 0.0}, "has a wrong value", "0"),
        ([0, 1], [0, 1], {"time_unit": "min"}, "time_unit has a wrong value", "min"),
    ],
)
def test_refused_with_figures(tmp_path, times, counts, arguments, message, figures):
    path = write(tmp_path / "a.csv", times, counts)
    with pytest.raises(SourceError, match=message) as caught:
        encoder(path, **arguments)
    assert figures in caught.value.problem.found


def test_repaired_by_a_named_rule(tmp_path):
    path = write(tmp_path / "a.csv", [9, 0, 1, 1, ""], [7, 0, 1, 2, 3])
    found = encoder(path, skip_first=1, repeats="drop", bad_rows="drop")
    assert found.times.tolist() == [0, 1]
    assert found.counts.tolist() == [0, 2]
    assert len(found._notes) == 2


OLD = {"delimiter": " ", "header": False, "column_names": ["kind", "time", "position", "date"], "time_unit": "us"}
NEW = {"delimiter": " ", "header": False, "column_names": ["time", "position"], "time_unit": "us"}


@pytest.mark.real_data
def test_ibl_encoders(shared_data):
    folder = shared_data / "behavior" / "ibl_bpod"
    name = "raw_behavior_data/_iblrig_encoderPositions.raw.ssv"
    path = folder / "session_training_ge5" / name
    raw = np.loadtxt(path)
    with pytest.raises(SourceError, match="larger than the wheel can make") as caught:
        encoder(path, max_step=1, **NEW)
    assert "to 0" in caught.value.problem.found
    found = encoder(path, max_step=1, on_reset="join", **NEW)
    np.testing.assert_allclose(found.times, raw[:, 0] / 1e6)
    steps = np.diff(raw[:, 1])
    np.testing.assert_array_equal(np.diff(found.counts), np.where(np.abs(steps) > 1, 0, steps))
    # The clock overflows, and the last line is cut off.
    path = folder / "session_training_lt5" / name
    with pytest.raises(SourceError, match="1 of 15 rows have no time"):
        encoder(path, time_wrap=2**32, **OLD)
    found = encoder(path, time_wrap=2**32, bad_rows="drop", **OLD)
    lines = [line.split() for line in path.read_text().splitlines() if len(line.split()) == 4]
    dates = np.array([np.datetime64(line[3][:-6]) for line in lines])
    np.testing.assert_allclose(np.diff(found.times), np.diff(dates) / np.timedelta64(1, "s"), atol=0.01)
    # A sample of the session before comes first: nothing but a person can tell.
    path = folder / "wheel" / "lt5" / "_iblrig_encoderPositions.raw.2firstsamples.ssv"
    with pytest.raises(SourceError, match="go backwards") as caught:
        encoder(path, **OLD)
    assert "skip_first" in str(caught.value)
    with pytest.raises(SourceError, match="go backwards") as caught:  # and two were written in the wrong order
        encoder(path, skip_first=2, **OLD)
    assert "1 of 13 steps; the first from 4.224751 s to 4.224747 s" in caught.value.problem.found
    found = encoder(path, skip_first=2, unsorted="sort", **OLD)
    assert found.times[0] == 4.192349
    assert (np.diff(found.times) > 0).all()


def test_a_missing_time_does_not_take_those_after_it_along(tmp_path):
    """The clock overflows after the row without a time: both are undone, and one row is left out."""
    (tmp_path / "a.csv").write_text("time,position\n96,0\n98,1\n,2\n2,3\n4,4\n")
    interface = encoder(tmp_path / "a.csv", time_wrap=100, bad_rows="drop")
    assert interface.times.tolist() == [96, 98, 102, 104]
    assert interface.counts.tolist() == [0, 1, 3, 4]
