"""DeepLabCutInterface: what is refused, and the times."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nwbpipe.converters.interfaces import guard_source, interface_class
from nwbpipe.errors import ClockError, SourceError
from tests.nwb_builders.nwb import empty_nwbfile, written

PARTS = ("nose", "tail")
XYL = ("x", "y", "likelihood")


def make_table(rows=30, coords=XYL, index=None, individuals=()):
    rng = np.random.default_rng(2)
    levels = [["DLC_Resnet50_x"], *([list(individuals)] if individuals else []), list(PARTS), list(coords)]
    names = ["scorer", *(["individuals"] if individuals else []), "bodyparts", "coords"]
    columns = pd.MultiIndex.from_product(levels, names=names)
    data = rng.random((rows, len(columns)))
    return pd.DataFrame(data, columns=columns, index=index if index is not None else range(rows))


def write_table(path, table):
    if path.suffix == ".csv":
        table.to_csv(path)
    else:
        table.to_hdf(path, key="df_with_missing", mode="w", format="table")
    return path


def write_video(path, frames=30):
    cv2 = pytest.importorskip("cv2")
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 48))
    for i in range(frames):
        video.write(np.full((48, 64, 3), i, np.uint8))
    video.release()
    return path


def _build(path, **arguments):
    return interface_class("DeepLabCutInterface")(file_path=path, **arguments)


@pytest.mark.parametrize("name", ["aDLC_x.h5", "aDLC_x.csv"])
@pytest.mark.parametrize("aligned", [False, True])
def test_a_prediction_is_written(tmp_path, name, aligned):
    table = make_table()
    path = write_table(tmp_path / name, table)
    stamps = np.cumsum(np.linspace(0.02, 0.05, 30)) if aligned else np.arange(30) / 25 + 0.5
    nwbfile = empty_nwbfile()
    for key in ("left", "right"):
        interface = _build(path, sampling_frequency=25.0, metadata_key=key)
        np.testing.assert_allclose(interface.get_original_timestamps(), np.arange(30) / 25)
        if aligned:
            interface.set_aligned_timestamps(stamps)
        else:
            interface.set_aligned_starting_time(0.5)
        np.testing.assert_allclose(interface.get_timestamps(), stamps)
        interface.add_to_nwbfile(nwbfile, interface.get_metadata())
        np.testing.assert_allclose(interface.get_timestamps(), stamps)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        module = read.processing["behavior"]
        for container in ("PoseEstimationDeepLabCut", "PoseEstimationDeepLabCut_right"):
            series = module[container].pose_estimation_series["PoseEstimationSeriesNose"]
            expected = table["DLC_Resnet50_x"]["nose"]
            np.testing.assert_allclose(series.data[:], expected[["x", "y"]])
            np.testing.assert_allclose(series.confidence[:], expected["likelihood"])
            np.testing.assert_allclose(series.get_timestamps(), stamps, atol=1e-9)


def test_no_times_are_refused(tmp_path):
    interface = _build(write_table(tmp_path / "a.h5", make_table()))
    with pytest.raises(ClockError, match="the frames have no times"):
        interface.add_to_nwbfile(empty_nwbfile())
    with pytest.raises(ClockError, match="don't fit the frames"):
        interface.set_aligned_timestamps(np.arange(29.0))


@pytest.mark.parametrize("index", [range(42150, 42180), [*range(10), *range(20, 40)]])
def test_frame_numbers_that_dont_count_from_zero(tmp_path, index):
    path = write_table(tmp_path / "a.h5", make_table(index=index))
    with pytest.raises(ClockError, match="don't count from 0") as caught:
        _build(path, sampling_frequency=100.0).get_timestamps()
    assert "frame_numbers" in caught.value.problem.hint
    by_file = _build(path, sampling_frequency=100.0, frame_numbers="file")
    np.testing.assert_allclose(by_file.get_timestamps(), np.array(index) / 100)
    by_row = _build(path, sampling_frequency=100.0, frame_numbers="row")
    np.testing.assert_allclose(by_row.get_timestamps(), np.arange(30) / 100)
    aligned = _build(path)
    aligned.set_aligned_timestamps(np.arange(30.0))
    aligned.add_to_nwbfile(empty_nwbfile())


@pytest.mark.parametrize("ending", [".h5", ".csv"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coords": ("x", "y", "z")}, "3-D"),
        ({"coords": ("x", "y", "z", "likelihood")}, "3-D"),
        ({"coords": ("x", "y"), "index": [f"labeled-data/a/img{i:04}.png" for i in range(30)]}, "made by hand"),
        ({"coords": ("x", "y")}, "other coordinates"),
        ({"coords": ("x", "likelihood", "y")}, "other coordinates"),
    ],
)
def test_what_readers_would_take_for_a_prediction(tmp_path, ending, options, message):
    path = write_table(tmp_path / f"a{ending}", make_table(**options))
    problems = guard_source("DeepLabCutInterface", {"file_path": path})
    assert len(problems) == 1
    assert message in problems[0].what
    with pytest.raises(SourceError):
        _build(path)


def test_labels_with_an_index_of_tuples(tmp_path):
    """As DeepLabCut writes them since 2.2."""
    index = pd.MultiIndex.from_tuples([("labeled-data", "a", f"img{i}.png") for i in range(30)])
    path = tmp_path / "CollectedData.h5"
    make_table(coords=("x", "y"), index=index).to_hdf(path, key="df_with_missing", mode="w")
    assert "made by hand" in guard_source("DeepLabCutInterface", {"file_path": path})[0].what


def test_several_animals(tmp_path):
    table = make_table(individuals=("m1", "m2"))
    path = write_table(tmp_path / "a.h5", table)
    nwbfile = empty_nwbfile()
    _build(path, subject_name="m2", sampling_frequency=25.0).add_to_nwbfile(nwbfile)
    series = nwbfile.processing["behavior"]["PoseEstimationDeepLabCut"].pose_estimation_series
    expected = table["DLC_Resnet50_x"]["m2"]["nose"][["x", "y"]]
    np.testing.assert_allclose(series["PoseEstimationSeriesNose"].data, expected)
    problems = guard_source("DeepLabCutInterface", {"file_path": write_table(tmp_path / "a.csv", table)})
    assert "several animals" in problems[0].what


@pytest.mark.parametrize(
    ("frames", "index", "options", "message"),
    [
        (30, None, {}, None),
        (29, None, {}, "more rows"),
        (31, None, {}, "fewer rows"),
        (31, None, {"allow_fewer_rows": True}, None),
        (60, range(10, 40), {"allow_fewer_rows": True}, None),
        (35, range(10, 40), {"allow_fewer_rows": True}, "fewer rows"),
    ],
)
def test_rows_against_the_frames_of_the_video(tmp_path, frames, index, options, message):
    path = write_table(tmp_path / "a.h5", make_table(index=index))
    video = write_video(tmp_path / "a.avi", frames)
    problems = guard_source("DeepLabCutInterface", {"file_path": path, "video_file_path": video, **options})
    if message is None:
        assert problems == []
    else:
        assert message in problems[0].what
        assert video.name in problems[0].expected


def test_a_file_that_could_not_be_read_is_read_again(tmp_path, monkeypatch):
    arguments = {"file_path": write_table(tmp_path / "a.h5", make_table())}

    def refuse(path):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(pd, "read_hdf", refuse)
        assert guard_source("DeepLabCutInterface", arguments)[0].found == "the disk is gone"
    assert guard_source("DeepLabCutInterface", arguments) == []


def test_what_is_no_file_of_deeplabcut(tmp_path):
    (tmp_path / "a.csv").write_text("frame,unix_time\n0,1.0\n")
    (tmp_path / "b.h5").write_bytes(b"rubbish")
    pd.DataFrame({"a": [1]}).to_hdf(tmp_path / "c.h5", key="x")
    (tmp_path / "config.yaml").write_text("Task: reach\nscorer: me\n")
    good = write_table(tmp_path / "d.h5", make_table())
    for name in ("a.csv", "b.h5", "c.h5"):
        assert (
            "not a file of DeepLabCut" in guard_source("DeepLabCutInterface", {"file_path": tmp_path / name})[0].what
        )
    arguments = {"file_path": good, "config_file_path": tmp_path / "config.yaml"}
    assert guard_source("DeepLabCutInterface", arguments)[0].found == "no video_sets"


@pytest.mark.real_data
def test_real_files(shared_data):
    pose = shared_data / "pose"

    def what(name, **arguments):
        return [p.what for p in guard_source("DeepLabCutInterface", {"file_path": pose / name, **arguments})]

    assert "3-D" in what("dlc2kinematics/reachingDEMO_3D.h5")[0]
    assert what("dlc2kinematics/reachingDEMO_2D.h5") == []
    for ending in ("h5", "csv"):
        assert "made by hand" in what(f"dlc_openfield/labeled-data/m4s1/CollectedData_Pranav.{ending}")[0]
    with pytest.raises(ClockError, match="don't count from 0"):
        _build(pose / "dlc2kinematics/reachingDEMO_2D.h5", sampling_frequency=100.0).get_timestamps()
    session = shared_data / "miniscope_session" / "regression_2d"
    video = pose / "lightning_mirror_mouse" / "180607_004.mp4"
    assert what(session / "behavior_position.csv") == []
    assert "more rows" in what(session / "behavior_position.csv", video_file_path=video)[0]


@pytest.mark.real_data
def test_the_miniscope_sessions_pose(shared_data, tmp_path):
    session = shared_data / "miniscope_session" / "regression_2d"
    stamps = np.genfromtxt(session / "behavior_timestamp.csv", delimiter=",", skip_header=1)[:, 1]
    raw = np.genfromtxt(session / "behavior_position.csv", delimiter=",", skip_header=3)
    interface = _build(session / "behavior_position.csv")
    interface.set_aligned_timestamps(stamps - stamps[0])
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        container = read.processing["behavior"]["PoseEstimationDeepLabCut"]
        series = list(container.pose_estimation_series.values())
        assert len(series) == 4
        led = container.pose_estimation_series["PoseEstimationSeriesLed"]
        np.testing.assert_array_equal(led.data[:], raw[:, 1:3])
        np.testing.assert_array_equal(led.confidence[:], raw[:, 3])
        np.testing.assert_array_equal(led.timestamps[:], stamps - stamps[0])
