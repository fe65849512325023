"""Facemap's network for keypoints: what is refused, and, where Facemap is there, simulated videos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO

from nwbpipe.errors import InputError, RequestError, ToolError
from nwbpipe.processors import Processor
from nwbpipe.processors.pose import DeepLabCut, FacemapKeypoints, FacemapModel, FacemapTrain, FacemapTrainParams
from nwbpipe.processors.pose._facemap_train_compute import load_start
from nwbpipe.project import Project, load_model
from nwbpipe.run import load
from nwbpipe.simulate import BodyTruth, _body
from tests.fixtures.projects import Inline, table
from tests.processors.pose.conftest import write_lab

FLOOR_PX = 1.5
CROPPED = """
[steps.part]
processor = "facemap_keypoints"
inputs.model = "model"
params = { crop = [[0, 160], [20, 141]], batch_size = 5 }
"""


def write_face_lab(folder: Path, params: str, steps: str = "", **sizes: int) -> BodyTruth:
    """Write the lab of DeepLabCut's tests, with Facemap's steps in the place of its own."""
    truth = write_lab(folder, params, **sizes)
    path = folder / "nwbpipe.toml"
    text = (
        path.read_text().replace("deeplabcut_train", "facemap_train").replace('"deeplabcut"', '"facemap_keypoints"')
    )
    path.write_text(text + steps)
    return truth


def read_artefact(lab: Path) -> tuple[Path, dict[str, Any]]:
    (record,) = (lab / "models/model").glob("*/*.json")
    (folder,) = (path for path in record.parent.iterdir() if path.is_dir())
    return folder, json.loads((folder / "model.json").read_text())


def read_errors(lab: Path, step: str, truth: BodyTruth) -> dict[str, np.ndarray]:
    """Return the distance of each keypoint that is seen from its true position."""
    with NWBHDF5IO(lab / "nwb/s1.nwb", "r") as io:
        pose = io.read().processing["behavior"][f"PoseEstimation_{step}"]
        errors = {}
        for index, name in enumerate(truth.bodyparts):
            np.testing.assert_array_equal(pose[name].timestamps[:], truth.frame_times)
            distance = np.hypot(*(pose[name].data[:] - truth.keypoints[:, index]).T)
            errors[name] = distance[truth.visible[:, index]]
        return errors


TAKEN = """
[steps.old_pose]
processor = "facemap_keypoints"
inputs.model = "old"
"""


def test_a_folder_of_one_file_of_weights_is_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder has no weights"):
        FacemapModel().identify_folder("trained", tmp_path)
    (tmp_path / "a.pt").write_bytes(b"x")
    assert FacemapModel().identify_folder("trained", tmp_path)
    (tmp_path / "b.pt").write_bytes(b"x")
    with pytest.raises(InputError, match="several files of weights"):
        FacemapModel().identify_folder("trained", tmp_path)
    with pytest.raises(RequestError, match="makes an artefact of a project") as caught:
        load(tmp_path / "s.nwb", "facemap_model", tmp_path)
    assert 'inputs.trained = "FOLDER"' in str(caught.value)


def test_each_parameter_is_described() -> None:
    assert [name for name, field in FacemapTrainParams.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("method", [DeepLabCut, FacemapKeypoints])
def test_a_video_in_a_store_is_read_by_ranges(method: type[Processor]) -> None:
    """Their frames come from `_video_frames`, which opens what the parent serves: nothing is downloaded whole."""
    assert method.streams_media


def test_weights_are_one_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder has no weights"):
        FacemapTrain().identify_folder("weights", tmp_path)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match="has 2 files"):
        load_start(None, {"folder": str(tmp_path)})
    first = FacemapTrain().identify_folder("weights", tmp_path)
    (tmp_path / "b.pt").write_bytes(b"y")
    assert FacemapTrain().identify_folder("weights", tmp_path) != first


def test_a_project_is_known_by_its_labels(tmp_path: Path) -> None:
    write_face_lab(tmp_path / "lab", "{}", labelled=4, n_frames=4)
    assert table(Project(tmp_path / "lab")) == {"project/models model": "missing", "M1/a pose": "missing"}
    before = FacemapTrain().identify_folder("project", tmp_path / "lab/dlc/box")
    labels = tmp_path / "lab/dlc/box/labeled-data/v0/CollectedData_sim.csv"
    lines = labels.read_text().splitlines()
    lines[-1] = ",".join([*lines[-1].split(",")[:3], *["7.5"] * (lines[-1].count(",") - 2)])
    labels.write_text("\n".join(lines) + "\n")
    assert FacemapTrain().identify_folder("project", tmp_path / "lab/dlc/box") != before


@pytest.mark.thorough
@pytest.mark.tool
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_network_is_trained_kept_and_used(tmp_path: Path, tool: Any) -> None:
    tool("facemap_train")
    params = "{ epochs = 2, batch_size = 4, evaluate_every = 1, channels = [4, 8, 8, 8, 8] }"
    truth = write_face_lab(tmp_path / "lab", params, labelled=8, n_frames=6)
    summary = Project(tmp_path / "lab").run(executor=Inline())
    assert (summary.done, summary.failed) == (2, [])
    folder, model = read_artefact(tmp_path / "lab")
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    rows = (folder / "learning_curve.csv").read_text().splitlines()
    assert rows[0] == "epoch,train_loss,test_rmse"
    assert len(rows) == 3
    best = float(rows[model["best_epoch"]].rpartition(",")[2])
    assert model["evaluation"]["test"]["all"]["rmse"] == pytest.approx(best, abs=1e-3)
    assert (folder / "facemap-best.pt").stat().st_size > 1000
    assert len(read_errors(tmp_path / "lab", "pose", truth)) == len(truth.bodyparts)
    with NWBHDF5IO(tmp_path / "lab/nwb/s1.nwb", "r") as io:
        pose = io.read().processing["behavior"]["PoseEstimation_pose"]
        assert (pose.source_software, pose.source_software_version) == ("Facemap", "1.0.8")
        assert "4, 8, 8, 8, 8 channels" in pose.description
    check_taken_network(tmp_path / "lab", folder)


def check_taken_network(lab: Path, trained: Path) -> None:
    """A network that is taken as it is finds the same; one of another number of keypoints is refused."""
    (lab / "dlc/weights").mkdir()
    shutil.copyfile(trained / "facemap-best.pt", lab / "dlc/weights/facemap_model.pt")
    weights = lab / "dlc/weights/facemap_model.pt"
    toml = (lab / "nwbpipe.toml").read_text()
    with pytest.raises(ToolError, match="finds 2 keypoints, but `keypoints` names 1: snout"):
        load_model(lab, "facemap_model", weights, step="old", params={"keypoints": ["snout"]})
    assert (lab / "nwbpipe.toml").read_text() == toml
    model = load_model(lab, "facemap_model", weights, step="old", params={"keypoints": ["snout", "tailbase"]})
    assert json.loads((model.folder / "model.json").read_text())["loaded"] is True
    with (lab / "nwbpipe.toml").open("a") as file:
        file.write(TAKEN)
    summary = Project(lab).run(executor=Inline())
    assert (summary.done, summary.failed) == (1, [])
    with h5py.File(lab / "nwb/s1.nwb") as file:
        for name in ("snout", "tailbase"):
            poses = [
                file[f"processing/behavior/PoseEstimation_{step}/{name}/data"][()] for step in ("pose", "old_pose")
            ]
            np.testing.assert_allclose(*poses, atol=0.01)


@pytest.mark.tool
@pytest.mark.long
@pytest.mark.timeout(7200)
def test_keypoints_of_an_unseen_video_are_found_in_the_whole_frame_and_in_a_part(
    tmp_path: Path, tool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("facemap_train")
    # The network sees gray levels: by its colour alone, no keypoint is told from another.
    monkeypatch.setattr(_body, "_PAINT", np.array([[245.0, 245, 245], [10.0, 10, 10]]))
    truth = write_face_lab(tmp_path / "lab", "{ epochs = 36 }", CROPPED, labelled=60, n_frames=80)
    summary = Project(tmp_path / "lab").run(executor=Inline())
    assert (summary.done, summary.failed) == (3, [])
    model = read_artefact(tmp_path / "lab")[1]
    assert model["evaluation"]["test"]["all"]["mean"] < FLOOR_PX
    for step in ("pose", "part"):
        for name, errors in read_errors(tmp_path / "lab", step, truth).items():
            print(step, name, errors.mean().round(3))
            # In a part of the frame, of another shape and filled up to a square, some keypoints may be cut off.
            assert (errors.mean() if step == "pose" else np.median(errors)) < FLOOR_PX
