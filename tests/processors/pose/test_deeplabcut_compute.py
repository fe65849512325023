"""Parts of the compute modules that need no DeepLabCut: frames of videos, the split, the errors."""

import logging
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.processors.pose import _deeplabcut_checkpoint as checkpoints
from nwbpipe.processors.pose import _deeplabcut_load_compute as loading
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


def test_a_video_that_players_turn_is_refused(tmp_path):
    import av

    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 64, 3), dtype=np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode()])
    assert len(list(_video_frames.iter_video(str(path)))) == 1
    content = path.read_bytes()
    matrix = content.index(b"tkhd") + 44  # of the track's header
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content[:matrix] + turned + content[matrix + 36 :])
    with pytest.raises(ValueError, match=r"phone\.mp4 says that it is to be shown turned by -90 degrees"):
        next(_video_frames.iter_video(str(path)))


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


def split(count=20, seed=0, distinct=100, **params):
    facts = {"frames": [{"name": f"v/{index:02d}.png", "image": str(index % distinct)} for index in range(count)]}
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


def test_an_image_to_train_on_is_none_to_test_on():
    with pytest.raises(ValueError, match=r"v/19\.png, to test on, is the same image as v/00\.png, to train on"):
        split(distinct=19, test_frames=["v/19.png"])
    assert split(distinct=19, test_frames=["v/00.png", "v/19.png"])[1] == [0, 19]


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


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (["a"], "has no keypoints"),
        ({"metadata": {"bodyparts": []}}, "has no keypoints"),
        ({"method": "td", "metadata": {"bodyparts": ["a"]}}, "of the method td"),
        ({"metadata": {"bodyparts": ["a"], "unique_bodyparts": ["corner"]}}, "of no animal"),
        ({"metadata": {"bodyparts": ["a"], "individuals": ["x", "y"], "with_identity": True}}, "identity: true"),
        (
            {
                "metadata": {"bodyparts": ["a"], "individuals": ["x", "y"]},
                "model": {"heads": {"bodypart": {"predictor": {"type": "DEKRPredictor"}}}},
            },
            "assembled by DEKRPredictor",
        ),
    ],
)
def test_other_models_are_not_taken(config, message):
    with pytest.raises(ValueError, match=message):
        loading.check_config(config)
    assert loading.check_config({"method": "bu", "metadata": {"bodyparts": ["a"]}})["bodyparts"] == ["a"]


def test_the_best_snapshot_is_taken(tmp_path):
    with pytest.raises(ValueError, match="has no weights"):
        read_snapshot(tmp_path)
    for name in ("snapshot-020.pt", "snapshot-best-010.pt", "snapshot-best-005.pt"):
        (tmp_path / name).touch()
    assert read_snapshot(tmp_path).name == "snapshot-best-010.pt"
    (tmp_path / "snapshot-best.pt").touch()
    assert read_snapshot(tmp_path).name == "snapshot-best.pt"


def write_snapshots(folder, **contents):
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / f"snapshot-{name.replace('_', '-')}.pt").write_text(text)


