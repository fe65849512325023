"""Clocks that pulses, frames and intervals align, from session.yaml to the times and the evidence in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwbpipe.converters import load_spec
from nwbpipe.converters._added import load_array, original_times, sample_count
from nwbpipe.converters.clocks._times import _interpolate_outliers
from nwbpipe.errors import ClockError, SpecError
from tests.converters import raw

OFFSET, DRIFT = 7.25, 120e-6


def to_reference(times: np.ndarray) -> np.ndarray:
    return np.asarray(times) * (1 + DRIFT) + OFFSET


def pulses(count: int = 40, seed: int = 3) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.5, 1.5, count))


def write_log(path: Path, times: np.ndarray, unit: float = 1.0) -> None:
    path.write_text("name,t\n" + "".join(f"ttl,{t * unit!r}\n" for t in map(float, times)))


def series_times(built, name: str) -> np.ndarray:
    series = raw.added_series(built, name)[0]
    return original_times(series, sample_count(series))


@pytest.fixture
def trains(folder: Path) -> Path:
    write_log(folder / "own.csv", pulses())
    write_log(folder / "other.csv", to_reference(pulses()), 1e3)
    return folder


def by_pulses(**more: object) -> dict[str, object]:
    return {
        "align": "pulses",
        "pulses": {"file": "own.csv", "column": "t"},
        "reference_pulses": {"file": "other.csv", "column": "t", "unit": "ms"},
        **more,
    }


SOURCES = {"trials": raw.trials(), "scope": raw.tiff(), "log": raw.events(clock="scope")}


def test_pulses_carry_a_series_with_a_rate_and_events(trains, convert_to):
    built = convert_to(SOURCES, clocks={"scope": by_pulses()})
    (movie,) = raw.added_series(built, "scope")
    assert movie.starting_time == pytest.approx(OFFSET, abs=1e-9)
    assert movie.rate == pytest.approx(raw.RATE / (1 + DRIFT), rel=1e-12)
    assert movie.timestamps is None
    (table,) = built.nwbfile.events.values()
    np.testing.assert_allclose(load_array(table["timestamp"].data), to_reference([0.5, 1.5, 2.5]), atol=1e-9)
    (record,) = built.alignments
    assert (record.clock, record.reference, record.method, record.verdict) == (
        "scope",
        "trials",
        "pulses",
        "accepted",
    )
    assert (record.n_matched, record.n_missed, record.n_extra, record.anchor) == (40, 0, 0, "intervals")
    assert record.offset_s == pytest.approx(OFFSET, abs=1e-8)
    assert record.drift_ppm == pytest.approx(120, abs=1e-3)
    assert record.residual_max_s < 1e-8
    assert "own.csv" in record.pulses
    assert str(trains) not in record.pulses


def test_pulses_carry_timestamps_and_intervals(trains, convert_to):
    raw.write_photometry(trains / "photometry.csv")
    args = {"file_path": "photometry.csv", "data_columns": ["green"], "timestamps_column": "time"}
    sources = {
        "scope": raw.tiff(),
        "trials": raw.trials(clock="rig"),
        "fiber": {"interface": "CSVFiberPhotometryInterface", "args": args, "clock": "rig"},
    }
    built = convert_to(sources, clocks={"rig": by_pulses()})
    table = built.nwbfile.trials
    np.testing.assert_allclose(load_array(table["start_time"].data), to_reference([1, 3, 5]), atol=1e-9)
    np.testing.assert_allclose(load_array(table["cue_time"].data), to_reference([1.5, 3.5, 5.5]), atol=1e-9)
    np.testing.assert_allclose(load_array(table["reaction_time"].data), 0.25)
    np.testing.assert_allclose(series_times(built, "fiber"), to_reference(np.arange(50) / 20), atol=1e-9)


def test_a_broken_line_gives_each_sample_its_time(folder, convert_to):
    own = pulses(2000)
    write_log(folder / "own.csv", own)
    jitter = np.random.default_rng(0).normal(0, 2e-4, len(own))
    write_log(folder / "other.csv", own + 0.05 * np.sin(own / 500) + jitter, 1e3)
    clock = by_pulses(tolerance_s=0.01)
    built = convert_to({"trials": raw.trials(), "scope": raw.tiff()}, clocks={"scope": clock})
    (movie,) = raw.added_series(built, "scope")
    times = np.arange(30) / raw.RATE
    np.testing.assert_allclose(series_times(built, "scope"), times + 0.05 * np.sin(times / 500), atol=2e-3)
    assert movie.starting_time == series_times(built, "scope")[0]  # all of it lies in one piece: even, so a rate
    assert len(built.alignments[0].knots) > 2


def test_pulses_of_sources_and_a_chain_of_clocks(folder, convert_to):
    """The rig's events are aligned to the camera's, which is aligned to the reference by a start."""
    events = pulses(25)
    write_log(folder / "rig.csv", events)
    write_log(folder / "camera.csv", to_reference(events))

    def log(name: str, **more: object) -> dict[str, object]:
        args = {"file_path": f"{name}.csv", "time_column": "t", "name_column": "name", "metadata_key": name}
        return {"interface": "BehaviorEventsInterface", "args": args, **more}

    sources = {"scope": raw.tiff(), "rig": log("rig"), "camera": log("camera")}
    clocks = {
        "rig": {
            "align": "pulses",
            "pulses": {"source": "rig", "events": "ttl"},
            "reference_pulses": {"source": "camera", "events": "ttl"},
        },
        "camera": {"align": "start", "offset_s": 100.0},
    }
    built = convert_to(sources, clocks=clocks)
    for name in ("rig", "camera"):
        times = load_array(built.nwbfile.events[name]["timestamp"].data)
        np.testing.assert_allclose(times, to_reference(events) + 100.0, atol=1e-9)


def test_a_channel_of_a_recording(folder, convert_to, monkeypatch):
    """A square wave on an analog channel, read a part at a time, against the log that made it."""
    monkeypatch.setattr("nwbpipe.converters.clocks._trains._CHUNK", 10_007)
    edges = np.random.default_rng(0).choice(np.arange(40, 490), 20, replace=False)
    edges = np.sort(edges)[np.diff(np.sort(edges), prepend=0) > 3]
    data = np.zeros((12_500, 4), dtype="<i2")
    for edge in edges * 25:
        data[edge : edge + 30, 2] = 20_000
    name = "HSW_2024_05_01__10_00_00__00min_00sec__hsamp_4ch_25000sps.bin"
    (folder / name).write_bytes(b"\0" * 8 + data.tobytes())
    args = {"file_path": name, "sampling_frequency": 25000, "num_channels": 4}
    sources = {"probe": {"interface": "WhiteMatterRecordingInterface", "args": args}, "trials": raw.trials()}
    write_log(folder / "own.csv", edges / 1000 - 3.0)
    ids = [str(item) for item in range(4)]
    clock = {
        "align": "pulses",
        "pulses": {"file": "own.csv", "column": "t"},
        "reference_pulses": {"source": "probe", "channel": ids[2], "edge": "rising"},
    }
    (record,) = convert_to(sources, clocks={"trials": clock}).alignments
    assert record.n_matched == len(edges)
    assert record.offset_s == pytest.approx(3.0, abs=1e-6)
    clock["reference_pulses"] = {"source": "probe", "channel": ids[1]}
    with pytest.raises(ClockError, match="never crosses"):
        convert_to(sources, clocks={"trials": clock})
    clock["reference_pulses"] = {"source": "probe", "channel": "nine"}
    with pytest.raises(ClockError, match="no channel 'nine'"):
        convert_to(sources, clocks={"trials": clock})


def test_frames_take_the_times_of_their_pulses(folder, convert_to):
    times = 3.0 + np.cumsum(np.random.default_rng(1).uniform(0.045, 0.055, 40))
    write_log(folder / "exposure.csv", times)
    clock = {"align": "frames", "reference_pulses": {"file": "exposure.csv", "column": "t"}}
    sources = {"scope": raw.tiff(), "body": raw.video()}
    built = convert_to(sources, clocks={"body": clock})
    np.testing.assert_allclose(series_times(built, "body"), times, atol=1e-12)
    (record,) = built.alignments
    assert (record.method, record.n_matched) == ("frames", 40)
    with pytest.raises(ClockError, match="beyond tolerance"):
        convert_to(sources, clocks={"body": {**clock, "tolerance_s": 0.0001}})
    write_log(folder / "exposure.csv", np.append(times, [9.0, 9.05]))
    with pytest.raises(ClockError, match="does not match") as caught:
        convert_to(sources, clocks={"body": clock})
    assert "2 too many" in caught.value.problem.found
    built = convert_to(sources, clocks={"body": {**clock, "trim": "true"}})
    np.testing.assert_allclose(series_times(built, "body"), times, atol=1e-12)


def test_samples_whose_own_times_are_in_a_file(trains, convert_to):
    stamps = 1.0 + np.cumsum(np.random.default_rng(2).uniform(0.04, 0.06, 40))
    np.savetxt(trains / "stamps.txt", stamps, fmt="%.9f")
    clock = by_pulses(timestamps={"file": "stamps.txt"})
    built = convert_to({"scope": raw.tiff(), "body": raw.video()}, clocks={"body": clock})
    np.testing.assert_allclose(series_times(built, "body"), to_reference(stamps), atol=1e-8)


def test_intervals_align_a_clock_that_stands_still_between_trials(folder, convert_to):
    own = pulses(30)
    other = own + np.repeat([0.0, 40.0], [15, 15]) + 5.0
    write_log(folder / "own.csv", own)
    write_log(folder / "other.csv", own + 5.0, 1e3)
    clock = {**by_pulses(), "align": "intervals"}
    (record,) = convert_to(SOURCES, clocks={"scope": clock}).alignments
    assert (record.method, record.anchor, record.n_matched) == ("intervals", "order", 30)
    assert record.offset_s == pytest.approx(5.0, abs=1e-9)
    write_log(folder / "other.csv", other, 1e3)  # one interval of 29 differs: the clock stood still there
    built = convert_to(SOURCES, clocks={"scope": clock})
    np.testing.assert_allclose(built.alignments[0].knots[:, 1], other, atol=1e-9)


def test_what_does_not_fit_is_refused_with_its_figures_or_used_with_a_warning(trains, convert_to, caplog):
    other = to_reference(pulses()) + np.random.default_rng(0).normal(0, 0.004, 40)
    write_log(trains / "other.csv", other, 1e3)
    with pytest.raises(ClockError, match="beyond tolerance") as caught:
        convert_to(SOURCES, clocks={"scope": by_pulses()})
    assert "40 matched" in caught.value.problem.found
    assert "tolerance_s" in caught.value.problem.hint
    built = convert_to(SOURCES, clocks={"scope": by_pulses(on_misfit="warn")})
    assert built.alignments[0].verdict == "beyond tolerance"
    assert "beyond tolerance" in caplog.text
    assert convert_to(SOURCES, clocks={"scope": by_pulses(tolerance_s=0.05)}).alignments[0].accepted


@pytest.mark.parametrize(
    ("own", "text"),
    [
        (np.arange(40) * 0.1, "ambiguous|chance|no fit"),
        (pulses(40, seed=9), "no fit|chance"),
        (pulses()[:2], "too few pulses"),
    ],
)
def test_trains_that_can_not_be_matched(trains, convert_to, own, text):
    write_log(trains / "own.csv", own)
    if len(own) == 40 and np.ptp(np.diff(own)) < 1e-9:
        write_log(trains / "other.csv", own + 3.0, 1e3)
    with pytest.raises(ClockError, match=text) as caught:
        convert_to(SOURCES, clocks={"scope": by_pulses()})
    assert caught.value.problem.where == "clocks.scope"
    assert caught.value.problem.hint


def test_pulses_that_go_back_are_refused_or_dropped(trains, convert_to):
    own = np.insert(pulses(), 20, pulses()[18])
    write_log(trains / "own.csv", own)
    with pytest.raises(ClockError, match="go back or repeat"):
        convert_to(SOURCES, clocks={"scope": by_pulses()})
    clock = by_pulses(pulses={"file": "own.csv", "column": "t", "repair": "drop"})
    (record,) = convert_to(SOURCES, clocks={"scope": clock}).alignments
    assert record.repair == "drop: 1 of 41 pulses"
    wrapped = pulses() % 16.0
    write_log(trains / "own.csv", wrapped)
    clock = by_pulses(pulses={"file": "own.csv", "column": "t", "repair": "unwrap", "wrap_s": 16.0})
    (record,) = convert_to(SOURCES, clocks={"scope": clock}).alignments
    assert record.offset_s == pytest.approx(OFFSET, abs=1e-8)
    assert "turns of 16 s" in record.repair


@pytest.mark.parametrize(
    ("change", "more", "text"),
    [
        (lambda t: np.where(np.arange(40) == 9, 99.0, t), {}, "do not increase"),
        (lambda t: np.where(np.arange(40) >= 20, t + 500.0, t), {}, "jump"),
        (lambda t: np.where(np.arange(40) >= 20, t + 500.0, t), {"max_gap_s": 600}, None),
        (lambda t: np.where(np.arange(40) == 9, 99.0, t), {"repair": "interpolate"}, "do not increase"),
    ],
)
def test_times_that_jump(folder, convert_to, change, more, text):
    times = 1.0 + np.arange(40) * 0.05
    np.save(folder / "times.npy", change(times))
    clocks = {"body": {"align": "timestamps", "file": "times.npy", **more}}
    if text is None:
        built = convert_to({"scope": raw.tiff(), "body": raw.video()}, clocks=clocks)
        np.testing.assert_array_equal(series_times(built, "body"), change(times))
        return
    with pytest.raises(ClockError, match=text):  # one of 40 is more than 1 %: not repaired
        convert_to({"scope": raw.tiff(), "body": raw.video()}, clocks=clocks)


def test_single_times_are_repaired_and_that_is_recorded(folder, convert_to):
    raw.write_video(folder / "body.avi", frames=250)
    times = 1.0 + np.arange(250) * 0.05
    broken = times.copy()
    broken[[50, 200]] = [99.0, np.nan]
    np.save(folder / "times.npy", broken)
    clock = {"align": "timestamps", "file": "times.npy", "repair": "interpolate"}
    built = convert_to({"scope": raw.tiff(), "body": raw.video()}, clocks={"body": clock})
    np.testing.assert_allclose(series_times(built, "body"), times, atol=1e-9)
    (record,) = built.alignments
    assert (record.method, record.repair) == ("timestamps", "interpolate: 2 of 250 times")


def test_of_two_times_in_the_wrong_order_the_one_that_lies_off_is_replaced():
    times = np.arange(200.0)
    times[50] = 51.4  # stamped late, by less than two steps
    repaired, note = _interpolate_outliers(times)
    np.testing.assert_allclose(repaired, np.arange(200.0))
    assert note == "interpolate: 1 of 200 times"


def mistakes(folder: Path, clock: dict[str, object]) -> str:
    sources = {"trials": raw.trials(), "scope": raw.tiff(), "log": raw.events(clock="scope")}
    with pytest.raises(SpecError) as caught:
        load_spec(raw.write_spec(folder, sources, clocks={"scope": clock}))
    return str(caught.value)


def test_all_mistakes_of_a_clock_at_once(trains):
    text = mistakes(
        trains,
        {
            "align": "pulses",
            "pulses": {"source": "lgo", "edge": "upward"},
            "reference_pulses": {"file": "none.csv", "thresold": 2},
            "tolerance_s": -1,
            "on_misfit": "ignore",
        },
    )
    for part in ("edge", "'thresold' is unknown", "none.csv", "tolerance_s", "refuse", "did you mean 'threshold'"):
        assert part in text, text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pulses": {"source": "lgo"}}, "no source is called 'lgo'"),
        ({"pulses": {"source": "trials", "column": "start_time"}}, "not on the clock that they align"),
        ({"reference_pulses": {"source": "log"}}, "on the clock that they align"),
        ({"pulses": {"source": "log", "file": "own.csv"}}, "either `source: NAME` or `file: PATH`"),
        ({"pulses": {"events": "lick"}}, "either `source: NAME` or `file: PATH`"),
        ({"pulses": {"source": "log", "events": "lick", "threshold": 2}}, "not both"),
        ({"pulses": {"file": "own.csv", "threshold": 2}}, "no threshold beside `file`"),
        ({"pulses": {"file": "own.csv", "repair": "unwrap"}}, "wrap_s"),
        ({"pulses": "own.csv"}, "has the wrong type"),
        ({"pulses": None}, "pulses"),
    ],
)
def test_a_mistake_in_a_train(trains, change, text):
    assert text in mistakes(trains, by_pulses(**change))


def test_clocks_in_a_circle(trains, convert_to):
    sources = {"scope": raw.tiff(), "one": raw.trials(), "two": raw.events()}

    def clock(other: str) -> dict[str, object]:
        return {**by_pulses(), "reference_pulses": {"source": other}}

    with pytest.raises(ClockError, match="in a circle"):
        convert_to(sources, clocks={"one": clock("two"), "two": clock("one")})


def test_unknown_events_and_tables_are_named(folder, convert_to):
    sources = {"scope": raw.tiff(), "log": raw.events()}
    write_log(folder / "other.csv", pulses())
    for train, text in (
        ({"source": "log", "events": "cue"}, "no event is called 'cue'"),
        ({"source": "log", "table": "other"}, "no table 'other'"),
        ({"source": "log", "column": "none"}, "no column 'none'"),
        ({"source": "log", "channel": "0"}, "series"),
    ):
        clock = by_pulses(pulses=train, reference_pulses={"file": "other.csv", "column": "t"})
        with pytest.raises(ClockError, match=text):
            convert_to(sources, clocks={"log": clock})
