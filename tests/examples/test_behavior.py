"""IBL's Bpod, wheel, trials and camera, and MED-PC: against json, numpy, csv and the lab's own table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

import nwbpipe
from tests.examples.checking import Converted, check_session, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

ConvertExample = Callable[[str], Converted]


def events(file, table: str, name: str | None = None) -> np.ndarray:
    times = file[f"events/{table}/timestamp"][()]
    return times if name is None else times[file[f"events/{table}/event_type"].asstr()[()] == name]


def bpod_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def folder_of(raw_store: Path, session: str) -> Path:
    return raw_store / "behavior" / "ibl_bpod" / f"session_{session}" / "raw_behavior_data"


def check_bpod(file, lines: list[dict], source: str) -> None:
    data = [line["behavior_data"] for line in lines]
    starts = [one["Trial start timestamp"] for one in data]
    assert file["intervals/trials/start_time"][()].tolist() == starts
    assert file["intervals/trials/stop_time"][()].tolist() == [one["Trial end timestamp"] for one in data]
    for name in ("Port1In", "BNC1High"):
        expected = [
            start + t for start, one in zip(starts, data, strict=True) for t in one["Events timestamps"].get(name, [])
        ]
        np.testing.assert_array_equal(np.sort(events(file, f"events_{source}", name)), np.sort(expected))
    for name in ("closed_loop", "reward", "no_go"):
        expected = [
            start + on
            for start, one in zip(starts, data, strict=True)
            for on, _ in one["States timestamps"][name]
            if not math.isnan(on)
        ]
        np.testing.assert_array_equal(events(file, f"states_{source}", name), expected)


def test_ibl_bpod(convert_example: ConvertExample, raw_store: Path) -> None:
    session = convert_example("ibl_bpod")
    check_session(session)
    folder = folder_of(raw_store, "training_ge5")
    lines = bpod_lines(folder / "_iblrig_taskData.raw.jsonable")
    positions = np.loadtxt(folder / "_iblrig_encoderPositions.raw.ssv")
    codes = np.loadtxt(folder / "_iblrig_encoderEvents.raw.ssv")
    with session.open() as file:
        check_bpod(file, lines, "task")
        trials = file["intervals/trials"]
        assert trials["contrast"][()].tolist() == [line["contrast"]["value"] for line in lines]
        assert "data_file_path" in trials.attrs["description"]  # said to be left out
        wheel = file["acquisition/wheel"]
        np.testing.assert_allclose(times_of(wheel), positions[:, 0] / 1e6 - 1.2257, atol=1e-9)
        steps = np.diff(positions[:, 1])
        steps[np.abs(steps) > 1] = 0  # the counter was set to 0
        np.testing.assert_array_equal(np.diff(wheel["data"][()]), -steps)
        assert wheel["data"].attrs["conversion"] == pytest.approx(2 * math.pi / 1024)
        shown = events(file, "encoder_events", "show_stim_on")
        np.testing.assert_allclose(shown, codes[codes[:, 1] == 2, 0] / 1e6 - 1.2257)
        # The two clocks agree on the twelve stimuli that both know, to a millisecond or so.
        by_bpod = events(file, "states_task", "stim_on")
        assert np.abs(shown[: by_bpod.size] - by_bpod).max() < 0.0012
        assert file["general/devices/bpod"].attrs["description"].startswith("State machine")


@pytest.mark.long
def test_ibl_wheel_ends_each_trial(
    convert_example: ConvertExample, raw_store: Path, copy_of: Callable[[Converted], Path]
) -> None:
    """In the closed loop the wheel goes just as far as the task asks, to the side that the Bpod saw.

    Nothing of it is in one file: the way is the encoder's, bounds and events are the Bpod's, in another clock.
    """
    path = copy_of(convert_example("ibl_bpod"))
    nwbpipe.process(path, "wheel")
    lines = bpod_lines(folder_of(raw_store, "training_ge5") / "_iblrig_taskData.raw.jsonable")
    # The stimulus goes stim_gain degrees for each millimetre of the rim of a wheel of 31 mm radius.
    counts = abs(lines[0]["position"]) / lines[0]["stim_gain"] / (2 * math.pi * 31) * 1024
    with h5py.File(path) as file:
        series = file["processing/behavior/WheelPosition_wheel"]
        times, way = times_of(series), series["data"][()] / (2 * math.pi) * 1024
        checked = 0
        for line in lines:
            data = line["behavior_data"]
            start = data["Trial start timestamp"]
            first, last = (start + t for t in data["States timestamps"]["closed_loop"][0])
            seen = {name: data["Events timestamps"].get(f"RotaryEncoder1_{name}", []) for name in (1, 2)}
            side = next(
                (sign for name, sign in ((1, 1), (2, -1)) for t in seen[name] if abs(start + t - last) < 1e-3), 0
            )
            moved = np.interp(last, times, way) - np.interp(first, times, way)
            assert moved == pytest.approx(counts * side, abs=1.5)
            checked += side != 0
        assert checked == 11  # in one trial the mouse did nothing
        movements = file["processing/behavior/WheelMovements_wheel"]
        # Setting the counter to 0 is no movement.
        codes = np.loadtxt(folder_of(raw_store, "training_ge5") / "_iblrig_encoderPositions.raw.ssv")
        resets = codes[1:][np.abs(np.diff(codes[:, 1])) > 1, 0] / 1e6 - 1.2257
        inside = [(movements["start_time"][()] < t) & (t < movements["stop_time"][()]) for t in resets]
        assert resets.size == 11
        assert not np.any(inside)


def test_ibl_trials(convert_example: ConvertExample, raw_store: Path) -> None:
    session = convert_example("ibl_trials")
    check_session(session)
    with (raw_store / "behavior/ibl_trials/trials_df_test.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    with session.open() as file:
        trials, epochs = file["intervals/trials"], file["intervals/epochs"]
        for column, name in (
            ("start_time", "stimOn_times"),
            ("stop_time", "feedback_times"),
            ("go_cue_time", "goCue_times"),
        ):
            np.testing.assert_array_equal(trials[column][()], [float(row[name]) for row in rows])
        assert trials["go_cue_time"].attrs["neurodata_type"] == "TimestampVectorData"
        left = [float(row["contrastLeft"] or "nan") for row in rows]
        np.testing.assert_array_equal(trials["contrastLeft"][()], left)
        assert trials["choice"][()].tolist() == [int(row["choice"]) for row in rows]
        blocks = [rows[0]["probabilityLeft"]]
        for row in rows:
            if row["probabilityLeft"] != blocks[-1]:
                blocks.append(row["probabilityLeft"])
        assert epochs["probability_left"][()].tolist() == list(map(float, blocks))
        assert int(epochs["num_trials"][()].sum()) == len(rows) == 500


def test_medpc(convert_example: ConvertExample, raw_store: Path) -> None:
    """Against the lab's own table of the same file."""
    import openpyxl

    session = convert_example("medpc")
    check_session(session)
    names = {
        "(F)PelLP": "PelletLeverPress",
        "(P)PelRwd": "PelletReward",
        "(G)PelPEnt": "PelletMagazineEntry",
        "(H)PelPExit": "PelletMagazineExit",
        "(K)SucLP": "SucroseLeverPress",
        "(Q)SucRwd": "SucroseReward",
        "(L)SucPEnt": "SucroseMagazineEntry",
        "(N)ITIPEnt": "IntervalMagazineEntry",
        "(D)PelHLON": "PelletLampOn",
        "(I)SucHLON": "SucroseLampOn",
    }
    book = openpyxl.load_workbook(raw_store / "behavior/medpc/20200123.xlsx")
    columns = list(book["56"].iter_cols(values_only=True))
    with session.open() as file:
        assert set(file["events"]) == set(names.values())
        for header, *cells in columns:
            if header in names:
                expected = [float(cell) for cell in cells if cell is not None]
                np.testing.assert_allclose(events(file, names[header]), expected, err_msg=header)


