"""pose_filter: a simulated path with outliers, unlikely guesses, short and long gaps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import nwbpipe
from nwbpipe.processors.pose import PoseFilterParams
from nwbpipe.processors.pose._pose_filter_compute import fill_gaps, filter_keypoint, running_median
from tests.nwb_builders.nwb import empty_nwbfile
from tests.processors.pose.pose import add_pose

PARAMS: dict[str, Any] = PoseFilterParams().model_dump()


def path_of(times: np.ndarray) -> np.ndarray:
    return np.column_stack([100 + 80 * np.sin(times), 90 + 60 * np.cos(0.7 * times)])


def test_the_path_comes_back_and_the_predictions_stay(tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO

    generator = np.random.default_rng(3)
    times = np.cumsum(generator.uniform(0.015, 0.025, 2000))
    true = path_of(times)
    predicted = true + generator.normal(0, 0.3, true.shape)
    likelihood = generator.uniform(0.9, 1.0, (2000, 2))
    doubtful = generator.choice(np.arange(10, 1990, 4), 60, replace=False)  # single frames: gaps of about 40 ms
    predicted[doubtful] += 40
    likelihood[doubtful] = 0.1
    sure = np.arange(1001, 1990, 60)  # outliers that the tool is sure of
    sure = sure[~np.isin(sure, [*doubtful, *(doubtful + 1), *(doubtful - 1)])]
    predicted[sure] += 25
    predicted[500:520] = np.nan  # for 0.4 s
    nwbfile = empty_nwbfile()
    add_pose(nwbfile, "Pose", {"paw": predicted, "nose": predicted + 5}, likelihood=likelihood, timestamps=times)
    file = tmp_path / "pose.nwb"
    with NWBHDF5IO(file, "w") as io:
        io.write(nwbfile)
    # In a process that has not imported ndx-pose, as a user's: there its types are made from the file's own schema.
    command = [sys.executable, "-m", "nwbpipe", "process", str(file), "pose_filter", "--step", "clean"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "/processing/behavior/PoseEstimation_clean" in done.stdout
    with nwbpipe.read(file) as opened:
        behavior = opened.processing["behavior"]
        raw, clean = behavior["Pose"], behavior["PoseEstimation_clean"]
        assert clean.skeleton is raw.skeleton
        assert (clean.scorer, clean.source_software) == (raw.scorer, raw.source_software)
        paw = clean.pose_estimation_series["paw"]
        assert paw.timestamps == raw.pose_estimation_series["paw"].timestamps
        data, confidence = paw.data[:], paw.confidence[:]
        np.testing.assert_array_equal(raw.pose_estimation_series["paw"].data[:], predicted)
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(data[:, 0])), np.arange(500, 520))
        known = np.isfinite(data[:, 0])
        assert np.abs(data[known] - true[known]).max() < 3.0  # predicted: up to 40
        assert np.std(data[known] - true[known]) < 0.35
        filled = doubtful[~np.isin(doubtful, np.arange(500, 520))]
        assert confidence[filled].min() >= 0.9  # that of the neighbours
        assert (
            f"{filled.size} of 2000 positions left out as unlikely, {filled.size} filled, 20 missing"
            in paw.description
        )
        assert "likelihood 0.6 or more, median of 5 frames, gaps filled up to 0.1 s" in clean.description
    assert not nwbpipe.process(file, "pose_filter", step="clean").computed


def test_a_median_takes_what_is_known_and_stops_at_a_pause() -> None:
    times = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 20.0, 21.0, 22.0])
    values = np.array([1.0, 9.0, 2.0, np.nan, 3.0, 100.0, 300.0, 101.0])[:, None]
    found = running_median(times, values, 3)[:, 0]
    np.testing.assert_array_equal(found, [5.0, 2.0, 5.5, np.nan, 3.0, 200.0, 101.0, 200.5])


def test_gaps_are_filled_by_time_up_to_the_limit_and_never_at_the_ends() -> None:
    times = np.array([0.0, 1.0, 4.0, 5.0, 6.0, 7.0, 8.0, 20.0, 21.0])
    nan = np.nan
    values = np.array([nan, 10.0, nan, 50.0, nan, nan, 80.0, nan, nan])[:, None]
    filled, rows, neighbours = fill_gaps(times, values, 4.0)
    np.testing.assert_allclose(filled[:, 0], [nan, 10, 40, 50, 60, 70, 80, nan, nan])
    assert rows.tolist() == [2, 4, 5]
    assert neighbours.tolist() == [[1, 3], [3, 6], [3, 6]]
    assert fill_gaps(times, values, 3.0)[1].tolist() == [4, 5]
    nothing = fill_gaps(times, np.full((9, 1), nan), 4.0)
    assert nothing[1].size == 0


def test_a_keypoint_that_is_never_likely_is_missing_and_said_to_be() -> None:
    times = np.arange(10.0)
    positions, likelihood, told = filter_keypoint(times, path_of(times), np.full(10, 0.2), PARAMS)
    assert np.isnan(positions).all()
    assert (likelihood == 0.2).all()
    assert told == {"frames": 10, "unlikely": 10, "filled": 0, "missing": 10}
    positions, likelihood, told = filter_keypoint(times, path_of(times), None, {**PARAMS, "median_frames": None})
    np.testing.assert_array_equal(positions, path_of(times))
    assert likelihood is None


def test_parameters_that_do_nothing_or_have_no_middle_are_refused() -> None:
    with pytest.raises(ValidationError, match="an odd number"):
        PoseFilterParams(median_frames=4)
    with pytest.raises(ValidationError, match="nothing to do"):
        PoseFilterParams(median_frames=None, min_likelihood=None, fill_gap_s=None)
