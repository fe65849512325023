"""Parts of the compute modules that need no DeepLabCut: frames of videos, the split, the errors."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.processors.pose import _deeplabcut_train_compute as training
from nwbpipe.processors.pose import _training, _video_frames
from nwbpipe.processors.pose._deeplabcut_model import read_snapshot
from nwbpipe.simulate import simulate_body_video
from tests.processors.face.simulated_face import simulate_face


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    paths = [folder / "a.avi", folder / "b.avi"]
    for seed, path in enumerate(paths):
        simulate_body_video(path, seed=seed, n_frames=6 + seed)
    return [str(path) for path in paths]


def external(*paths):
    return {"external_files": list(paths), "data": None}


def test_files_follow_one_another(videos):
    frames = list(_video_frames.iter_frames(external(*videos), [0, 6]))
    assert len(frames) == 13
    assert frames[0].shape == (160, 160, 3)
    np.testing.assert_array_equal(frames[6], next(_video_frames.iter_video(videos[1])))
    with pytest.raises(ValueError, match=r"b\.avi starts at frame 6, but starting_frame says 7"):
        list(_video_frames.iter_frames(external(*videos), [0, 7]))


def test_fewer_packets_than_frames_are_refused_before_the_tool_starts(videos):
    _video_frames.check_packets(external(*videos), 13)
    with pytest.raises(ValueError, match="the video has 13 frames, but its ImageSeries has 14"):
        _video_frames.check_packets(external(*videos), 14)


def test_a_damaged_video_is_refused(videos, tmp_path):
    whole = Path(videos[0]).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"has \d frames, but its ImageSeries has 6"):
        _video_frames.check_packets(external(str(tmp_path / "cut.avi")), 6)
    (tmp_path / "text.avi").write_bytes(b"not a video" * 100)
    with pytest.raises(ValueError, match=r"the video text\.avi can't be read"):
        _video_frames.check_packets(external(str(tmp_path / "text.avi")), 6)


def test_two_sizes_are_refused(videos, tmp_path):
    (other,) = simulate_face(tmp_path, [4]).files
    with pytest.raises(ValueError, match=r"differ in frame size: a\.avi is 160 x 160, face_0\.avi is 120 x 88"):
        list(_video_frames.iter_frames(external(videos[0], str(other)), None))


@pytest.mark.parametrize("colours", [(), (3,)])
def test_frames_in_the_file_are_rgb(tmp_path, colours):
    data = np.random.default_rng(0).integers(0, 256, (40, 8, 10, *colours), dtype=np.uint8)
    with h5py.File(tmp_path / "s.nwb", "w") as file:
        file["data"] = data
    item = {"external_files": [], "file": str(tmp_path / "s.nwb"), "data": "data"}
    frames = np.stack(list(_video_frames.iter_frames(item, None)))
    np.testing.assert_array_equal(frames, data if colours else np.repeat(data[..., None], 3, axis=3))


def test_a_crop_outside_of_the_frame_is_refused():
    image = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(_video_frames.crop_image(image, [[1, 3], [0, 2]]), [[1, 2], [7, 8]])
    with pytest.raises(ValueError, match="outside of the frame of 6 x 4 pixels"):
        _video_frames.crop_image(image, [[1, 7], [0, 2]])


def split(count=20, seed=0, **params):
    facts = {"frames": [{"name": f"v/{index:02d}.png"} for index in range(count)]}
    params = {"test_frames": [], "shuffle": 1, "train_fraction": 0.8, "batch_size": 2, **params}
    return _training.split_frames(facts, params, seed)


def test_the_split_is_that_of_seed_and_shuffle():
    train, test = split()
    assert sorted(train + test) == list(range(20))
    assert len(test) == 4
    assert split() == (train, test)
    assert split(shuffle=2) != (train, test) != split(seed=1)
    assert split(test_frames=["v/03.png"])[1] == [3]
    with pytest.raises(ValueError, match="no labelled frame is called v/x"):
        split(test_frames=["v/x"])
    with pytest.raises(ValueError, match=r"16 of 20 labelled frames are left for training, and batch_size is 17"):
        split(batch_size=17)


def test_labels_outside_of_the_image_are_refused():
    frame = {"name": "v/0.png", "points": [[None, None], [12.0, 3.0]]}
    _training.check_labels(frame, ["a", "b"], 12, 8)
    with pytest.raises(ValueError, match=r"the label b of v/0\.png is at x 12, y 3, outside of the image of 10 x 8"):
        _training.check_labels(frame, ["a", "b"], 10, 8)


def test_errors_are_distances_with_and_without_the_cutoff():
    labels = np.array([[[0, 0], [0, 0]], [[0, 0], [np.nan, np.nan]]], dtype=float)
    predicted = np.array([[[3, 4, 0.9], [0, 1, 0.9]], [[0, 10, 0.1], [5, 5, 0.9]]], dtype=float)
    errors = _training.measure_errors(predicted, labels, ["a", "b"], 0.6)
    assert errors["a"]["all"] == {"n": 2, "rmse": round(np.sqrt(62.5), 4), "mean": 7.5}
    assert errors["a"]["above_cutoff"] == {"n": 1, "rmse": 5.0, "mean": 5.0}
    assert errors["b"]["all"] == {"n": 1, "rmse": 1.0, "mean": 1.0}
    assert errors["all_above_cutoff"]["n"] == 2


def test_the_best_snapshot_is_taken(tmp_path):
    with pytest.raises(ValueError, match="has no weights"):
        read_snapshot(tmp_path)
    for name in ("snapshot-020.pt", "snapshot-best-010.pt", "snapshot-best-005.pt"):
        (tmp_path / name).touch()
    assert read_snapshot(tmp_path).name == "snapshot-best-010.pt"
    assert training.find_snapshots(tmp_path)["last"].name == "snapshot-020.pt"
    (tmp_path / "snapshot-best.pt").touch()
    assert read_snapshot(tmp_path).name == "snapshot-best.pt"
