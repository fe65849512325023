"""kinematics: a simulated walk whose speed, heading and stays in a box are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import nwbpipe
from nwbpipe.environments import find
from nwbpipe.errors import InputError, ToolMissingError
from nwbpipe.processors.behavior import Kinematics, KinematicsParams
from nwbpipe.processors.behavior._kinematics_measures import (
    compute_angle,
    find_stretches,
    find_visits,
    frame_durations,
    smooth_positions,
)
from tests.nwb_builders.nwb import empty_nwbfile
from tests.processors.pose.pose import add_pose

BOX = [(320.0, 0.0), (640.0, 0.0), (640.0, 480.0), (320.0, 480.0)]
BODY = 30.0


def walk(times: np.ndarray) -> dict[str, np.ndarray]:
    """Position, velocity and acceleration of a body that walks through an arena of 640 by 480 pixels."""
    frequency, amplitude, phase = 2 * np.pi * np.array([0.11, 0.17]), np.array([250.0, 180.0]), np.array([0.3, 1.0])
    angle = frequency * times[:, None] + phase
    return {
        "position": np.array([320.0, 240.0]) + amplitude * np.sin(angle),
        "velocity": amplitude * frequency * np.cos(angle),
        "acceleration": -amplitude * frequency**2 * np.sin(angle),
    }


def camera() -> np.ndarray:
    """Times of a camera with a variable frame rate, dropped frames, and a pause of 3 s."""
    generator = np.random.default_rng(4)
    times = 5.0 + np.cumsum(generator.uniform(0.012, 0.03, 2500))
    times = times[generator.uniform(size=times.size) > 0.02]
    return times[(times < 30) | (times > 33)]


def write_walk(path: Path, noise: float = 0.0) -> np.ndarray:
    from pynwb import NWBHDF5IO

    generator, times = np.random.default_rng(5), camera()
    truth = walk(times)
    ahead = truth["velocity"] / np.linalg.norm(truth["velocity"], axis=1, keepdims=True)
    aside = np.column_stack([ahead[:, 1], -ahead[:, 0]])  # to the animal's left, in an image whose y points down
    body = truth["position"]
    keypoints = {
        "PoseEstimationSeriesBody": body,
        "PoseEstimationSeriesNose": body + BODY * ahead,
        "left_ear": body + 10 * aside,
        "right_ear": body - 10 * aside,
    }
    keypoints = {name: data + generator.normal(0, noise, data.shape) for name, data in keypoints.items()}
    keypoints["PoseEstimationSeriesBody"][200:205] = np.nan
    likelihood = np.ones((times.size, 4))
    likelihood[300:310, 0] = 0.2
    keypoints["PoseEstimationSeriesBody"][300:310] += 200.0  # a wrong guess that the tool itself doubts
    nwbfile = empty_nwbfile()
    add_pose(nwbfile, "Pose", keypoints, likelihood=likelihood, timestamps=times)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return times


@pytest.fixture(scope="module")
def movement() -> None:
    try:
        find(Kinematics.tool)
    except ToolMissingError as error:
        pytest.skip(f"movement is not installed: {error.problem.found or error.problem.where}")


def test_a_walk_is_measured_to_two_percent(tmp_path: Path, movement: None) -> None:
    path = tmp_path / "walk.nwb"
    times = write_walk(path)
    params: dict[str, Any] = {
        "keypoints": ["body", "nose"],
        "centroid": ["left_ear", "right_ear"],
        "heading": ["body", "nose"],
        "head_direction": ["left_ear", "right_ear"],
        "distances": {"length": ["body", "nose"]},
        "angles": {"square": ["nose", "body", "left_ear"]},
        "regions": {"right": BOX},
        "region_point": "centroid",
        "mm_per_px": 0.5,
    }
    nwbpipe.process(path, "kinematics", step="walk", params=params)
    truth = walk(times)
    true_speed = 0.5 * np.linalg.norm(truth["velocity"], axis=1)
    with nwbpipe.read(path) as nwbfile:
        module = nwbfile.processing["behavior"]
        series = module["Kinematics_walk"].time_series
        speed, acceleration = series["walk_speed"], series["walk_acceleration"].data[:]
        assert (speed.unit, series["walk_acceleration"].unit) == ("mm/second", "mm/second^2")
        assert speed.comments == "Columns: Body, Nose, centroid"
        assert speed.timestamps == module["Pose"].pose_estimation_series["PoseEstimationSeriesBody"].timestamps
        error = np.abs(speed.data[:][:, [0, 2]] - true_speed[:, None]) / true_speed[:, None]
        assert np.nanmax(error[1:-1]) < 0.02  # every frame, beside the pause and dropped frames, too
        known = np.isfinite(speed.data[:, 0])
        lost = np.r_[199:206, 299:311]  # what is missing or unlikely, and the frames whose derivative needs it
        assert np.flatnonzero(~known).tolist() == lost.tolist()
        assert np.isfinite(speed.data[:, 2]).all()
        true = 0.5 * np.linalg.norm(truth["acceleration"], axis=1)
        assert np.nanmedian(np.abs(acceleration[:, 2] - true) / true) < 0.02
        ahead = np.arctan2(truth["velocity"][:, 1], truth["velocity"][:, 0])
        for name in ("heading", "head_direction"):
            turned = np.angle(np.exp(1j * (series[f"walk_{name}"].data[:] - ahead)))
            assert np.nanmax(np.abs(turned)) < 1e-6, name
        np.testing.assert_allclose(series["walk_distances"].data[:][known], 0.5 * BODY, rtol=1e-9)
        np.testing.assert_allclose(series["walk_angles"].data[:][known], np.pi / 2, rtol=1e-9)
        occupancy = module["RegionOccupancy_walk"]
        fine = np.arange(times[0], times[-1], 1e-3)
        fine = fine[(fine < 30) | (fine > 33)]
        inside = walk(fine)["position"][:, 0] >= 320
        assert occupancy["time_s"][0] == pytest.approx(inside.sum() * 1e-3, rel=0.02)
        assert occupancy["fraction"][0] == pytest.approx(inside.mean(), abs=0.01)
        visits = module["RegionVisits_walk"]
        entries = np.flatnonzero(np.diff(inside.astype(int)) == 1) + 1
        starts = visits["start_time"].data[:]
        assert all(np.abs(starts - time).min() < 0.05 for time in fine[entries] if not 29.9 < time < 33.1)
        assert list(visits["region"][:]) == ["right"] * len(visits)
        assert occupancy["num_visits"][0] == len(visits)


def test_smoothing_makes_up_for_noise() -> None:
    times = camera()
    truth = walk(times)
    noisy = truth["position"] + np.random.default_rng(0).normal(0, 1.0, (times.size, 2))
    noisy[50] = np.nan
    smoothed = smooth_positions(times, noisy, 0.3)
    assert np.flatnonzero(np.isnan(smoothed[:, 0])).tolist() == [50]
    assert np.nanstd(smoothed - truth["position"]) < 0.45
    exact = smooth_positions(times, np.column_stack([times**2, 3 * times]), 0.3)
    np.testing.assert_allclose(exact, np.column_stack([times**2, 3 * times]), rtol=1e-9)
    few = smooth_positions(np.array([0.0, 1.0, 2.0]), np.array([[0.0, 0.0], [5.0, 1.0], [2.0, 2.0]]), 0.5)
    np.testing.assert_array_equal(few[:, 0], [0, 5, 2])


def test_stretches_visits_and_durations() -> None:
    times = np.array([0.0, 1.0, 2.0, 10.0, 11.0])
    assert find_stretches(times, 5.0) == [(0, 3), (3, 5)]
    spans = frame_durations(times, 1.0, 5.0)
    np.testing.assert_allclose(spans, [[-0.5, 0.5], [0.5, 1.5], [1.5, 2.5], [9.5, 10.5], [10.5, 11.5]])
    gap = np.array([True, False, False, True, False])
    yes = np.ones(5, dtype=bool)
    assert find_visits(yes, yes, gap).tolist() == [[0, 2], [3, 4]]
    assert find_visits(yes, np.array([True, False, True, True, True]), gap).tolist() == [[0, 0], [2, 2], [3, 4]]
    assert find_visits(~yes, yes, gap).size == 0
    corner = np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]), np.array([[0.0, 2.0]])
    np.testing.assert_allclose(compute_angle(*corner), [np.pi / 2])
    assert np.isnan(compute_angle(corner[0], corner[0], corner[2]))[0]


def test_what_is_not_clear_is_refused(tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO

    nwbfile = empty_nwbfile()
    pose = np.zeros((10, 2))
    add_pose(nwbfile, "Pose", {"a": pose, "b": pose}, rate=30.0)
    add_pose(nwbfile, "InMeters", {"c": pose, "d": pose}, rate=30.0, unit="meters")
    add_pose(nwbfile, "Deep", {"e": np.zeros((10, 3)), "f": np.zeros((10, 3))}, rate=30.0)
    add_pose(nwbfile, "Uneven", {"g": pose, "h": np.zeros((9, 2))}, rate=30.0)
    with NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(nwbfile)
    for name, params, message in (
        ("Pose", {"keypoints": ["c"]}, "no keypoint 'c'"),
        ("InMeters", {"mm_per_px": 0.1}, "not in pixels"),
        ("Deep", {"heading": ["e", "f"]}, "two dimensions"),
        ("Uneven", {}, "the same frames"),
    ):
        with pytest.raises(InputError, match=message):
            nwbpipe.process(tmp_path / "a.nwb", "kinematics", params=params, inputs={"pose": name})
    for params, message in (
        ({"regions": {"box": BOX}}, "region_point"),
        ({"regions": {"box": BOX[:2]}, "region_point": "a"}, "3 different corners"),
        ({"regions": {"box": BOX}, "region_point": "centroid"}, "give the keypoints"),
        ({"angles": {"x": ("a", "b", "a")}}, "twice"),
        ({"heading": ("a", "a")}, "two different"),
    ):
        with pytest.raises(ValidationError, match=message):
            KinematicsParams.model_validate(params)