@pytest.mark.long
def test_ibl_biased(convert_example: ConvertExample, raw_store: Path) -> None:
    session = convert_example("ibl_biased")
    check_session(session)
    folder = folder_of(raw_store, "biased_ge5")
    lines = bpod_lines(folder / "_iblrig_taskData.raw.jsonable")
    info = [line.split() for line in (folder / "_iblrig_encoderTrialInfo.raw.ssv").read_text().splitlines()]
    with session.open() as file:
        check_bpod(file, lines, "task")
        assert file["intervals/epochs/num_trials"][()].tolist() == [8]
        dates = np.array([datetime.fromisoformat(row[-1]).timestamp() for row in info])
        found = events(file, "stimuli")
        np.testing.assert_allclose(np.diff(found), np.diff(dates), atol=1e-6)
        assert found[0] == pytest.approx(3.206611, abs=1e-5)
        assert file["events/stimuli/contrast"][()].tolist() == [float(row[2]) for row in info]


@pytest.mark.long
@pytest.mark.parametrize(
    ("example", "folder"), [("ibl_bpod_old", "biased_lt5"), ("ibl_training_old", "training_lt5")]
)
def test_ibl_bpod_old(convert_example: ConvertExample, raw_store: Path, example: str, folder: str) -> None:
    session = convert_example(example)
    check_session(session)
    with session.open() as file:
        check_bpod(file, bpod_lines(folder_of(raw_store, folder) / "_iblrig_taskData.raw.jsonable"), "bpod")


