"""A proposal converts as it stands once its marks are filled."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

import nwbpipe
from nwbpipe.errors import SpecError
from nwbpipe.proposals import propose
from nwbpipe.simulate import SimulatedSession
from tests.converters import raw
from tests.examples.checking import times_of
from tests.proposals.filling import write_filled

COLUMNS = {"time_columns": "[cue_time]", "duration_columns": "[reaction_time]"}


@pytest.fixture(scope="module")
def folder(small_session: SimulatedSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the demo's raw files, without the spec that was written with them."""
    target = tmp_path_factory.mktemp("lab") / "session"
    shutil.copytree(small_session.folder, target, ignore=shutil.ignore_patterns("session.yaml", "truth"))
    return target


def video_in(file: h5py.File) -> h5py.Group:
    return next(item for item in file["acquisition"].values() if "external_file" in item)


def test_the_demo_folder_is_proposed_as_its_spec_is(folder: Path, small_session: SimulatedSession) -> None:
    spec = yaml.safe_load(small_session.spec.read_text())
    proposal = propose(folder)
    proposed = yaml.safe_load(proposal.text)
    by_hand = {(source["interface"], str({**source["args"], "unit": None})) for source in spec["sources"].values()}
    own = {(source["interface"], str({**source["args"], "unit": None})) for source in proposed["sources"].values()}
    assert own == by_hand
    assert proposal.unrecognized == proposal.unreadable == ()
    assert "1.0 s" not in proposal.text
    clocks = {source["interface"]: source.get("clock", name) for name, source in proposed["sources"].items()}
    assert (
        clocks["SpikeGLXRecordingInterface"] == clocks["SpikeGLXSyncChannelInterface"] == proposed["reference_clock"]
    )
    assert clocks["ExternalVideoInterface"] == clocks["DeepLabCutInterface"]
    assert clocks["CsvTimeIntervalsInterface"] == clocks["BehaviorEventsInterface"]
    assert len(set(clocks.values())) == len(spec["clocks"]) + 1
    for name, clock in proposed["clocks"].items():
        if clock["align"] == "start":
            assert clock["offset_s"] == "FILL IN", f"{name}: an offset was guessed"


def test_the_pulses_that_were_matched_are_the_true_ones(folder: Path) -> None:
    clocks = yaml.safe_load(propose(folder).text)["clocks"]
    assert clocks["face"]["pulses"]["file"] == clocks["face"]["timestamps"]["file"] == "video/face_timestamps.csv"
    assert clocks["face"]["reference_pulses"] == {"source": "imec0_sync", "bit": 0}


def test_the_demo_folder_converts_once_its_marks_are_filled(
    folder: Path, small_session: SimulatedSession, converted: Path, tmp_path: Path
) -> None:
    spec = propose(folder).write()
    with pytest.raises(SpecError) as caught:
        nwbpipe.convert(spec, tmp_path / "out.nwb")
    text = spec.read_text()
    marked = {number for number, line in enumerate(text.splitlines(), 1) if "FILL IN" in line.partition("#")[0]}
    named = {problem.where or "" for problem in caught.value.problems}
    assert len(marked) == len(named)
    assert all(any(f"session.yaml, line {number}:" in where for where in named) for number in marked)
    offsets = small_session.offsets_s
    values = {f"{name}.offset_s": str(offset) for name, offset in offsets.items()}
    values |= {"face.start_within_s": "0.01", "behavior.start_within_s": "0.1"}
    write_filled(spec, text, values)
    out = nwbpipe.convert(spec, tmp_path / "out.nwb")
    with h5py.File(out) as own, h5py.File(converted) as by_hand:
        np.testing.assert_allclose(times_of(video_in(own)), times_of(video_in(by_hand)), atol=1e-9)
        np.testing.assert_allclose(own["intervals/trials/start_time"][()], by_hand["intervals/trials/start_time"][()])


def test_a_movie_a_video_and_tables_convert_once_the_marks_are_filled(tmp_path: Path) -> None:
    session = tmp_path / "m1"
    session.mkdir()
    raw.write_movie(session / "movie.tif")
    raw.write_video(session / "body.avi")
    raw.write_pose(session / "bodyDLC_resnet50.csv")
    raw.write_trials(session / "trials.csv")
    spec = session / "session.yaml"
    proposal = propose(session)
    write_filled(spec, proposal.text, {"offset_s": "0", "time_unit": "s", **COLUMNS})
    with h5py.File(nwbpipe.convert(spec, tmp_path / "out.nwb")) as file:
        movie = next(item for name, item in file["acquisition"].items() if name.startswith("TwoPhotonSeries"))
        assert movie["data"].shape[0] == 30
        assert "trials" in file["intervals"]
        assert {source.clock for source in proposal.sources} == {"movie", "body", "m1"}


def test_a_suite2p_folder_converts(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / "segmentation" / "suite2p_fissa", tmp_path / "lab" / "session")
    spec = tmp_path / "lab" / "session" / "session.yaml"
    write_filled(spec, propose(spec.parent).text)
    with h5py.File(nwbpipe.convert(spec, tmp_path / "out.nwb")) as file:
        segmentation = next(iter(file["processing/ophys/ImageSegmentation"].values()))
        assert len(segmentation["id"]) == 23
