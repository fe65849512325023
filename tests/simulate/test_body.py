"""The body video and its labelled frames against their truth: read by PyAV, pandas and Pillow."""

import av
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from nwbpipe.simulate import simulate_body_video, write_dlc_project

PAINT = np.array([[230, 60, 50], [50, 90, 225]])


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    folder = tmp_path_factory.mktemp("body")
    truth = simulate_body_video(folder / "a.avi", seed=3, n_frames=150, dropped=4, jitter_s=0.002)
    with av.open(str(truth.video)) as container:
        return truth, np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_paint_is_where_the_truth_says(body):
    truth, frames = body
    assert frames.shape == (150, 160, 160, 3)
    for index in np.flatnonzero(truth.visible.all(axis=1))[::10]:
        for part, paint in enumerate(PAINT):
            x, y = truth.keypoints[index, part]
            near = np.abs(frames[index].astype(int) - paint).sum(axis=2) < 60
            rows, columns = np.nonzero(near)
            inside = (np.abs(truth.keypoints[index, part] - 80) < 74).all()
            if inside and np.hypot(*(truth.keypoints[index, part] - [44, 40])) > 60:
                assert np.hypot(columns.mean() - x, rows.mean() - y) < 0.5


def test_keypoints_are_hidden_and_leave_the_frame(body):
    truth, frames = body
    outside = ((truth.keypoints < 0) | (truth.keypoints > 159)).any(axis=2)
    assert outside.any()
    assert (~truth.visible & ~outside).any()  # below the shelter
    index, part = np.argwhere(~truth.visible & ~outside)[0]
    x, y = np.rint(truth.keypoints[index, part]).astype(int)
    assert np.abs(frames[index, y, x].astype(int) - [110, 120, 130]).max() < 25


def test_several_animals_pass_each_other_and_cover_each_other(tmp_path):
    truth = simulate_body_video(tmp_path / "two.avi", seed=7, n_frames=100, animals=2)
    assert truth.individuals == ("mouse1", "mouse2")
    assert truth.keypoints.shape == (100, 2, 4, 2)
    middles = truth.keypoints.mean(axis=2)
    apart = np.hypot(*(middles[:, 0] - middles[:, 1]).T)
    assert 17 < apart.min() < 30
    with av.open(str(truth.video)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)
    x, y = np.moveaxis(np.rint(truth.keypoints).astype(int), -1, 0)
    inside = ((truth.keypoints >= 0) & (truth.keypoints <= 159)).all(axis=-1)
    paints = np.array([*PAINT, [60, 200, 80], [235, 215, 60]])
    frame, _, part = np.nonzero(truth.visible)
    near = np.abs(frames[frame, y[truth.visible], x[truth.visible]] - paints[part]).max(axis=1) < 30
    assert near.mean() > 0.99
    covered = inside[:, 0] & ~truth.visible[:, 0] & ~((truth.keypoints[:, 0] < [44, 40]).all(axis=-1))
    assert covered.any()
    assert (truth.visible[:, 1] | ~inside[:, 1] | (truth.keypoints[:, 1] < [44, 40]).all(axis=-1)).all()  # on top


def test_times_have_gaps_and_scatter(body):
    truth, _ = body
    steps = np.diff(truth.frame_times) * 30
    assert (np.rint(steps) > 1).sum() in (3, 4)  # lost at an end, or two beside each other: one gap less
    assert 0.01 < np.std(steps[steps < 1.5]) < 0.2


def test_labelled_frames_are_a_project_of_deeplabcut(body, tmp_path):
    truth, frames = body
    config = write_dlc_project(tmp_path / "project", truth, frames=range(0, 150, 10))
    assert yaml.safe_load(config.read_text())["bodyparts"] == list(truth.bodyparts)
    folder = config.parent / "labeled-data" / "a"
    table = pd.read_csv(folder / "CollectedData_sim.csv", header=[0, 1, 2], index_col=[0, 1, 2])
    h5 = pd.read_hdf(folder / "CollectedData_sim.h5")
    np.testing.assert_allclose(table.to_numpy(), h5.to_numpy(), equal_nan=True)
    for row, ((_, _, name), values) in enumerate(table.iterrows()):
        np.testing.assert_array_equal(np.asarray(Image.open(folder / name)), frames[10 * row])
        points = values.to_numpy().reshape(-1, 2)
        np.testing.assert_array_equal(np.isfinite(points).all(axis=1), truth.visible[10 * row])
        seen = truth.visible[10 * row]
        np.testing.assert_allclose(points[seen], truth.keypoints[10 * row][seen])
