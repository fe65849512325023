"""Frames of session files to a DeepLabCut project, labels back into the files, and out again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from pynwb import NWBHDF5IO, validate
from pynwb.image import ImageSeries

import nwbpipe
from nwbpipe.errors import FileAccessError, InputError, RequestError, ResultExistsError
from nwbpipe.processors.pose._deeplabcut_project import read_labelled_project
from nwbpipe.review import export_pose_labels, import_pose_labels, new_pose_project
from nwbpipe.review._pose_project import choose_frames
from nwbpipe.review._pose_videos import open_videos
from nwbpipe.session import SessionFile
from nwbpipe.simulate import BodyTruth, label_pose_project, simulate_body_video
from tests.processors.pose.conftest import write_video_session

PARTS = ("snout", "tailbase")
NAMES = ("M1_a_VideoTop", "M1_b_VideoTop")


@pytest.fixture(scope="module")
def labelled_lab(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[BodyTruth]]:
    """Two sessions, one with its frames in the NWB file, and a labelled project of their frames."""
    folder = tmp_path_factory.mktemp("labels") / "lab"
    folder.mkdir()
    truths = [
        simulate_body_video(folder / f"{name}.avi", seed=number, n_frames=24) for number, name in enumerate("ab")
    ]
    write_video_session(folder / "a.nwb", truths[0])
    with open_videos(SessionFile.at(folder / "a.nwb")) as (video,):
        assert (video.name, video.n_frames) == (NAMES[0], 24)
    from nwbpipe.processors.pose._video_frames import iter_video

    write_video_session(
        folder / "b.nwb", truths[1], data=np.stack(list(iter_video(str(truths[1].video)))), session_id="b"
    )
    made = new_pose_project(
        folder / "box", [folder / "a.nwb", folder / "b.nwb"], bodyparts=PARTS, skeleton=[PARTS], n_frames=5
    )
    assert made.images == dict.fromkeys(NAMES, 5)
    label_pose_project(folder / "box", dict(zip(NAMES, truths, strict=True)))
    return folder, truths


@pytest.fixture
def lab(labelled_lab: tuple[Path, list[BodyTruth]], tmp_path: Path) -> Path:
    """A copy of the lab."""
    return Path(shutil.copytree(labelled_lab[0], tmp_path / "lab"))


def read_images(project: Path) -> dict[str, bytes]:
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in project.glob("labeled-data/*/*.png")}


def test_labels_go_into_session_files_and_come_out_as_they_were(lab: Path) -> None:
    before = read_labelled_project(lab / "box")
    assert any(point == (None, None) for frame in before.frames for point in frame.points)
    imported = import_pose_labels(lab / "box", [lab / "a.nwb", lab / "b.nwb"])
    assert sum(labels.frames for labels in imported.values()) == len(before.frames)
    made = export_pose_labels(lab / "again", [lab / "a.nwb", lab / "b.nwb"])
    after = read_labelled_project(made.config.parent)
    assert (after.bodyparts, after.skeleton, after.scorer) == (before.bodyparts, before.skeleton, before.scorer)
    assert after.frames == before.frames  # with the digests of the images
    assert after.identity == before.identity
    images = read_images(lab / "box")
    assert read_images(lab / "again") == {frame.name: images[frame.name] for frame in before.frames}
    tables = [
        pd.read_hdf(lab / name / f"labeled-data/{NAMES[0]}/CollectedData_nwbpipe.h5") for name in ("box", "again")
    ]
    pd.testing.assert_frame_equal(tables[0].dropna(how="all"), tables[1])
    # And into the files again: nothing to do.
    again = import_pose_labels(lab / "again", [lab / "a.nwb", lab / "b.nwb"], replace=True)
    assert not any(labels.fresh for labels in again.values())


def test_labels_of_several_animals_come_out_as_they_were(tmp_path: Path) -> None:
    truth = simulate_body_video(tmp_path / "pair.avi", seed=1, n_frames=12, animals=2)
    file = write_video_session(tmp_path / "pair.nwb", truth)
    parts, names = truth.bodyparts, truth.individuals
    new_pose_project(tmp_path / "box", [file], bodyparts=parts, individuals=names, n_frames=4)
    label_pose_project(tmp_path / "box", {NAMES[0]: truth})
    before = read_labelled_project(tmp_path / "box")
    assert before.individuals == ("mouse1", "mouse2")
    assert all(len(frame.points) == 8 for frame in before.frames)
    import_pose_labels(tmp_path / "box", [file])
    with NWBHDF5IO(file, "r") as io:
        training = io.read().processing["behavior"]["PoseTraining_labels"]
        frame = next(iter(training.training_frames.training_frames.values()))
        animals = frame.skeleton_instances.skeleton_instances
        assert {name: int(animal.id) for name, animal in animals.items()} == {"mouse1": 0, "mouse2": 1}
        assert animals["mouse2"].node_locations.shape == (4, 2)
    assert validate(path=str(file)) == []
    export_pose_labels(tmp_path / "again", [file])
    after = read_labelled_project(tmp_path / "again")
    assert (after.individuals, after.frames, after.identity) == (before.individuals, before.frames, before.identity)
    for path in (tmp_path / "again/config.yaml", *tmp_path.glob("again/labeled-data/*/*.csv")):
        path.write_text(path.read_text().replace("mouse2", "mouse:2"))
    with pytest.raises(InputError, match="name can't be that of an object"):
        import_pose_labels(tmp_path / "again", [file], replace=True)
    with pytest.raises(RequestError, match="need a name each"):
        new_pose_project(tmp_path / "one", [file], bodyparts=parts, individuals=["a", "a"])
    with pytest.raises(RequestError, match="two keypoints or more"):
        new_pose_project(tmp_path / "one", [file], bodyparts=["a"], individuals=["a", "b"])


def test_what_is_written_is_valid_and_says_whose_labels_they_are(
    lab: Path, labelled_lab: tuple[Path, list[BodyTruth]]
) -> None:
    (imported,) = import_pose_labels(lab / "box", [lab / "a.nwb"]).values()
    assert nwbpipe.check(lab / "a.nwb").in_order
    record, truth = imported.record, labelled_lab[1][0]
    assert (record.processor, record.tool, record.parameters["who"]) == ("curation", "person", "nwbpipe")
    assert record.sources[0]["path"] == f"labeled-data/{NAMES[0]}/CollectedData_nwbpipe.csv"
    with NWBHDF5IO(lab / "a.nwb", "r") as io:
        nwbfile = io.read()
        training = nwbfile.processing["behavior"]["PoseTraining_labels"]
        for frame in training.training_frames.training_frames.values():
            number = int(frame.source_video_frame_index)
            (instance,) = frame.skeleton_instances.skeleton_instances.values()
            seen = truth.visible[number]
            np.testing.assert_array_equal(instance.node_visibility[:], seen)
            np.testing.assert_array_equal(instance.node_locations[:][seen], truth.keypoints[number][seen])
            assert np.isnan(instance.node_locations[:][~seen]).all()
            assert frame.source_video is nwbfile.acquisition["VideoTop"]
            assert list(instance.skeleton.nodes[:]) == list(PARTS)


def test_other_series_of_a_session_need_not_be_usable(lab: Path) -> None:
    with nwbpipe.transaction(lab / "a.nwb") as nwbfile:
        nwbfile.add_acquisition(ImageSeries(name="Deep", unit="n.a.", data=np.zeros((3, 4, 4), "uint16"), rate=30.0))
        nwbfile.add_acquisition(ImageSeries(
            name="Gone", unit="n.a.", external_file=["gone.avi"], format="external", starting_frame=[0], rate=30.0,
            num_samples=9,
        ))  # fmt: skip
    assert import_pose_labels(lab / "box", [lab / "a.nwb"])[str(lab / "a.nwb")].fresh
    assert set(export_pose_labels(lab / "again", [lab / "a.nwb"]).images) == {NAMES[0]}


def test_a_folder_below_a_file_is_refused(lab: Path) -> None:
    (lab / "notes").write_text("a file")
    with pytest.raises(FileAccessError, match="can't be made"):
        new_pose_project(lab / "notes" / "new", [lab / "a.nwb"], bodyparts=PARTS)
    assert (lab / "notes").read_text() == "a file"


def test_a_video_with_another_number_of_frames_than_the_file_says_is_refused(lab: Path) -> None:
    with h5py.File(lab / "a.nwb", "a") as file:
        times = file["acquisition/VideoTop/timestamps"][:]
        del file["acquisition/VideoTop/timestamps"]
        file["acquisition/VideoTop/starting_time"] = 0.0
        file["acquisition/VideoTop/starting_time"].attrs.update({"rate": 30.0, "unit": "seconds"})
    with pytest.raises(InputError, match="does not say how many frames"):  # files of pynwb 2 have no num_samples
        new_pose_project(lab / "new", [lab / "a.nwb"], bodyparts=PARTS)
    with nwbpipe.transaction(lab / "a.nwb") as nwbfile:
        nwbfile.add_acquisition(ImageSeries(
            name="Fewer", unit="n.a.", external_file=["a.avi"], format="external", starting_frame=[0],
            timestamps=times[:-2],
        ))  # fmt: skip
    with pytest.raises(InputError, match="can't be used") as caught:
        new_pose_project(lab / "new", [lab / "a.nwb"], bodyparts=PARTS, n_frames=5, videos="Fewer")
    assert "24 frames, but its ImageSeries has 22" in str(caught.value)
    assert not (lab / "new").exists()


def test_other_labels_need_replace(lab: Path) -> None:
    table = lab / "box/labeled-data" / NAMES[0] / "CollectedData_nwbpipe.csv"
    assert import_pose_labels(lab / "box", [lab / "a.nwb"])[str(lab / "a.nwb")].fresh
    assert not import_pose_labels(lab / "box", [lab / "a.nwb"])[str(lab / "a.nwb")].fresh
    value = next(cell for cell in table.read_text().splitlines()[3].split(",")[3:] if cell)
    table.write_text(table.read_text().replace(value, "33.5", 1))
    with pytest.raises(ResultExistsError, match="has labels already"):
        import_pose_labels(lab / "box", [lab / "a.nwb"])
    assert import_pose_labels(lab / "box", [lab / "a.nwb"], replace=True)[str(lab / "a.nwb")].fresh
    assert 33.5 in [p for f in read_labelled_project(lab / "box").frames for point in f.points for p in point]
    with NWBHDF5IO(lab / "a.nwb", "r") as io:
        frames = io.read().processing["behavior"]["PoseTraining_labels"].training_frames.training_frames.values()
        values = [i.node_locations[:] for f in frames for i in f.skeleton_instances.skeleton_instances.values()]
    assert 33.5 in np.concatenate(values)


def change_table(lab: Path, old: str, new: str) -> None:
    path = lab / "box/labeled-data" / NAMES[0] / "CollectedData_nwbpipe.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def move_label_outside(lab: Path) -> None:
    path = lab / "box/labeled-data" / NAMES[0] / "CollectedData_nwbpipe.csv"
    table = pd.read_csv(path, header=[0, 1, 2], index_col=[0, 1, 2])
    table.iloc[0, 0:2] = [161.0, 20.0]
    table.to_csv(path)


def rename_image(lab: Path) -> None:
    image = sorted((lab / "box/labeled-data" / NAMES[0]).glob("*.png"))[0]
    image.rename(image.with_name("img99.png"))
    change_table(lab, image.name, "img99.png")


def paint_image(lab: Path) -> None:
    images = sorted((lab / "box/labeled-data" / NAMES[0]).glob("*.png"))
    images[0].write_bytes(images[1].read_bytes())


def change_list(lab: Path) -> None:
    text = json.loads((lab / "box/nwbpipe.json").read_text())
    for values in text["videos"][NAMES[0]]["images"].values():
        values["frame"] = (values["frame"] + 1) % 24
    (lab / "box/nwbpipe.json").write_text(json.dumps(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (move_label_outside, "outside of its image"),
        (rename_image, "not one that nwbpipe took"),
        (paint_image, "was changed since"),
        (change_list, "not one that nwbpipe took"),
        (lambda lab: (lab / "box/nwbpipe.json").unlink(), "does not say which session's video"),
        (lambda lab: (lab / "box/nwbpipe.json").write_text('{"videos": [1]}'), "list of frames can't be read"),
        (lambda lab: simulate_body_video(lab / "a.avi", seed=5, n_frames=24), "other content than when"),
    ],
)
def test_labels_that_do_not_fit_are_refused_and_nothing_is_written(lab: Path, change, message: str) -> None:
    change(lab)
    before = [(lab / name).read_bytes() for name in ("a.nwb", "b.nwb")]
    with pytest.raises(InputError, match=message):
        import_pose_labels(lab / "box", [lab / "b.nwb", lab / "a.nwb"])
    assert [(lab / name).read_bytes() for name in ("a.nwb", "b.nwb")] == before


def test_files_of_other_sessions_are_refused(lab: Path, tmp_path: Path) -> None:
    truth = simulate_body_video(tmp_path / "c.avi", n_frames=3)
    write_video_session(tmp_path / "c.nwb", truth, session_id="c")
    with pytest.raises(InputError, match="no labelled frame of this session"):
        import_pose_labels(lab / "box", [tmp_path / "c.nwb"])
    with pytest.raises(InputError, match="no labels of that name"):
        export_pose_labels(tmp_path / "new", [tmp_path / "c.nwb"])
    assert not (tmp_path / "new").exists()
    with pytest.raises(RequestError, match="there already"):
        export_pose_labels(lab / "box", [lab / "a.nwb"])
    with pytest.raises(RequestError, match="not named"):
        new_pose_project(tmp_path / "new", [lab / "a.nwb"], bodyparts=["snout"], skeleton=[PARTS])
    assert not list(tmp_path.glob(".*partial"))


def test_times_that_are_aligned_later_do_not_matter(lab: Path) -> None:
    with nwbpipe.transaction(lab / "a.nwb") as nwbfile:
        nwbfile.acquisition["VideoTop"].timestamps[:] += 1.0
    assert import_pose_labels(lab / "box", [lab / "a.nwb"])


@pytest.mark.parametrize("noise", [1, 4])
def test_kmeans_takes_frames_that_look_different(tmp_path: Path, noise: int) -> None:
    """A video that stands still, with or without noise, but for two moments: these are among few frames."""
    frames = 90 + np.random.default_rng(0).integers(0, noise, (40, 32, 48, 3), np.uint8)
    frames[7, :16], frames[30, :, 24:] = 255, 0
    truth = simulate_body_video(tmp_path / "v.avi", n_frames=40)
    write_video_session(tmp_path / "s.nwb", truth, data=frames)
    with open_videos(SessionFile.at(tmp_path / "s.nwb")) as (video,):
        chosen = choose_frames(video, 4, "kmeans", 0)
        assert {7, 30} <= set(chosen)
        assert len(chosen) == 4
        assert choose_frames(video, 4, "kmeans", 0) == chosen
        uniform = choose_frames(video, 4, "uniform", 0)
        assert len(set(uniform)) == 4
        assert choose_frames(video, 99, "kmeans", 0) == list(range(40))
