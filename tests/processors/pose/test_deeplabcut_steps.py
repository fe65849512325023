"""Training and tracking as steps of a project: what makes them stale, and what is written. A stand-in computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.environments import Tool
from nwbpipe.processors.pose import DeepLabCut, DeepLabCutTrain
from nwbpipe.project import Project
from nwbpipe.simulate import BodyTruth
from tests.fixtures.projects import Inline, table
from tests.processors.pose.test_deeplabcut_project import replace

NUMPY = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in (DeepLabCut, DeepLabCutTrain):
        monkeypatch.setattr(method, "tool", NUMPY)
    monkeypatch.setattr(DeepLabCutTrain, "tool_for", lambda self, params: NUMPY)
    monkeypatch.setattr(DeepLabCutTrain, "compute", "tests.fixtures._pose_train_compute")
    monkeypatch.setattr(DeepLabCut, "compute", "tests.fixtures._pose_compute")


def run(project: Project) -> int:
    summary = project.run(executor=Inline())
    assert not summary.failed, summary.failed
    return int(summary.done)


def test_a_label_makes_the_model_and_its_dependants_stale(lab: Path, small_lab: tuple[Path, BodyTruth]) -> None:
    project, truth = Project(lab), small_lab[1]
    assert table(project) == {"project/models model": "missing", "M1/a pose": "missing"}
    assert run(project) == 2
    assert run(Project(lab)) == 0
    check_artefact(lab)
    check_pose(lab, truth)
    labels = lab / "dlc/box/labeled-data/v0/CollectedData_sim.csv"
    x = labels.read_text().splitlines()[3].split(",")[3]
    replace(labels, x, f"{float(x) + 1}")
    project = Project(lab)
    assert table(project) == {"project/models model": "stale", "M1/a pose": "stale"}
    assert project.state("project/models", "model")[0].reason == "its folders have other content"
    replace(labels, f"{float(x) + 1}", x)
    assert set(table(Project(lab)).values()) == {"done"}
    (lab / "dlc/box").rename(lab / "dlc/other")
    project = Project(lab)
    assert table(project) == {"project/models model": "blocked", "M1/a pose": "blocked"}
    assert "does not exist on this machine: dlc://box" in project.state("project/models", "model")[0].reason


def check_artefact(lab: Path) -> None:
    (record,) = (lab / "models/model").glob("*/*.json")
    (folder,) = (path for path in record.parent.iterdir() if path.is_dir())
    model = json.loads((folder / "model.json").read_text())
    assert (model["bodyparts"], model["skeleton"]) == (["snout", "tailbase"], [["snout", "tailbase"]])
    assert (folder / "snapshot-best.pt").read_bytes() == b"of snapshot-best.pt"
    assert (folder / "learning_curve.csv").read_text().splitlines()[-1] == "2.0,0.2,3.0"
    index = json.loads((folder / "training_index.json").read_text())
    assert len(index) == model["evaluation"]["test"]["n"] >= 5
    assert set(index["v0/img0000.png"]) == {"image", "labels"}
    (project,) = json.loads(record.read_text())["inputs"]
    assert (project["name"], project["path"]) == ("project", "dlc://box")


def check_pose(lab: Path, truth: BodyTruth) -> None:
    path = lab / "nwb/s1.nwb"
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        video, pose = nwbfile.acquisition["VideoTop"], nwbfile.processing["behavior"]["PoseEstimation_pose"]
        assert pose.source_video is video
        assert pose.device is nwbfile.devices["CameraTop"]
        assert (pose.source_software, pose.source_software_version) == ("DeepLabCut", "3.0.2")
        assert "backbone resnet10t" in pose.description
        assert pose.skeleton.nodes[:].tolist() == ["snout", "tailbase"]
        assert pose.skeleton.edges[:].tolist() == [[0, 1]]
        for index, name in enumerate(("snout", "tailbase")):
            series = pose[name]
            np.testing.assert_array_equal(series.timestamps[:], truth.frame_times)
            np.testing.assert_array_equal(series.data[:], np.column_stack([np.arange(12), np.full(12, index)]))
            np.testing.assert_allclose(series.confidence[:], 1 / np.arange(1, 13))
    assert not list(inspect_nwbfile(nwbfile_path=path, importance_threshold=Importance.CRITICAL))
    assert not validate(path=str(path))
    record = next(record for record in nwbpipe.read_records(path) if record.step == "pose")
    assert {item.name for item in record.inputs} == {"video", "model"}


def test_a_folder_that_is_not_named_is_a_mistake_of_the_project(lab: Path) -> None:
    replace(lab / "nwbpipe.toml", 'inputs.project = "dlc://box"\n', "")
    with pytest.raises(
        nwbpipe.errors.SpecError, match="'model' needs one of its inputs project or labels, and none is bound"
    ):
        Project(lab)


def test_a_deleted_model_is_made_again(lab: Path) -> None:
    import shutil

    assert run(Project(lab)) == 2
    shutil.rmtree(lab / "models")
    assert table(Project(lab))["project/models model"] == "missing"
    assert run(Project(lab)) == 1  # the same content: the pose stays