@pytest.mark.long
def test_ibl_wheel(convert_example: ConvertExample, raw_store: Path) -> None:
    session = convert_example("ibl_wheel")
    check_session(session)
    folder = raw_store / "behavior" / "ibl_bpod" / "wheel" / "ge5"
    positions = np.loadtxt(folder / "_iblrig_encoderPositions.raw.ssv")
    codes = np.loadtxt(folder / "_iblrig_encoderEvents.raw.ssv")
    with session.open() as file:
        wheel = file["acquisition/wheel"]
        np.testing.assert_allclose(times_of(wheel), positions[:, 0] / 1e3)
        np.testing.assert_array_equal(np.diff(wheel["data"][()]), -np.diff(positions[:, 1]))
        assert wheel["data"].attrs["conversion"] == pytest.approx(2 * math.pi / 1024)
        for code, name in ((1, "show_stim_off"), (2, "show_stim_on"), (3, "closed_loop")):
            np.testing.assert_allclose(events(file, "encoder_events", name), codes[codes[:, 1] == code, 0] / 1e3)


@pytest.mark.long
def test_ibl_encoder_events(convert_example: ConvertExample, raw_store: Path) -> None:
    session = convert_example("ibl_encoder_events")
    check_session(session)
    folder = folder_of(raw_store, "ephys")
    rows = [line.split() for line in (folder / "_iblrig_encoderEvents.raw.ssv").read_text().splitlines()]
    dates = np.array([datetime.fromisoformat(row[-1]).timestamp() for row in rows])
    with session.open() as file:
        np.testing.assert_allclose(events(file, "encoder_events"), dates - dates[0], atol=1e-6)
        assert file["events/encoder_events/module_ms"][()].tolist() == [int(row[1]) for row in rows]
        assert len(events(file, "encoder_events", "show_stim_on")) == sum(row[3] == "2" for row in rows)
        assert len(events(file, "stimuli")) == 272


@pytest.mark.long
def test_ibl_camera(convert_example: ConvertExample, raw_store: Path) -> None:
    session = convert_example("ibl_camera")
    check_session(session)
    path = raw_store / "behavior/ibl_bpod/session_ephys/raw_video_data/_iblrig_bodyCamera.timestamps.ssv"
    first, *_, last = (datetime.fromisoformat(line.split()[0]) for line in path.read_text().splitlines())
    with session.open() as file:
        by_camera, by_computer = events(file, "frames"), events(file, "frames_saved")
        assert by_camera.size == by_computer.size == 6001
        assert by_camera[0] == pytest.approx(by_computer[0], abs=1e-5)
        assert by_computer[-1] - by_computer[0] == pytest.approx((last - first).total_seconds(), abs=1e-5)
        assert np.abs(np.diff(by_camera) - 0.0331).max() < 1e-5
