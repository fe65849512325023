"""The face video and its pose file against their truth: read by PyAV, OpenCV, pandas and NeuroConv."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from nwbpipe.simulate import SimulatedSession
from nwbpipe.simulate.scores import pupil_correlation


@pytest.fixture(scope="module")
def frames(simulated: SimulatedSession) -> np.ndarray:
    with av.open(str(simulated.video)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def test_video_has_a_frame_for_each_time(simulated: SimulatedSession, frames: np.ndarray):
    assert frames.shape == (len(simulated.face.frame_times), 128, 160)
    with av.open(str(simulated.video)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == simulated.face.rate
        assert stream.codec_context.name == "ffv1"


def test_opencv_reads_the_same_frames(simulated: SimulatedSession, frames: np.ndarray):
    capture = cv2.VideoCapture(str(simulated.video))
    for frame in frames:
        found, image = capture.read()
        assert found
        np.testing.assert_array_equal(image[..., 0], frame)
    assert not capture.read()[0]
    capture.release()


def test_dark_pixels_are_the_pupil(simulated: SimulatedSession, frames: np.ndarray):
    truth = simulated.face
    y0, y1, x0, x1 = truth.pupil_roi
    box = frames[:, y0:y1, x0:x1]
    yy, xx = np.mgrid[0 : y1 - y0, 0 : x1 - x0]
    half_y, half_x = (y1 - y0) / 2, (x1 - x0) / 2
    inside = ((yy + 0.5 - half_y) / half_y) ** 2 + ((xx + 0.5 - half_x) / half_x) ** 2 <= 1
    dark = (box < (25 + 185) / 2) & inside
    area = dark.sum(axis=(1, 2))
    assert pupil_correlation(truth.pupil_area, area) > 0.99
    np.testing.assert_allclose(area.mean(), truth.pupil_area.mean(), rtol=0.02)
    center = np.stack([(dark * grid).sum(axis=(1, 2)) / area for grid in (yy + y0, xx + x0)], axis=1)
    assert np.abs(center - truth.pupil_center).max() < 0.3
    assert truth.pupil_area.std() > 20


def test_motion_energy_of_the_pad_follows_its_drive(simulated: SimulatedSession, frames: np.ndarray):
    truth = simulated.face
    y0, y1, x0, x1 = truth.motion_roi
    # Above the marker, which moves too.
    assert y1 - y0 == 48
    pad = frames[:, y0 : y0 + 16, x0:x1].astype(float)
    energy = np.abs(np.diff(pad, axis=0)).mean(axis=(1, 2))
    assert np.corrcoef(energy, truth.motion[1:])[0, 1] > 0.97
    assert truth.motion[0] == 0.0


def test_timestamps_are_in_the_cameras_clock(simulated: SimulatedSession):
    table = pd.read_csv(simulated.video_timestamps)
    assert list(table.columns) == ["frame", "time_s"]
    drift = simulated.drifts_ppm["face"] * 1e-6
    times = table["time_s"].to_numpy() * (1 + drift) + simulated.offsets_s["face"]
    np.testing.assert_allclose(times, simulated.face.frame_times, atol=1e-9)
    intervals = np.diff(times)
    assert intervals.min() > 0
    # Irregular, so that a converter can't take the header's rate and get away with it.
    assert 1e-4 < intervals.std() < 1e-3


def test_neuroconv_opens_the_video(simulated: SimulatedSession):
    from neuroconv.datainterfaces import ExternalVideoInterface

    interface = ExternalVideoInterface(file_paths=[simulated.video])
    (times,) = interface.get_original_timestamps()
    assert len(times) == len(simulated.face.frame_times)


def test_pose_file_is_the_truth_with_the_stated_error(simulated: SimulatedSession):
    table = pd.read_csv(simulated.pose, header=[0, 1, 2], index_col=0)
    truth = simulated.keypoints
    assert table.columns.names == ["scorer", "bodyparts", "coords"]
    (scorer,) = table.columns.unique("scorer")
    assert simulated.pose.name == f"face{scorer}.csv"
    assert tuple(table.columns.unique("bodyparts")) == truth.bodyparts
    values = table.to_numpy().reshape(len(table), len(truth.bodyparts), 3)
    np.testing.assert_array_equal(values[..., :2], truth.estimates)
    np.testing.assert_array_equal(values[..., 2], truth.likelihood)
    certain = truth.likelihood > 0.9
    error = (truth.estimates - truth.keypoints)[certain]
    np.testing.assert_allclose(error.std(), 0.3, rtol=0.15)
    np.testing.assert_array_equal(truth.frame_times, simulated.face.frame_times)


def test_keypoints_lie_on_what_they_name(simulated: SimulatedSession, frames: np.ndarray):
    truth = simulated.keypoints
    bright = {"whisker": True, "nose": True, "mouth": False, "pupil": False}
    for part, keypoints in zip(truth.bodyparts, truth.keypoints.transpose(1, 0, 2), strict=True):
        x, y = np.rint(keypoints).astype(int).T
        gray = frames[np.arange(len(frames)), y, x].astype(float)
        assert (gray > 200).all() if bright[part] else (gray < 60).all(), part


def test_neuroconv_opens_the_pose(simulated: SimulatedSession):
    from neuroconv.datainterfaces import DeepLabCutInterface

    interface = DeepLabCutInterface(file_path=simulated.pose, config_file_path=simulated.pose_config)
    metadata = interface.get_metadata()
    (skeleton,) = metadata["Pose"]["Skeletons"].values()
    assert list(skeleton["nodes"]) == list(simulated.keypoints.bodyparts)
    assert np.asarray(skeleton["edges"]).tolist() == [[1, 2], [2, 3]]