def test_a_training_goes_on_from_the_newest_whole_checkpoint(tmp_path):
    train, stages, notes = (
        tmp_path / "train",
        tmp_path / "stages",
        {"started_from": "random numbers", "resumed_at": []},
    )
    write_snapshots(train)
    checkpoints.keep_checkpoint(train, stages, notes)
    assert checkpoints.find_checkpoint(stages) is None
    write_snapshots(train, **{"005": "five", "best_010": "ten"})
    (train / "learning_stats.csv").write_text("step")
    checkpoints.keep_checkpoint(train, stages, notes)
    checkpoints.keep_checkpoint(train, stages, notes)  # nothing is newer
    (stages / "epoch-000099.partial").mkdir()  # ended while it was written
    checkpoint = checkpoints.find_checkpoint(stages)
    assert (checkpoint.epoch, checkpoint.best, checkpoint.notes) == (10, 10, notes)
    assert (checkpoint.folder / "newest.pt").read_text() == "ten"
    write_snapshots(train, **{"015": "fifteen"})
    checkpoints.keep_checkpoint(train, stages, notes)
    checkpoint = checkpoints.find_checkpoint(stages)
    assert (checkpoint.epoch, checkpoint.best) == (15, 10)
    assert sorted(path.name for path in stages.iterdir()) == ["epoch-000015"]
    # The next try, in an empty folder, has a best one that is worse than that of the first.
    again = tmp_path / "again"
    write_snapshots(again, **{"best_020": "twenty", "025": "last"})
    curve = [{"epoch": 10.0, "test_mAP": 90.0}, {"epoch": 20.0, "test_mAP": 80.0}]
    chosen = checkpoints.choose_snapshots(again, checkpoint, curve)
    assert (chosen["best_epoch"], chosen["best"].read_text(), chosen["last"].read_text()) == (10, "ten", "last")
    curve[1]["test_mAP"] = 95.0
    assert checkpoints.choose_snapshots(again, checkpoint, curve)["best_epoch"] == 20
    assert checkpoints.choose_snapshots(tmp_path / "none", checkpoint, [])["last"].read_text() == "fifteen"


def test_the_last_snapshot_may_be_the_best(tmp_path):
    write_snapshots(tmp_path, **{"010": "a", "best_020": "b"})
    chosen = checkpoints.choose_snapshots(tmp_path, None, [])
    assert (chosen["best"].read_text(), chosen["last"].read_text(), chosen["best_epoch"]) == ("b", "b", 20)


def test_each_epoch_is_shown_and_kept(caplog):
    shown, kept = [], []
    follow = training.FollowEpochs(lambda part, text: shown.append((round(part, 3), text)), lambda: kept.append(1))
    logger = logging.getLogger()
    logger.addFilter(follow)
    with caplog.at_level(logging.INFO):
        logging.info("Training for epoch 2 done, starting evaluation")
        logging.info("Epoch 2/4 (lr=0.001), train loss 0.01196, valid loss 0.02")
    logger.removeFilter(follow)
    assert shown == [(0.485, "epoch 2 of 4, loss 0.01196")]
    assert kept == [1]
    assert len(caplog.records) == 2


def track(videos, path, frames, crop=None):
    """Track with a network that finds two keypoints at the corner of what it sees, the second likely in one frame."""
    shapes = []

    def predict(images):
        shapes.append((len(images), images[0].shape))
        poses = np.zeros((len(images), 2, 3))
        poses[:, 0, 2] = 0.9
        poses[0, 1, 2] = 0.9 if len(shapes) == 1 else 0.0
        return poses

    request = {
        "inputs": {"video": external(*videos)},
        "params": {"crop": crop},
        "facts": {"frames": frames, "starting_frame": [0, 6], "likelihood_cutoff": 0.6, "bodyparts": ["a", "b"]},
    }
    with h5py.File(path, "w") as results:
        tracked = _video_frames.track_frames(request, predict, 4, results, lambda *_: None)
        return tracked, results["poses"][:], shapes


def test_blocks_of_frames_are_tracked_and_counted(videos, tmp_path):
    tracked, poses, shapes = track(videos, tmp_path / "r.h5", 13, crop=[[20, 60], [10, 100]])
    assert tracked == {"frames": 13, "sure": {"a": 1.0, "b": round(1 / 13, 4)}}
    assert shapes == [(4, (90, 40, 3))] * 3 + [(1, (90, 40, 3))]
    assert poses.dtype == np.float32
    np.testing.assert_array_equal(poses[..., :2], np.broadcast_to([20, 10], (13, 2, 2)))


@pytest.mark.parametrize("frames", [12, 14])
def test_another_number_of_frames_than_the_series_is_refused(videos, tmp_path, frames):
    with pytest.raises(ValueError, match=f"the video has 13 frames, but its ImageSeries has {frames}"):
        track(videos, tmp_path / "r.h5", frames)
