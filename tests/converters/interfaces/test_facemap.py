"""FacemapInterface and FacemapPoseInterface."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import ClockError, SourceError
from tests.nwb_builders.facemap_proc import write_proc
from tests.nwb_builders.nwb import empty_nwbfile, written

PARTS = ("eye(back)", "mouth", "paw")


def _write_pose(path, frames=40, drop=None):
    rng = np.random.default_rng(1)
    data = {part: rng.random((frames, 3)) for part in PARTS}
    with h5py.File(path, "w") as file:
        for part, values in data.items():
            for column, key in enumerate(("x", "y", "likelihood")):
                if (part, key) != drop:
                    file[f"Facemap/{part}/{key}"] = values[:, column]
    return data


def _both(tmp_path, **arguments):
    write_proc(tmp_path / "a_proc.npy")
    _write_pose(tmp_path / "a_FacemapPose.h5")
    return [
        interface_class("FacemapInterface")(tmp_path / "a_proc.npy", **arguments),
        interface_class("FacemapPoseInterface")(tmp_path / "a_FacemapPose.h5", **arguments),
    ]


def test_no_times_are_refused(tmp_path):
    for interface in _both(tmp_path):
        nwbfile = empty_nwbfile()
        with pytest.raises(ClockError, match="the frames have no times"):
            interface.add_to_nwbfile(nwbfile)
        assert "PoseEstimationFacemap" not in getattr(nwbfile.processing.get("behavior"), "data_interfaces", {})


def test_times_by_rate_start_and_alignment(tmp_path):
    for interface in _both(tmp_path, sampling_frequency=20.0):
        np.testing.assert_allclose(interface.get_timestamps(), np.arange(40) / 20)
        interface.set_aligned_starting_time(0.97)
        np.testing.assert_allclose(interface.get_timestamps(), np.arange(40) / 20 + 0.97)
        interface.set_aligned_timestamps(np.arange(40) / 10)
        interface.set_aligned_starting_time(1.0)
        np.testing.assert_allclose(interface.get_timestamps(), np.arange(40) / 10 + 1)
        np.testing.assert_allclose(interface.get_original_timestamps(), np.arange(40) / 20)


@pytest.mark.parametrize(
    "times",
    [np.arange(39.0), np.arange(41.0), np.full(40, np.nan), np.arange(40.0)[::-1], np.zeros((40, 2))],
)
def test_times_that_dont_fit_are_refused(tmp_path, times):
    for interface in _both(tmp_path):
        with pytest.raises(ClockError):
            interface.set_aligned_timestamps(times)


@pytest.mark.parametrize("rate", [0.0, -30.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(tmp_path, rate):
    with pytest.raises(ClockError, match="is not a rate"):
        _both(tmp_path, sampling_frequency=rate)


def test_facemap_is_written(tmp_path):
    proc = write_proc(tmp_path / "a_proc.npy")
    interface = interface_class("FacemapInterface")(file_path=tmp_path / "a_proc.npy", sampling_frequency=30.0)
    interface.set_aligned_starting_time(0.5)
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile, interface.get_metadata())
    with written(nwbfile, tmp_path / "a.nwb") as read:
        svd = read.processing["behavior"]["MotionSVD"]
        assert (svd.rate, svd.starting_time) == (30.0, 0.5)
        np.testing.assert_array_equal(svd.data[:], proc["motSVD"][0])
        assert "a.avi" in svd.description
        assert "/data/rig" not in svd.description


def test_two_results_in_one_file(tmp_path):
    nwbfile = empty_nwbfile()
    for name in ("left", "right"):
        write_proc(tmp_path / f"{name}_proc.npy", motion_rois=2)
        interface = interface_class("FacemapInterface")(
            file_path=tmp_path / f"{name}_proc.npy", sampling_frequency=30.0, metadata_key=name
        )
        interface.add_to_nwbfile(nwbfile)
    names = set(nwbfile.processing["behavior"].data_interfaces)
    assert {"MotionSVD", "MotionSVD_right", "PupilTracking", "PupilTracking_right", "MotionSVDROI2_right"} <= names


def test_several_videos_need_timestamps(tmp_path):
    arguments = {"file_path": tmp_path / "a_proc.npy", "sampling_frequency": 30.0}
    write_proc(tmp_path / "a_proc.npy", videos=("a.avi", "b.avi"))
    interface = interface_class("FacemapInterface")(**arguments)
    with pytest.raises(ClockError, match="several videos"):
        interface.get_timestamps()
    interface.set_aligned_timestamps(np.arange(40.0))
    interface.add_to_nwbfile(empty_nwbfile())
    whole = interface_class("FacemapInterface")(**arguments, contiguous_videos=True)
    assert whole.get_timestamps()[-1] == pytest.approx(39 / 30)


@pytest.mark.parametrize("stamps", [None, np.cumsum(np.linspace(0.02, 0.05, 40))])
def test_keypoints_are_written(tmp_path, stamps):
    data = _write_pose(tmp_path / "a_FacemapPose.h5")
    nwbfile = empty_nwbfile()
    for name in ("left", "right"):
        interface = interface_class("FacemapPoseInterface")(
            file_path=tmp_path / "a_FacemapPose.h5", sampling_frequency=30.0, metadata_key=name
        )
        if stamps is not None:
            interface.set_aligned_timestamps(stamps)
        interface.add_to_nwbfile(nwbfile, interface.get_metadata())
    with written(nwbfile, tmp_path / "a.nwb") as read:
        module = read.processing["behavior"]
        for name in ("PoseEstimationFacemap", "PoseEstimationFacemap_right"):
            pose = module[name]
            assert list(pose.skeleton.nodes[:]) == list(PARTS)
            assert pose.source_software == "Facemap"
            for part, values in data.items():
                series = pose.pose_estimation_series[f"PoseEstimationSeries_{part}"]
                np.testing.assert_array_equal(series.data[:], values[:, :2])
                np.testing.assert_array_equal(series.confidence[:], values[:, 2])
                np.testing.assert_allclose(
                    series.get_timestamps(), np.arange(40) / 30 if stamps is None else stamps, atol=1e-9
                )
        assert len(module["Skeletons"].skeletons) == 2


def test_files_that_are_no_keypoints(tmp_path):
    file = tmp_path / "a_FacemapPose.h5"
    build = interface_class("FacemapPoseInterface")
    _write_pose(file, drop=("mouth", "y"))
    with pytest.raises(SourceError, match="mouth without y"):
        build(file_path=file)
    _write_pose(file)
    with h5py.File(file, "a") as opened:
        del opened["Facemap/mouth"]
        for key in ("x", "y", "likelihood"):
            opened[f"Facemap/mouth/{key}"] = np.zeros(7)
    with pytest.raises(SourceError, match="differ in length"):
        build(file_path=file)
    with h5py.File(file, "w") as opened:
        opened["data"] = np.zeros(3)
    with pytest.raises(SourceError, match="not a file of Facemap's keypoints"):
        build(file_path=file)
    file.write_bytes(b"not HDF5")
    with pytest.raises(SourceError, match="no HDF5 file"):
        build(file_path=file)
