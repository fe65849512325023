"""CameraTimesInterface: the formats of times, lost frames, and IBL's camera."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError
from tests.nwb_builders.nwb import empty_nwbfile, written


def camera(path, **arguments):
    return interface_class("CameraTimesInterface")(file_path=path, **arguments)


def flycapture(seconds):
    """The register of FLIR's cameras, by its definition."""
    whole = np.floor(seconds)
    cycles = np.floor((seconds - whole) * 8000)
    parts = np.round(((seconds - whole) * 8000 - cycles) * 3072)
    return ((whole.astype(int) % 128) << 25) | (cycles.astype(int) << 12) | np.minimum(parts, 3071).astype(int)


@pytest.mark.parametrize(("name", "scale"), [("s", 1), ("ms", 1e3), ("us", 1e6)])
def test_numbers(tmp_path, name, scale):
    (tmp_path / "a.csv").write_text(f"frame,timestamp\n0,{0.25 * scale}\n1,{0.5 * scale}\n")
    assert camera(tmp_path / "a.csv", time_format=name).times.tolist() == [0.25, 0.5]
    np.save(tmp_path / "a.npy", np.array([0.25, 0.5]) * scale)
    assert camera(tmp_path / "a.npy", time_format=name).times.tolist() == [0.25, 0.5]


def test_dates(tmp_path):
    (tmp_path / "a.csv").write_text("2024-05-01T10:00:00.5000000-04:00\n2024-05-01T14:00:01.0000000+00:00\n")
    arguments = {"header": False, "time_format": "iso", "time_zero": "2024-05-01T14:00:00+00:00"}
    assert camera(tmp_path / "a.csv", **arguments).times.tolist() == [0.5, 1.0]
    for text in ("2024-05-01T10:00:00", "yesterday"):
        (tmp_path / "b.csv").write_text(f"2024-05-01T10:00:00-04:00\n{text}\n")
        with pytest.raises(SourceError, match="not a date with a time zone") as caught:
            camera(tmp_path / "b.csv", **arguments)
        assert "row 2" in caught.value.problem.found


def test_flycapture_counts_on_over_its_128_seconds(tmp_path):
    truth = 120 + np.arange(900) / 30
    np.savetxt(tmp_path / "a.csv", flycapture(truth), fmt="%d")
    found = camera(tmp_path / "a.csv", header=False, time_format="flycapture").times
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-7)


def test_frames_that_were_not_saved(tmp_path):
    (tmp_path / "a.csv").write_text("time\n0\n1\n3\n")
    (tmp_path / "counter.txt").write_text("100\n101\n103\n")
    interface = camera(tmp_path / "a.csv", frame_counter_file_path=tmp_path / "counter.txt", metadata_key="body")
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        table = read.events["body"]
        assert table["frame"].data[:].tolist() == [0, 1, 3]
        assert table["timestamp"].data[:].tolist() == [0, 1, 3]
        assert "counted 1 frames that were not saved" in table.description


@pytest.mark.parametrize(
    ("counter", "message"),
    [
        ("100\nx\n", "can't be read"),
        ("100\n100.5\n", "can't be read"),
        ("100\nnan\n", "can't be read"),
        (np.array([100, 99], np.uint32), "go backwards"),
        (np.array([[100], [101]]), None),
    ],
)
def test_a_frame_counter_that_counts_no_frames(tmp_path, counter, message):
    (tmp_path / "a.csv").write_text("time\n0\n1\n")
    path = tmp_path / ("counter.txt" if isinstance(counter, str) else "counter.npy")
    if isinstance(counter, str):
        path.write_text(counter)
    else:
        np.save(path, counter)
    if message is None:
        assert camera(tmp_path / "a.csv", frame_counter_file_path=path).frames.tolist() == [0, 1]
        return
    with pytest.raises(SourceError, match=message) as caught:
        camera(tmp_path / "a.csv", frame_counter_file_path=path)
    assert caught.value.problem.where == str(path)


@pytest.mark.parametrize(
    ("text", "arguments", "message", "figures"),
    [
        ("time\n1\n1\n", {}, "go backwards or repeat", "1 of 1 steps"),
        ("time\n1\n2\n", {"expected_frames": 3}, "is not that of the frames", "2 times"),
        ("time\n1\n\n", {"time_format": "min"}, "time_format has a wrong value", "min"),
        ("time,x\n1,1\n,1\n", {}, "without a time", "1 of 2"),
    ],
)
def test_refused_with_figures(tmp_path, text, arguments, message, figures):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        camera(tmp_path / "a.csv", **arguments)
    assert figures in caught.value.problem.found


@pytest.mark.real_data
def test_ibl_camera(shared_data):
    folder = shared_data / "behavior" / "ibl_bpod" / "session_ephys" / "raw_video_data"
    path = folder / "_iblrig_bodyCamera.timestamps.ssv"
    arguments = {"delimiter": " ", "header": False}
    zero = "2020-08-19T16:42:57+00:00"
    by_computer = camera(path, time_column="0", time_format="iso", time_zero=zero, **arguments)
    by_camera = camera(path, time_column="1", time_format="flycapture", **arguments)
    first = datetime.fromisoformat(path.read_text().split()[0]) - datetime.fromisoformat(zero)
    assert by_computer.times[0] == first.total_seconds()
    assert by_computer.times.size == by_camera.times.size == 6001
    # 30 frames a second; the computer's stamps jitter by some ms around the camera's.
    np.testing.assert_allclose(np.diff(by_camera.times), 0.0331, atol=1e-5)
    residual = by_computer.times - by_camera.times
    drift = np.polyfit(by_camera.times, residual - residual[0], 1)
    assert np.abs(residual - residual[0] - np.polyval(drift, by_camera.times)).max() < 0.005
    # The counter's file is of another recording.
    with pytest.raises(SourceError, match="is not that of the frames") as caught:
        camera(
            path,
            time_column="1",
            time_format="flycapture",
            frame_counter_file_path=folder / "_iblrig_bodyCamera.frame_counter.bin",
            **arguments,
        )
    assert caught.value.problem.expected == "510, by _iblrig_bodyCamera.frame_counter.bin"
