"""The size of a pixel of a camera: in the spec, in the file, in what is computed, and corrected later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.converters import convert
from nwbpipe.converters._pixel_sizes import PIXEL_SIZES
from nwbpipe.errors import InputError, SpecError
from nwbpipe.processors import BoundInput
from nwbpipe.processors.behavior import Kinematics, KinematicsParams
from nwbpipe.project import Project
from nwbpipe.session import read_records
from nwbpipe.session._unrecorded import find_unrecorded
from tests.converters import raw
from tests.fixtures.projects import Inline, table

PROJECT = """nwbpipe = 1
[project]
name = "lab"
sessions = "raw://session.yaml"
output = "nwb://{session_id}.nwb"
[stores]
raw = "session"
nwb = "nwb"
state = "state"
[steps.moves]
processor = "kinematics"
[steps.given]
processor = "kinematics"
params = { mm_per_px = 0.5 }
"""
POSE = {**raw.pose(), "args": {**raw.pose()["args"], "sampling_frequency": 20}}


def read_sizes(path: Path | str) -> list[tuple[str, str, float]]:
    with h5py.File(path) as file:
        if PIXEL_SIZES not in file:
            return []
        group = file[PIXEL_SIZES]
        return [*zip(group["source"].asstr()[:], group["path"].asstr()[:], group["mm_per_px"][:], strict=True)]


def test_the_size_of_a_pixel_stands_in_the_file(folder: Path) -> None:
    sources = {"body": raw.video(mm_per_px=0.42), "pose": {**POSE, "clock": "body", "mm_per_px": 0.4}}
    path = convert(raw.write_spec(folder, sources), folder / "out.nwb", progress=False)
    assert read_sizes(path) == [
        ("body", "/acquisition/ImageSeries_body", 0.42),
        ("pose", "/processing/behavior/PoseEstimationDeepLabCut_pose", 0.4),
    ]
    with nwbpipe.read(path) as nwbfile:
        table = nwbfile.lab_meta_data["nwbpipe_session"].pixel_sizes.to_dataframe()
        assert table.mm_per_px.tolist() == [0.42, 0.4]
    with h5py.File(path) as file:
        assert find_unrecorded(file, read_records(file)) == []


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"scope": raw.tiff(mm_per_px=0.1)}, "given for other data"),
        ({"body": raw.video(mm_per_px=0)}, "mm_per_px"),
        ({"body": raw.video(mm_per_px="a lot")}, "mm_per_px"),
    ],
)
def test_a_size_that_means_nothing_is_refused(folder: Path, sources: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        convert(raw.write_spec(folder, sources), folder / "out.nwb", progress=False)
    assert message in str(caught.value)
    assert "sources." in str(caught.value)
    assert not (folder / "out.nwb").exists()


def test_a_size_counts_in_kinematics_and_is_corrected_without_a_new_conversion(folder: Path, tool: Any) -> None:
    tool("kinematics")
    root = folder.parent
    (root / "nwbpipe.toml").write_text(PROJECT)
    (root / "nwb").mkdir()
    path, project = root / "nwb/s1.nwb", Project(root)

    def write(**size: float) -> None:
        raw.write_spec(folder, {"pose": {**POSE, **size}})

    def read(step: str) -> tuple[Any, str, str]:
        with nwbpipe.read(path) as nwbfile:
            speed = nwbfile.processing["behavior"][f"Kinematics_{step}"].time_series[f"{step}_speed"]
            return float(np.nanmedian(speed.data[:])), speed.unit, speed.description

    write()
    assert project.run(executor=Inline()).failed == []
    pixels, unit, text = read("moves")
    assert (unit, "px =" in text) == ("pixels/second", False)
    assert read("given")[:2] == (pytest.approx(pixels / 2), "mm/second")
    for size in (0.25, 0.2):
        write(mm_per_px=size)
        assert table(project) == {"M042/s1 convert": "stale", "M042/s1 moves": "done", "M042/s1 given": "done"}
        executor = Inline()
        assert project.run(executor=executor).failed == []
        assert [job.run for job in executor.jobs] == ["convert", "moves"]
        value, unit, text = read("moves")
        assert (value, unit) == (pytest.approx(size * pixels), "mm/second")
        assert (
            f"1 px = {size:g} mm, as session.yaml gives for /processing/behavior/PoseEstimationDeepLabCut_pose"
            in text
        )
    assert read("given")[:2] == (pytest.approx(pixels / 2), "mm/second")
    assert read_sizes(path) == [("pose", "/processing/behavior/PoseEstimationDeepLabCut_pose", 0.2)]
    run = nwbpipe.process(path, "kinematics", step="other", params={"mm_per_px": 0.5})
    assert run.log is not None
    assert "session.yaml gives 0.2 mm" in run.log.read_text()
    (note,) = run.record.resources["notes"]
    assert "which was not used" in note
    with h5py.File(path) as file:
        assert find_unrecorded(file, read_records(file)) == []
    write()
    project.run(executor=Inline())
    assert read_sizes(path) == []
    assert read("moves")[:2] == (pixels, "pixels/second")
    assert table(project) == {"M042/s1 convert": "done", "M042/s1 moves": "done", "M042/s1 given": "done"}


def test_a_filtered_pose_keeps_the_size_of_the_pose(folder: Path, tool: Any) -> None:
    tool("kinematics")
    sources = {"body": raw.video(mm_per_px=0.5), "pose": {**POSE, "clock": "body", "mm_per_px": 0.25}}
    path = convert(raw.write_spec(folder, sources), folder / "out.nwb", progress=False)
    own = "/processing/behavior/PoseEstimationDeepLabCut_pose"
    with nwbpipe.transaction(path) as nwbfile:
        pose = nwbfile.processing["behavior"][own.rpartition("/")[2]]
        pose.source_video = nwbfile.acquisition["ImageSeries_body"]
        pose.set_modified()
    for step, before in (("smooth", own), ("again", "/processing/behavior/PoseEstimation_smooth")):
        nwbpipe.process(path, "pose_filter", step=step, inputs={"pose": before}, params={"median_frames": 3})
        inputs = {"pose": f"/processing/behavior/PoseEstimation_{step}"}
        run = nwbpipe.process(path, "kinematics", step=f"moves_{step}", inputs=inputs)
        assert run.record.parameters["mm_per_px"] == 0.25
        assert run.record.resources["notes"] == [f"1 px = 0.25 mm, as session.yaml gives for {own}"]


def test_a_pose_takes_the_size_of_its_video(tmp_path: Path) -> None:
    def complete(name: str, unit: str = "pixels", **params: Any) -> Any:
        with h5py.File(path, "r+") as file:
            file[f"processing/behavior/{name}/nose/data"].attrs["unit"] = unit
            pose = BoundInput("pose", f"/processing/behavior/{name}", "PoseEstimation", "")
            return Kinematics().complete_params(KinematicsParams(**params), file, {"pose": pose}).mm_per_px

    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        table = file.create_group(PIXEL_SIZES)
        table["path"] = ["/acquisition/top", "/acquisition/side"]
        table["mm_per_px"] = [0.5, -1.0]
        for name in ("top", "side", "none"):
            file.create_group(f"acquisition/{name}")
            pose = file.create_group(f"processing/behavior/{name}")
            pose["source_video"] = h5py.SoftLink(f"/acquisition/{name}")
            pose.create_dataset("nose/data", data=np.zeros((3, 2)))
    assert complete("top") == 0.5
    assert complete("top", mm_per_px=2.0) == 2.0
    assert complete("top", "meters") is None
    assert complete("none") is None
    with pytest.raises(InputError, match="not a positive number"):
        complete("side")
    with h5py.File(path, "r+") as file:
        del file[PIXEL_SIZES]["mm_per_px"]
    with pytest.raises(InputError, match="can't be read"):
        complete("top")
