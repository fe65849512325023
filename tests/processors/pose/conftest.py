"""A lab with a project of DeepLabCut and a session with a video, all simulated."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pynwb import NWBHDF5IO
from pynwb.image import ImageSeries

from nwbpipe.simulate import BodyTruth, simulate_body_video, write_dlc_project
from tests.fixtures.nwb import empty_session

STEPS = """nwbpipe = 1
[project]
name = "lab"
sessions = "nwb://**/*.nwb"
[stores]
nwb = "nwb"
state = "state"
dlc = "dlc"
[steps.model]
processor = "deeplabcut_train"
scope = "project"
inputs.project = "dlc://box"
params = PARAMS
[steps.pose]
processor = "deeplabcut"
inputs.model = "model"
"""


def write_video_session(path: Path, truth: BodyTruth, *, session_id: str = "a", **series: Any) -> Path:
    """Write a session with a video at the times of its frames; `series` replaces arguments of the `ImageSeries`."""
    nwbfile = empty_session("A mouse in a box.", session_id)
    arguments: dict[str, Any] = {
        "timestamps": truth.frame_times,
        "external_file": [truth.video.name],
        "format": "external",
        "starting_frame": [0],
    }
    if "data" in series:
        arguments = {"timestamps": truth.frame_times}
    nwbfile.add_acquisition(
        ImageSeries(
            name="VideoTop",
            description="From above.",
            unit="n.a.",
            device=nwbfile.create_device(name="CameraTop", description="A camera."),
            **{**arguments, **series},
        )
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def write_lab(folder: Path, params: str, *, labelled: int, n_frames: int, animals: int = 1) -> BodyTruth:
    """Write nwbpipe.toml, the project of DeepLabCut and a session of another video; return that video's truth."""
    (folder / "nwb").mkdir(parents=True)
    labels = simulate_body_video(folder / "v0.avi", seed=1, n_frames=2 * labelled, animals=animals)
    write_dlc_project(folder / "dlc" / "box", labels, frames=range(0, 2 * labelled, 2))
    times = {"dropped": 3, "jitter_s": 0.002}
    truth = simulate_body_video(folder / "nwb" / "v1.avi", seed=2, n_frames=n_frames, **times, animals=animals)
    write_video_session(folder / "nwb" / "s1.nwb", truth)
    (folder / "nwbpipe.toml").write_text(STEPS.replace("PARAMS", params))
    return truth


@pytest.fixture(scope="session")
def small_lab(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BodyTruth]:
    folder = tmp_path_factory.mktemp("lab") / "lab"
    return folder, write_lab(folder, '{ network = "resnet10t" }', labelled=6, n_frames=12)


@pytest.fixture
def lab(small_lab: tuple[Path, BodyTruth], tmp_path: Path) -> Path:
    """A copy of the lab."""
    return Path(shutil.copytree(small_lab[0], tmp_path / "lab"))
