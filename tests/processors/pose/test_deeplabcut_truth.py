"""DeepLabCut itself, on simulated videos whose keypoints are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO

from nwbpipe.project import Project
from tests.fixtures.projects import Inline
from tests.processors.pose.conftest import write_lab

pytestmark = [pytest.mark.tool, pytest.mark.slow]
TINY = '{ network = "resnet10t", epochs = 10, crop = [160, 160], learning_rate = 1e-3, evaluate_every = 5 }'
FLOOR_PX = 4.0


@pytest.mark.long
def test_a_tiny_network_finds_the_keypoints_of_an_unseen_video(tmp_path: Path, tool) -> None:
    tool("deeplabcut")
    truth = write_lab(tmp_path / "lab", TINY, labelled=48, n_frames=80)
    summary = Project(tmp_path / "lab").run(executor=Inline())
    assert (summary.done, summary.failed) == (2, [])
    (record,) = (tmp_path / "lab/models/model").glob("*/*.json")
    (folder,) = (path for path in record.parent.iterdir() if path.is_dir())
    model, run = json.loads((folder / "model.json").read_text()), json.loads(record.read_text())
    assert model["backbone"] == "resnet10t"
    assert model["evaluation"]["test"]["all"]["mean"] < FLOOR_PX
    assert model["evaluation"]["test"]["mAP"] > 20
    assert run["resources"]["cpu_seconds"] < 240
    with NWBHDF5IO(tmp_path / "lab/nwb/s1.nwb", "r") as io:
        pose = io.read().processing["behavior"]["PoseEstimation_pose"]
        assert "backbone resnet10t" in pose.description
        for index, name in enumerate(truth.bodyparts):
            series, seen = pose[name], truth.visible[:, index]
            np.testing.assert_array_equal(series.timestamps[:], truth.frame_times)
            error = np.hypot(*(series.data[:] - truth.keypoints[:, index]).T)
            assert error[seen].mean() <= FLOOR_PX
            if not seen.all():
                assert np.median(series.confidence[:][~seen]) < np.median(series.confidence[:][seen])
