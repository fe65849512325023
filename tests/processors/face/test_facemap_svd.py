"""The declaration: parameters, what is refused before anything runs, and what is written."""

import h5py
import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pydantic import ValidationError
from pynwb import NWBHDF5IO, validate

from nwbpipe.errors import InputError
from nwbpipe.processors import Context, Results, processor
from nwbpipe.processors.face import FacemapSvd, FacemapSvdParams
from nwbpipe.processors.face import _facemap_svd_compute as compute
from tests.processors.face.session import bound_video, results_of_everything, write_session

FRAMES = 40
# A camera whose frames are not quite regular.
TIMES = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.05, FRAMES))
BOX = {"x": [10, 40], "y": [5, 30]}


def prepare(path, **params):
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        context = Context("facemap_svd", FacemapSvdParams(**params), bound_video(nwbfile))
        return FacemapSvd().prepare(nwbfile, context)


def test_it_is_found_by_its_name():
    assert isinstance(processor("facemap_svd"), FacemapSvd)


@pytest.mark.parametrize(
    "params",
    [
        {"n_components": 501},
        {"n_components": 0},
        {"sbin": 0},
        {"motion_svd": False},
        {"full_frame": False},
        {"motion_svd": False, "motion_rois": [BOX], "pupils": [{**BOX, "saturation": 100}]},
        {"motion_rois": [{"x": [0, 10], "y": [0, 30]}]},  # smaller than 3 bins
        {"pupils": [BOX]},  # no saturation
        {"pupils": [{**BOX, "saturation": 256}]},
        {"pupils": [{**BOX, "saturation": 100, "pupil_sigma": 0}]},
        {"pupils": [{"x": [40, 10], "y": [5, 30], "saturation": 100}]},
        {"pupils": [{"x": [-1, 10], "y": [5, 30], "saturation": 100}]},
        {"running": [{"x": [0, 2], "y": [5, 30]}]},
        {"ncomps": 3},
    ],
)
def test_a_parameter_out_of_range_is_refused(params):
    with pytest.raises(ValidationError):
        FacemapSvdParams(**params)


def test_a_pupil_alone_is_enough():
    params = FacemapSvdParams(motion_svd=False, pupils=[{**BOX, "saturation": 100}])
    assert params.pupils[0].pupil_sigma == 2.0


def test_the_frames_are_the_series(tmp_path):
    path = write_session(tmp_path / "a.nwb", ["face.avi"], FRAMES, rate=30.0)
    assert prepare(path) == {"frames": FRAMES, "starting_frame": [0]}
    times = np.arange(FRAMES) / 30
    path = write_session(tmp_path / "b.nwb", ["a.avi", "b.avi"], FRAMES, timestamps=times, starting_frame=[0, 10])
    assert prepare(path) == {"frames": FRAMES, "starting_frame": [0, 10]}


def test_an_embedded_video_is_refused(tmp_path):
    path = write_session(tmp_path / "a.nwb", None, None, timestamps=np.arange(5) / 30, data=np.zeros((5, 8, 6), "u1"))
    with pytest.raises(InputError, match="video files") as caught:
        prepare(path)
    assert "link" in caught.value.problem.hint


@pytest.mark.parametrize("kind", ["pupils", "motion_rois", "blinks", "running"])
def test_a_roi_outside_the_frame_is_refused(tmp_path, kind):
    path = write_session(tmp_path / "a.nwb", ["face.avi"], FRAMES, rate=30.0, dimension=[39, 88])
    roi = {**BOX, "saturation": 100} if kind in ("pupils", "blinks") else BOX
    with pytest.raises(InputError, match=f"one of {kind} lies outside"):
        prepare(path, **{kind: [roi]})
    path = write_session(tmp_path / "b.nwb", ["face.avi"], FRAMES, rate=30.0, dimension=[40, 30])
    assert prepare(path, **{kind: [roi]})["frames"] == FRAMES


@pytest.fixture(params=["rate", "timestamps"])
def written(tmp_path, request):
    times = {"rate": 30.0} if request.param == "rate" else {"timestamps": TIMES}
    path = write_session(tmp_path / "a.nwb", ["face.avi"], FRAMES, **times)
    (tmp_path / "face.avi").touch()
    arrays, summary = results_of_everything(tmp_path / "results.h5", FRAMES)
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        context = Context("fast", FacemapSvdParams(), bound_video(nwbfile))
        FacemapSvd().write(nwbfile, Results(arrays, summary), context)
        io.write(nwbfile)
    yield path, arrays
    arrays.close()


