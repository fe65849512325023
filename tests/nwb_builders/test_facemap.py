"""Facemap's results: reading the dictionary, and the NWB objects made of it."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.errors import SourceError
from nwbpipe.nwb_builders import FacemapResults, Times, add_facemap_results, regular_times
from tests.nwb_builders.facemap_proc import make_proc
from tests.nwb_builders.nwb import empty_nwbfile, written


def test_regions_are_numbered_as_facemaps_lists_are():
    proc = make_proc(motion_rois=2, values=True)
    results = FacemapResults.from_proc(proc)
    assert list(results.motion_svd) == [0, 1, 2]
    for i in range(3):
        np.testing.assert_array_equal(results.motion_svd[i].projections, proc["motSVD"][i])
        np.testing.assert_array_equal(results.motion_svd[i].masks, proc["motMask_reshape"][i])
        np.testing.assert_array_equal(results.motion_energy[i], proc["motion"][i])
    assert "x 48 to 71, y 39 to 57" in results.motion_svd[2].region
    # Facemap keeps the values of the last region only.
    assert results.motion_svd[0].singular_values is None
    np.testing.assert_array_equal(results.motion_svd[2].singular_values, [4, 3, 2, 1])


def test_without_full_frame_the_roi_keeps_its_number():
    results = FacemapResults.from_proc(make_proc(full=False))
    assert list(results.motion_svd) == [1]
    assert list(results.motion_energy) == [1]
    assert results.num_frames == 40


def test_masks_of_an_svd_that_was_off_are_not_taken():
    # Facemap leaves entries for ROIs in motMask, one less than in movMask, and motion full of zeros.
    results = FacemapResults.from_proc(make_proc(motion=False, movie=True))
    assert results.motion_svd == {}
    assert results.motion_energy == {}
    assert list(results.movie_svd) == [0, 1]


def test_zeros_are_no_singular_values():
    assert FacemapResults.from_proc(make_proc(values=False)).motion_svd[1].singular_values is None


def test_pupil_is_in_the_frame_and_x_comes_first():
    pupil = FacemapResults.from_proc(make_proc()).pupils[0]
    np.testing.assert_allclose(pupil.center[5], [7 + 0.5, 12 + 18])
    np.testing.assert_allclose(pupil.center_smooth[5], [7 + 0.5, 12 + 19])


def test_names_of_videos_without_their_folders():
    proc = make_proc(videos=("/home/someone/a.avi", "C:\\rig\\b.avi"))
    assert FacemapResults.from_proc(proc).videos == [["a.avi"], ["b.avi"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("motSVD"), "not a result of Facemap"),
        (lambda p: p["motSVD"].pop(), "doesn't fit its ROIs"),
        (lambda p: p["motMask_reshape"].__setitem__(1, np.zeros((9, 12, 3))), "don't fit each other"),
        (lambda p: p["blink"].__setitem__(0, np.zeros(39)), "differ in length"),
        (lambda p: p["pupil"][0].pop("com"), "a pupil without"),
        (lambda p: p.update(motSVD=[], movSVD=[], pupil=[], blink=[], running=[]), "is empty"),
    ],
)
def test_contradictions_are_refused(change, message):
    proc = make_proc()
    change(proc)
    with pytest.raises(SourceError, match=message):
        FacemapResults.from_proc(proc, where="x_proc.npy")


@pytest.mark.parametrize("irregular", [False, True])
def test_written_and_read_again(tmp_path, irregular):
    proc = make_proc(movie=True, values=True, pupils=2)
    results = FacemapResults.from_proc(proc)
    stamps = np.arange(40) / 30 + 0.97 + (np.arange(40) % 3) * irregular * 1e-3
    nwbfile = empty_nwbfile()
    added = add_facemap_results(nwbfile, results, times=regular_times(stamps), suffix="face", source="Facemap 1.0.8")
    assert [container.name for container in added] == list(nwbfile.processing["behavior"].data_interfaces)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        module = read.processing["behavior"]
        svd = module["MotionSVDROI1_face"]
        np.testing.assert_array_equal(svd.data[:], proc["motSVD"][1])
        np.testing.assert_allclose(svd.get_timestamps(), stamps, atol=1e-7)
        masks = module["MotionSVDMasksROI1_face"]
        np.testing.assert_array_equal(masks["mask"][2], proc["motMask_reshape"][1][:, :, 2])
        np.testing.assert_array_equal(masks["singular_value"].data[:], proc["motSv"])
        assert "singular_value" not in module["MotionSVDMasks_face"].colnames
        np.testing.assert_array_equal(module["MovieSVD_face"].data[:], proc["movSVD"][0])
        np.testing.assert_array_equal(module["MotionEnergy_face"].data[:], proc["motion"][0])
        np.testing.assert_array_equal(module["Running_face"].data[:], proc["running"][0][:, ::-1])
        np.testing.assert_array_equal(module["Blink_face"].data[:], proc["blink"][0])
        pupil = module["PupilTracking_face"].time_series
        np.testing.assert_array_equal(pupil["pupil2_area"].data[:], proc["pupil"][1]["area"])
        np.testing.assert_array_equal(pupil["pupil1_squared_semiaxes"].data[:], proc["pupil"][0]["axlen"])
        eye = module["EyeTracking_face"].spatial_series["pupil1_center"]
        np.testing.assert_allclose(eye.get_timestamps(), stamps, atol=1e-7)
        np.testing.assert_array_equal(
            module["FaceImages_face"].images["average_frame"].data[:], proc["avgframe_reshape"]
        )
        assert (svd.rate is None) is irregular


def test_one_vector_of_timestamps_is_shared():
    nwbfile = empty_nwbfile()
    stamps = np.cumsum(np.linspace(0.02, 0.05, 40))
    added = add_facemap_results(nwbfile, FacemapResults.from_proc(make_proc()), times=Times(timestamps=stamps))
    series = [container for container in added if hasattr(container, "timestamps")]
    assert len(series) > 3
    assert all(other.timestamps is series[0].timestamps for other in series[1:])


def test_another_number_of_timestamps_is_refused():
    with pytest.raises(ValueError, match="39 timestamps for 40 frames"):
        add_facemap_results(
            empty_nwbfile(), FacemapResults.from_proc(make_proc()), times=Times(timestamps=np.arange(39.0))
        )


def test_a_name_that_is_taken_is_refused():
    nwbfile, results = empty_nwbfile(), FacemapResults.from_proc(make_proc())
    add_facemap_results(nwbfile, results, times=Times(rate=30.0))
    with pytest.raises(ValueError, match="MotionSVD already"):
        add_facemap_results(nwbfile, results, times=Times(rate=30.0))


def test_regular_times_become_a_rate():
    assert regular_times(2.0 + np.arange(1000) / 30) == Times(rate=30.0, starting_time=2.0)
    jittered = np.arange(1000) / 30
    jittered[500] += 1e-3
    assert regular_times(jittered).rate is None


def test_times_are_either():
    with pytest.raises(ValueError, match="either"):
        Times()
    with pytest.raises(ValueError, match="either"):
        Times(rate=1.0, timestamps=np.zeros(3))
