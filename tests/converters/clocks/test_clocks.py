"""Times: each kind of source is moved to the reference clock, whole, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwbpipe.converters._added import load_array, original_times, sample_count
from nwbpipe.converters.clocks._alignment import regular_rate
from nwbpipe.errors import ClockError, SpecError
from tests.converters import raw

OFFSET = 7.25


def series_times(built, name: str) -> list[np.ndarray]:
    series = raw.added_series(built, name)
    assert series
    return [original_times(item, sample_count(item)) for item in series]


def start(offset: float = OFFSET) -> dict[str, object]:
    return {"align": "start", "offset_s": offset}


def irregular(count: int, seed: int = 3) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.03, 0.05, count)) + 12.0


def write_times(path: Path, times: np.ndarray, scale: float = 1.0) -> None:
    path.write_text("frame,time\n" + "".join(f"{i},{t * scale!r}\n" for i, t in enumerate(map(float, times))))


def firings() -> dict:
    return {"interface": "MdaSortingInterface", "args": {"file_path": "firings.mda", "sampling_frequency": 1000}}


def photometry() -> dict:
    args = {"file_path": "photometry.csv", "data_columns": ["green"], "timestamps_column": "time"}
    return {"interface": "CSVFiberPhotometryInterface", "args": args}


def pose(rate: float | None = 20.0) -> dict:
    source = raw.pose()
    return source if rate is None else {**source, "args": {**source["args"], "sampling_frequency": rate}}


@pytest.fixture
def more_raw(folder):
    raw.write_firings(folder / "firings.mda")
    raw.write_recording(folder)
    raw.write_photometry(folder / "photometry.csv")
    return folder


def recording(folder: Path) -> dict:
    name = next(folder.glob("HSW_*.bin")).name
    args = {"file_path": name, "sampling_frequency": 25000, "num_channels": 4}
    return {"interface": "WhiteMatterRecordingInterface", "args": args}


@pytest.mark.parametrize("family", ["recording", "imaging", "video", "embedded", "pose", "photometry"])
def test_an_offset_moves_every_series(more_raw, convert_to, family):
    sources = {
        "recording": recording(more_raw),
        "imaging": raw.tiff(),
        "video": raw.video(),
        "embedded": raw.video(options={"video": "embed"}),
        "pose": pose(),
        "photometry": photometry(),
    }
    sources = {"reference": raw.trials(), family: sources[family]}
    before = series_times(convert_to(sources, clocks={family: start(0.0)}), family)
    after = series_times(convert_to(sources, clocks={family: start()}), family)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old + OFFSET, atol=1e-9)


def test_an_offset_moves_segmentation(shared_data, tmp_path):
    from nwbpipe.converters import load_spec
    from nwbpipe.converters._build import build_nwbfile

    (tmp_path / "nwbpipe.toml").write_text(f'[stores]\nraw = "{shared_data}"\n')
    sources = {
        "cells": {
            "interface": "Suite2pSegmentationInterface",
            "args": {"folder_path": "raw://segmentation/suite2p_fissa"},
        },
        "events": {
            "interface": "PyPhotometryEventsInterface",
            "args": {
                "file_path": "raw://"
                + next(shared_data.glob("photometry/pyphotometry/**/*.ppd")).relative_to(shared_data).as_posix()
            },
        },
    }
    built = [
        build_nwbfile(
            load_spec(raw.write_spec(tmp_path, sources, reference_clock="events", clocks={"cells": start(offset)}))
        )
        for offset in (0.0, OFFSET)
    ]
    before, after = (series_times(item, "cells") for item in built)
    assert len(before) >= 2
    for old, new in zip(before, after, strict=True):
        assert len(old) == 864
        np.testing.assert_allclose(new, old + OFFSET, atol=1e-9)
    first, second = (list(load_array(next(iter(b.nwbfile.events.values()))["timestamp"].data)) for b in built)
    assert first == second


test_an_offset_moves_segmentation = pytest.mark.real_data(test_an_offset_moves_segmentation)


def test_an_offset_moves_intervals_and_the_times_in_them(convert_to):
    built = convert_to({"scope": raw.tiff(), "trials": raw.trials()}, clocks={"trials": start()})
    table = built.nwbfile.trials.to_dataframe()
    np.testing.assert_allclose(table["start_time"], np.array([1, 3, 5]) + OFFSET)
    np.testing.assert_allclose(table["stop_time"], np.array([2, 4, 6]) + OFFSET)
    np.testing.assert_allclose(table["cue_time"], np.array([1.5, 3.5, 5.5]) + OFFSET)
    np.testing.assert_allclose(table["reaction_time"], 0.25)  # a duration, whatever its name
    assert list(table["outcome"]) == ["hit"] * 3


def test_an_offset_moves_events(convert_to):
    built = convert_to({"scope": raw.tiff(), "log": raw.events()}, clocks={"log": start()})
    (table,) = built.nwbfile.events.values()
    np.testing.assert_allclose(load_array(table["timestamp"].data), np.array([0.5, 1.5, 2.5]) + OFFSET)


def test_an_offset_moves_spikes_of_this_sorting_only(more_raw, convert_to):
    sources = {"scope": raw.tiff(), "one": firings(), "two": firings()}
    built = convert_to(sources, clocks={"one": start(1.0), "two": start(100.0)})
    units = built.nwbfile.units
    expected = [np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.8])]
    for row, offset in enumerate([1.0, 1.0, 100.0, 100.0]):
        np.testing.assert_allclose(units["spike_times"][row], expected[row % 2] + offset)


def test_sources_of_the_reference_clock_stay(convert_to):
    built = convert_to({"scope": raw.tiff(), "trials": raw.trials(clock="scope"), "log": raw.events(clock="scope")})
    assert list(load_array(built.nwbfile.trials["start_time"].data)) == [1.0, 3.0, 5.0]


@pytest.mark.parametrize(("unit", "scale"), [("s", 1.0), ("ms", 1e3), ("us", 1e6)])
def test_a_file_of_times_gives_a_video_and_its_pose_the_same_times(folder, convert_to, unit, scale):
    times = np.round(irregular(40), 6)
    write_times(folder / "times.csv", times, scale)
    clock = {"align": "timestamps", "file": "times.csv", "column": "time", "unit": unit, "offset_s": -2.0}
    sources = {"scope": raw.tiff(), "body": raw.video(), "pose": {**pose(None), "clock": "body"}}
    built = convert_to(sources, clocks={"body": clock})
    for name, count in (("body", 1), ("pose", 2)):
        found = series_times(built, name)
        assert len(found) == count
        for item in found:
            np.testing.assert_allclose(item, times - 2.0, rtol=0, atol=1e-9)
    first, second = raw.added_series(built, "pose")
    assert {type(first.fields["timestamps"]).__name__, type(second.fields["timestamps"]).__name__} == {
        "ndarray",
        type(first).__name__,
    }


@pytest.mark.parametrize("family", ["imaging", "embedded", "photometry", "recording"])
def test_a_file_of_times_reaches_every_kind_of_series(more_raw, convert_to, family):
    choice = {
        "imaging": (raw.tiff(), 30),
        "embedded": (raw.video(options={"video": "embed"}), 40),
        "photometry": (photometry(), 50),
        "recording": (recording(more_raw), 12500),
    }
    source, count = choice[family]
    times = irregular(count)
    np.save(more_raw / "times.npy", times)
    built = convert_to(
        {"trials": raw.trials(), family: source}, clocks={family: {"align": "timestamps", "file": "times.npy"}}
    )
    for item in series_times(built, family):
        np.testing.assert_array_equal(item, times)


def test_regular_times_become_a_rate(folder, convert_to):
    times = 3.0 + np.arange(40) / 20
    np.savetxt(folder / "times.txt", times, fmt="%.9f")
    clock = {"align": "timestamps", "file": "times.txt"}
    built = convert_to({"scope": raw.tiff(), "body": raw.video()}, clocks={"body": clock})
    (series,) = raw.added_series(built, "body")
    assert (series.rate, series.starting_time, series.timestamps) == (20.0, 3.0, None)
    assert regular_rate(times + np.where(np.arange(40) == 20, 1e-6, 0)) is None


@pytest.mark.parametrize(("count", "trim", "fits"), [(40, False, True), (43, True, True), (43, False, False)])
def test_surplus_times_need_trim(folder, convert_to, count, trim, fits):
    times = irregular(count)
    np.save(folder / "times.npy", times)
    clock = {"align": "timestamps", "file": "times.npy", "trim": "true" if trim else "false"}
    sources = {"scope": raw.tiff(), "body": raw.video()}
    if fits:
        (found,) = series_times(convert_to(sources, clocks={"body": clock}), "body")
        np.testing.assert_array_equal(found, times[:40])
    else:
        with pytest.raises(ClockError, match="does not match") as caught:
            convert_to(sources, clocks={"body": clock})
        assert "40" in caught.value.problem.expected
        assert "3 too many" in caught.value.problem.found


def test_too_few_times_are_refused_even_with_trim(folder, convert_to):
    np.save(folder / "times.npy", irregular(39))
    clock = {"align": "timestamps", "file": "times.npy", "trim": "true"}
    with pytest.raises(ClockError, match="does not match"):
        convert_to({"scope": raw.tiff(), "body": raw.video()}, clocks={"body": clock})


def test_trim_does_not_hide_a_pose_that_is_cut_off(folder, convert_to):
    raw.write_pose(folder / "poseDLC.csv", frames=31)
    np.save(folder / "times.npy", irregular(43))
    clock = {"align": "timestamps", "file": "times.npy", "trim": "true"}
    sources = {"scope": raw.tiff(), "body": raw.video(), "pose": {**pose(None), "clock": "body"}}
    with pytest.raises(ClockError, match="different numbers of samples") as caught:
        convert_to(sources, clocks={"body": clock})
    assert "40 samples" in caught.value.problem.expected
    assert "31" in caught.value.problem.found


def test_pose_rows_are_matched_by_their_frame_numbers(folder, convert_to):
    raw.write_pose(folder / "poseDLC.csv", frames=10, first=20)
    times = irregular(40)
    np.save(folder / "times.npy", times)
    clock = {"align": "timestamps", "file": "times.npy"}
    sources = {"scope": raw.tiff(), "body": raw.video(), "pose": {**pose(None), "clock": "body"}}
    for item in series_times(convert_to(sources, clocks={"body": clock}), "pose"):
        np.testing.assert_array_equal(item, times[20:30])


def test_tables_follow_the_samples_of_their_clock(folder, convert_to):
    frames = np.arange(40) / 20
    times = 100 + 1.001 * frames + 0.0001 * np.sin(np.arange(40))
    np.save(folder / "times.npy", times)
    clock = {"align": "timestamps", "file": "times.npy"}
    sources = {"scope": raw.tiff(), "body": raw.video(), "log": raw.events(clock="body")}
    raw.write_events(folder / "events.csv", (0.5, 0.775, 1.5))
    built = convert_to(sources, clocks={"body": clock})
    (table,) = built.nwbfile.events.values()
    expected = np.interp([0.5, 0.775, 1.5], frames, times)
    np.testing.assert_allclose(load_array(table["timestamp"].data), expected)
    raw.write_events(folder / "events.csv", (0.5, 9.0))
    with pytest.raises(ClockError, match="outside the recording"):
        convert_to(sources, clocks={"body": clock})


def test_rows_of_a_table_take_the_times_of_a_file(folder, convert_to):
    np.save(folder / "times.npy", np.array([10.0, 20.0, 40.0]))
    clock = {"align": "timestamps", "file": "times.npy"}
    built = convert_to({"scope": raw.tiff(), "trials": raw.trials()}, clocks={"trials": clock})
    assert list(load_array(built.nwbfile.trials["start_time"].data)) == [10.0, 20.0, 40.0]
    assert list(load_array(built.nwbfile.trials["stop_time"].data)) == [11.0, 21.0, 41.0]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("time\n1\n2\n2\n3\n", "do not increase"),
        ("time\n1\n3\n2\n", "do not increase"),
        ("time\n1\nnan\n2\n", "not numbers"),
        ("time\n1\ninf\n", "not finite"),
        ("time\n1\nlate\n", "not numbers"),
        ("a,b\n1,2\n3,4\n", "column of the times is not clear"),
        ("", "can't be read"),
        ("time\n", "empty"),
    ],
)
def test_times_that_are_no_times_are_refused(folder, convert_to, content, text):
    (folder / "times.csv").write_text(content)
    with pytest.raises(ClockError, match=text):
        convert_to(
            {"scope": raw.tiff(), "body": raw.video()},
            clocks={"body": {"align": "timestamps", "file": "times.csv"}},
        )


def test_a_pickle_in_place_of_times_is_not_run(folder, convert_to):
    np.save(folder / "times.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ClockError, match="can't be read"):
        convert_to(
            {"scope": raw.tiff(), "body": raw.video()},
            clocks={"body": {"align": "timestamps", "file": "times.npy"}},
        )


def test_several_videos_without_times_are_refused(folder, convert_to):
    raw.write_video(folder / "body2.avi", frames=15)
    source = {"interface": "ExternalVideoInterface", "args": {"file_paths": ["body.avi", "body2.avi"]}}
    with pytest.raises(ClockError, match="several video files"):
        convert_to({"body": source})
    times = irregular(55)
    np.save(folder / "times.npy", times)
    built = convert_to({"body": source}, clocks={"body": {"align": "timestamps", "file": "times.npy"}})
    (found,) = series_times(built, "body")
    np.testing.assert_array_equal(found, times)
    assert list(load_array(raw.added_series(built, "body")[0].starting_frame)) == [0, 40]


def test_the_start_of_the_session_comes_from_the_reference_only(folder, convert_to):
    from tests.converters.raw import SESSION

    session = {key: value for key, value in SESSION.items() if key != "session_start_time"}
    with pytest.raises(SpecError, match="nothing gives the session's start time"):
        convert_to({"scope": raw.tiff()}, session=session)