def test_results_are_valid_and_at_the_videos_times(written):
    path, arrays = written
    assert validate(path=str(path)) == []
    found = inspect_nwbfile(nwbfile_path=path, importance_threshold=Importance.BEST_PRACTICE_VIOLATION)
    assert [m.message for m in found if "/processing" in str(m.location)] == []
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        behavior = nwbfile.processing["behavior"]
        assert all(name.endswith("_fast") for name in behavior.data_interfaces)
        motion = behavior["MotionSVD_fast"]
        np.testing.assert_array_equal(motion.data[:], arrays["motion_svd/0/projections"][:])
        masks = behavior["MotionSVDMasksROI1_fast"]
        np.testing.assert_array_equal(masks["mask"].data[:], np.moveaxis(arrays["motion_svd/1/masks"][:], 2, 0))
        assert masks["singular_value"].data[:].tolist() == [4, 3, 2, 1]
        area = behavior["PupilTracking_fast"]["pupil_area"]
        np.testing.assert_array_equal(area.data[:], arrays["pupils/0/area"][:])
        np.testing.assert_array_equal(
            behavior["EyeTracking_fast"]["pupil_center"].data[:], arrays["pupils/0/center"][:]
        )
        np.testing.assert_array_equal(behavior["Running_fast"].data[:], arrays["running/0"][:])
        np.testing.assert_array_equal(behavior["Blink_fast"].data[:], arrays["blinks/0"][:])
        assert "difference between frames i-1 and i; sample 0" in behavior["MotionEnergy_fast"].description
        for series in (motion, area, behavior["MovieSVDROI1_fast"]):
            if nwbfile.acquisition["VideoFace"].rate is None:
                np.testing.assert_array_equal(series.timestamps[:], TIMES)
            else:
                assert (series.rate, series.starting_time) == (30.0, 0.5)
    with h5py.File(path) as file:
        behavior = file["processing/behavior"]
        if "timestamps" in behavior["MotionSVD_fast"]:
            assert isinstance(behavior["MotionSVD_fast"].get("timestamps", getlink=True), h5py.SoftLink)


def test_a_roi_is_a_half_open_box_with_an_inscribed_ellipse():
    roi = compute.facemap_roi({"x": [10, 20], "y": [3, 9], "saturation": 90.0}, compute.PUPIL, 0)
    assert (roi["xrange"][0], roi["xrange"][-1], roi["yrange"][0], roi["yrange"][-1]) == (10, 19, 3, 8)
    ellipse = roi["ellipse"]
    assert ellipse.shape == (6, 10)
    assert not ellipse[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    np.testing.assert_array_equal(ellipse, ellipse[::-1, ::-1])
    assert ellipse.sum() == pytest.approx(np.pi * 5 * 3, rel=0.1)


@pytest.mark.parametrize("frames", [300, 500, 700])
def test_the_motion_energy_is_shifted_where_facemap_is_early(frames):
    true = np.arange(frames, dtype=float)
    true[0] = true[1]
    early = np.r_[true[1:500], 0, true[500:]]  # as facemap leaves it
    np.testing.assert_array_equal(compute.align_motion_energy(early[:frames]), true)


def test_masks_get_unit_norm():
    rng = np.random.default_rng(0)
    masks, _ = np.linalg.qr(rng.normal(size=(60, 3)))
    values = np.array([9.0, 4.0, 2.0])
    scaled = np.concatenate([masks * values, np.zeros((60, 1))], axis=1).reshape(6, 10, 4)
    projections = rng.normal(size=(20, 4))
    unit, projected, found = compute.unscale(scaled, projections, np.zeros(500))
    np.testing.assert_allclose(unit.reshape(60, 3), masks)
    np.testing.assert_allclose(projected, projections[:, :3] / values)
    np.testing.assert_allclose(found, values)
    same, _, kept = compute.unscale(unit, projected, values)
    np.testing.assert_array_equal(same, unit)
    np.testing.assert_array_equal(kept, values)
