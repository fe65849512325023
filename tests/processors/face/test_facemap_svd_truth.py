"""Facemap itself, by the engine, on videos whose pupil and motion are known."""

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

from nwbpipe.environments import find
from nwbpipe.errors import ToolFailedError, ToolMissingError
from nwbpipe.processors.face import FacemapSvd
from nwbpipe.run import process
from tests.processors.face.session import write_session
from tests.processors.face.simulated_face import EYE, PAD, SATURATION, simulate_face

pytestmark = pytest.mark.slow
PARAMS = {
    "sbin": 2,
    "n_components": 20,
    "pupils": [{**EYE, "saturation": SATURATION}],
    "motion_rois": [PAD],
}


@pytest.fixture(scope="module", autouse=True)
def facemap():
    try:
        return find(FacemapSvd.tool)
    except ToolMissingError as error:
        pytest.skip(f"Facemap is not installed: {error.problem.found or error.problem.where}")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("CACHE", "LOGS", "SCRATCH"):
        monkeypatch.setenv(f"NWBPIPE_{name}", str(tmp_path / name.lower()))


@pytest.mark.parametrize(
    "frames", [pytest.param([650], id="one file", marks=pytest.mark.long), pytest.param([400, 250], id="two files")]
)
def test_pupil_and_motion_are_found(tmp_path, frames):
    truth = simulate_face(tmp_path, frames)
    starts = [0, *np.cumsum(frames[:-1]).tolist()]
    names = [path.name for path in truth.files]
    path = write_session(tmp_path / "a.nwb", names, truth.frames, rate=30.0, starting_frame=starts)
    before = {name.name for name in tmp_path.iterdir()}
    params = {**PARAMS, "running": [PAD], "blinks": [{**EYE, "saturation": SATURATION}], "movie_svd": True}
    process(path, "facemap_svd", params=params)
    assert {name.name for name in tmp_path.iterdir()} - before <= {"cache", "logs", "scratch", ".a_nwb.lock"}
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        behavior = io.read().processing["behavior"]
        area = behavior["PupilTracking_facemap_svd"]["pupil_area"].data[:]
        assert np.corrcoef(area, truth.area)[0, 1] >= 0.95
        assert np.median(area / truth.area) == pytest.approx(1, abs=0.1)
        center = behavior["EyeTracking_facemap_svd"]["pupil_center"].data[:]
        np.testing.assert_allclose(np.median(center, axis=0), truth.center, atol=0.5)
        drive = np.abs(truth.shift)
        energy = behavior["MotionEnergyROI1_facemap_svd"].data[:]
        assert energy.shape == (truth.frames,)
        # In time to the frame, in Facemap's first chunk of 500 frames and after it.
        for part in (slice(2, 498), slice(502, None)):
            lags = [np.corrcoef(energy[part], np.roll(drive, lag)[part])[0, 1] for lag in (-1, 0, 1)]
            assert lags[1] >= 0.8
            assert lags[1] > max(lags[0], lags[2]) + 0.3
        running = behavior["Running_facemap_svd"].data[:]
        assert np.corrcoef(running[1:, 0], truth.shift[1:])[0, 1] >= 0.8  # x, and its sign
        assert np.abs(running[:, 1]).max() == 0
        blink = behavior["Blink_facemap_svd"].data[:]
        assert np.corrcoef(blink, truth.area)[0, 1] >= 0.95  # nothing blinks here: it is the pupil's darkness
        for name in ("MotionSVD", "MotionSVDROI1", "MovieSVD", "MovieSVDROI1"):
            projections = behavior[f"{name}_facemap_svd"].data
            masks = behavior[f"{name.replace('SVD', 'SVDMasks')}_facemap_svd"]["mask"].data[:]
            assert projections.shape == (truth.frames, 20)
            norms = np.linalg.norm(masks.reshape(20, -1), axis=1)
            np.testing.assert_allclose(norms, 1, rtol=1e-4)


def test_the_pupils_roi_leaves_the_motion_alone(tmp_path):
    """Facemap itself paints the surround of a pupil white before it computes the motion."""
    truth = simulate_face(tmp_path, [200])
    found = []
    for name, params in (("with", PARAMS), ("without", {**PARAMS, "pupils": []})):
        path = write_session(tmp_path / f"{name}.nwb", [truth.files[0].name], truth.frames, rate=30.0)
        process(path, "facemap_svd", params=params)
        with h5py.File(path) as file:
            behavior = file["processing/behavior"]
            found.append([behavior[f"{n}_facemap_svd/data"][:] for n in ("MotionEnergy", "MotionSVD")])
    for with_pupil, without in zip(*found, strict=True):
        np.testing.assert_array_equal(with_pupil, without)


@pytest.mark.parametrize(
    ("frames", "series", "params", "message"),
    [
        (61, {}, PARAMS, "the video has 60 frames, but its ImageSeries has 61"),
        (60, {}, {"motion_rois": [{"x": [70, 121], "y": [50, 80]}]}, "outside the frame of 120 x 88"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_file_left_alone(tmp_path, frames, series, params, message):
    truth = simulate_face(tmp_path, [60])
    path = write_session(tmp_path / "a.nwb", [truth.files[0].name], frames, rate=30.0, **series)
    before = path.read_bytes()
    with pytest.raises(ToolFailedError, match=message):
        process(path, "facemap_svd", params=params)
    assert path.read_bytes() == before


def test_a_truncated_video_is_refused(tmp_path):
    truth = simulate_face(tmp_path, [120])
    video = truth.files[0]
    content = video.read_bytes()
    video.write_bytes(content[: len(content) * 2 // 3])
    path = write_session(tmp_path / "a.nwb", [video.name], truth.frames, rate=30.0)
    with pytest.raises(ToolFailedError, match=r"can't be read|has \d+ frames"):
        process(path, "facemap_svd", params=PARAMS)
