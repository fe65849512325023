"""Labelled frames of session files as inputs of training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest

from nwbpipe.errors import InputError
from nwbpipe.processors import Context, Results, processor
from nwbpipe.processors.pose._deeplabcut_project import read_labelled_project
from nwbpipe.processors.pose._labelled_images import gather_frames, store_labels
from nwbpipe.processors.pose._models import write_model
from nwbpipe.project import Project
from nwbpipe.review import import_pose_labels, new_pose_project
from nwbpipe.run._prepare import prepare_run
from nwbpipe.run._serve import serve_inputs
from nwbpipe.session import SessionFile
from nwbpipe.simulate import label_pose_project, simulate_body_video
from tests.fixtures.projects import HEAD
from tests.processors.pose.conftest import write_video_session

TOML = (
    HEAD
    + """\
[steps.model]
processor = "facemap_train"
scope = "project"
inputs.labels = "PoseTraining_labels"
inputs.video = "acquisition/*"
"""
)
BINDINGS = {"labels": "PoseTraining_labels", "video": "acquisition/*"}


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three sessions; frames of two are labelled."""
    folder = tmp_path_factory.mktemp("sessions")
    (folder / "nwb").mkdir()
    truths = {}
    for number, name in enumerate("abc"):
        truth = simulate_body_video(folder / "nwb" / f"{name}.avi", seed=number, n_frames=12)
        write_video_session(folder / "nwb" / f"{name}.nwb", truth, session_id=name)
        truths[f"M1_{name}_VideoTop"] = truth
    truths.popitem()
    files = [folder / "nwb" / "a.nwb", folder / "nwb" / "b.nwb"]
    new_pose_project(
        folder / "box", files, bodyparts=["snout", "tailbase"], skeleton=[("snout", "tailbase")], n_frames=4
    )
    label_pose_project(folder / "box", truths)
    import_pose_labels(folder / "box", files)
    (folder / "nwbpipe.toml").write_text(TOML)
    return folder


def prepare_session(file: Path, scratch: Path) -> dict:
    session = SessionFile.at(file)
    prepared = prepare_run(session, processor("deeplabcut_train"), Context("model", None, {}), BINDINGS)
    with serve_inputs(session, prepared.descriptions, scratch) as (inputs, _):
        return {"inputs": inputs, "facts": json.loads(json.dumps(dict(prepared.context.facts)))}


def test_frames_of_sessions_are_those_of_the_project(labels: Path, tmp_path: Path) -> None:
    project = read_labelled_project(labels / "box")
    sessions = [prepare_session(labels / "nwb" / name, tmp_path) for name in ("b.nwb", "a.nwb")]
    request = {"sessions": sessions, "inputs": {}, "facts": {}, "scratch": str(tmp_path)}
    facts = gather_frames(request)
    assert (tuple(facts["bodyparts"]), facts["skeleton"]) == (project.bodyparts, [["snout", "tailbase"]])
    assert [frame["name"] for frame in facts["frames"]] == [frame.name for frame in project.frames]
    assert [frame["image"] for frame in facts["frames"]] == [frame.image for frame in project.frames]
    assert [tuple(map(tuple, frame["points"])) for frame in facts["frames"]] == [f.points for f in project.frames]
    for frame in facts["frames"]:
        assert Path(frame["file"]).read_bytes() == (labels / "box/labeled-data" / frame["name"]).read_bytes()
    # What was trained on is in the artefact, without places on this machine.
    params = SimpleNamespace(likelihood_cutoff=0.6)
    with h5py.File(tmp_path / "results.h5", "w") as arrays:
        arrays.create_group("files")
        store_labels(arrays, facts)
        (tmp_path / "model").mkdir()
        results = Results(arrays, {"learning_curve": [{"epoch": 1.0}]})
        write_model(tmp_path / "model", results, Context("model", params, {}))
    index = json.loads((tmp_path / "model/training_index.json").read_text())
    assert index == {frame.name: {"image": frame.image, "labels": frame.labels} for frame in project.frames}
    assert json.loads((tmp_path / "model/model.json").read_text())["bodyparts"] == ["snout", "tailbase"]


def test_a_project_and_sessions_together(labels: Path, tmp_path: Path) -> None:
    from dataclasses import asdict

    session, project = prepare_session(labels / "nwb/a.nwb", tmp_path), read_labelled_project(labels / "box")
    folder = {"project": {"folder": str(labels / "box")}}
    request = {"sessions": [session], "inputs": folder, "facts": asdict(project), "scratch": str(tmp_path)}
    with pytest.raises(ValueError, match="two labelled frames are called M1_a_VideoTop"):
        gather_frames(request)
    other = [frame for frame in asdict(project)["frames"] if frame["name"].startswith("M1_b")]
    facts = gather_frames({**request, "facts": {**request["facts"], "frames": other}})
    assert len(facts["frames"]) == len(project.frames)
    with pytest.raises(ValueError, match="of other keypoints: nose, and snout, tailbase"):
        gather_frames({**request, "facts": {**request["facts"], "frames": other, "bodyparts": ["nose"]}})
    with pytest.raises(ValueError, match="no labelled frames: bind"):
        gather_frames({"inputs": {}, "facts": {}, "sessions": [], "scratch": str(tmp_path)})


def test_sessions_without_labels_are_left_out_and_a_changed_label_is_another_key(
    labels: Path, tmp_path: Path
) -> None:
    lab = Path(shutil.copytree(labels, tmp_path / "lab"))

    def find_state():
        states = [state for plan in Project(lab).status().plans for state in plan.steps]
        return next(state for state in states if state.step == "model")

    first = find_state()
    assert sorted(session for session, _ in first.session_inputs) == ["M1/a", "M1/b"]
    table = lab / "box/labeled-data/M1_a_VideoTop/CollectedData_nwbpipe.csv"
    x = next(cell for cell in table.read_text().splitlines()[3].split(",")[3:] if cell)
    table.write_text(table.read_text().replace(x, f"{(float(x) + 80) % 160}", 1))
    import_pose_labels(lab / "box", [lab / "nwb/a.nwb"], replace=True)
    assert find_state().key not in ("", first.key)


def test_a_labelled_video_that_is_not_bound_is_refused(labels: Path) -> None:
    method, session = processor("facemap_train"), SessionFile.at(labels / "nwb/a.nwb")
    with pytest.raises(Exception, match="a video that is not bound") as caught:
        prepare_run(session, method, Context("model", None, {}), {"labels": "PoseTraining_labels"})
    assert "VideoTop" in str(caught.value)


def test_sessions_with_other_keypoints_are_refused() -> None:
    method = processor("facemap_train")
    with pytest.raises(Exception, match="of other keypoints"):
        method.check([{"bodyparts": ["a"], "individuals": []}, {}, {"bodyparts": ["b"], "individuals": []}])
    method.check([{"bodyparts": ["a"], "individuals": []}, {}, {"bodyparts": ["a"], "individuals": []}])
    with pytest.raises(InputError, match="of other animals"):
        method.check([{"bodyparts": ["a"], "individuals": ["m", "n"]}, {"bodyparts": ["a"], "individuals": []}])


def test_labels_of_several_animals_are_not_for_a_network_of_one() -> None:
    with pytest.raises(InputError, match="facemap_train learns one"):
        processor("facemap_train")._check_animals(["m", "n"], "box")
    processor("deeplabcut_train")._check_animals(["m", "n"], "box")
