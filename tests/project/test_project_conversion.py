"""Conversion as a run with a key: metadata edits, rebuilds that keep results, raw data in cold storage."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import validate

import nwbpipe
from nwbpipe.project import Project
from tests.converters import raw
from tests.fixtures.projects import Inline, table

pytestmark = [pytest.mark.usefixtures("test_processors"), pytest.mark.slow]

TOML = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "raw://**/session.yaml"
output = "nwb://sub-{subject_id}/ses-{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
state = "state"
[steps.first]
processor = "scale"
inputs.series = "acquisition/ElectricalSeries_probe"
[steps.second]
processor = "scale"
inputs.series = "first/Scaled"
"""
SOURCES = {
    "probe": {
        "interface": "WhiteMatterRecordingInterface",
        "args": {
            "file_path": "HSW_2024_05_01__10_00_00__00min_00sec__hsamp_4ch_25000sps.bin",
            "sampling_frequency": 25000.0,
            "num_channels": 4,
        },
    },
    "trials": raw.trials(clock="probe"),
}


def spec(folder: Path, **subject: str) -> Path:
    return raw.write_spec(folder, SOURCES, subject={**raw.SUBJECT, **subject})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, test_distribution: Path) -> Path:
    """A project with one converted and processed session; not to be changed."""
    lab = tmp_path_factory.mktemp("lab")
    folder = lab / "raw/one"
    folder.mkdir(parents=True)
    raw.write_recording(folder, seconds=0.02)
    raw.write_trials(folder / "trials.csv")
    spec(folder)
    (lab / "nwbpipe.toml").write_text(TOML)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(test_distribution)])
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(lab / name.lower()))
        summary = Project(lab).run(executor=Inline())
        assert (summary.done, summary.failed) == (3, []), summary
        assert set(table(Project(lab)).values()) == {"done"}
    return lab


@pytest.fixture
def lab(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(finished, tmp_path / "lab")
    return tmp_path / "lab"


def test_a_conversion_follows_its_spec_and_its_raw_files(lab: Path) -> None:
    nwb = lab / "nwb/sub-M042/ses-s1.nwb"
    first = {record.step: record for record in nwbpipe.read_records(nwb)}
    inode, movie = nwb.stat().st_ino, lab / "raw/one/trials.csv"

    # Only metadata: an edit of the file in place, and no result is touched.
    spec(lab / "raw/one", sex="M")
    project = Project(lab)
    state = project.state("M042/s1", "convert")[0]
    assert (state.state, state.reason) == ("stale", "metadata changed: subject.sex 'F' → 'M'")
    assert table(project)["M042/s1 first"] == "done"
    inline = Inline()
    assert project.run(executor=inline).done == 1
    assert [job.step for job in inline.jobs] == ["convert"]
    assert nwb.stat().st_ino == inode
    with h5py.File(nwb) as file:
        assert file["general/subject/sex"].asstr()[()] == "M"
    assert validate(path=str(nwb)) == []
    assert set(table(Project(lab)).values()) == {"done"}

    # One source changed: the file is built anew, and the results of the others are carried over.
    movie.write_text(movie.read_text() + "9.0,10.0,9.5,0.25,miss\n")
    project = Project(lab)
    assert project.state("M042/s1", "convert")[0].reason == "raw data changed: raw://one/trials.csv"
    assert project.state("M042/s1", "second")[0].state == "stale"  # not known before it is built
    inline = Inline()
    assert project.run(executor=inline).done == 1
    assert [job.step for job in inline.jobs] == ["convert"]
    assert set(table(Project(lab)).values()) == {"done"}
    assert validate(path=str(nwb)) == []
    with h5py.File(nwb) as file:
        assert len(file["intervals/trials/start_time"]) == 4
        series = file["acquisition/ElectricalSeries_probe"]
        np.testing.assert_array_equal(file["processing/behavior/Scaled_second/data"][()], series["data"][()] * 4)
        current = {r.step: r for r in nwbpipe.read_records(file) if not r.superseded}
        assert current["first"].run_id == first["first"].run_id
        assert current["first"].inputs[0].object_id == series.attrs["object_id"]
        assert [r.step for r in nwbpipe.read_records(file) if r.superseded] == ["convert", "convert"]

    # The source of the results changed: they are computed again.
    recording = lab / "raw/one" / SOURCES["probe"]["args"]["file_path"]  # type: ignore[index]
    content = bytearray(recording.read_bytes())
    content[100] ^= 1
    recording.write_bytes(content)
    inline = Inline()
    assert Project(lab).run(executor=inline).done == 3
    assert [job.step for job in inline.jobs] == ["convert", "first", "second"]
    assert set(table(Project(lab)).values()) == {"done"}

    # Raw data in cold storage leave a session done; only a run that needs them says so.
    recording.rename(lab / "cold.bin")
    project = Project(lab)
    assert set(table(project).values()) == {"done"}
    assert "elsewhere" in project.state("M042/s1", "convert")[0].reason
    movie.write_text(movie.read_text() + "19.0,20.0,19.5,0.25,miss\n")
    state = Project(lab).state("M042/s1", "convert")[0]
    assert state.state == "blocked"
    assert recording.name in state.reason


def test_a_profile_moves_roots_and_nothing_is_converted_again(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = lab.parent / "away"
    (lab / "raw").rename(away)
    with (lab / "nwbpipe.toml").open("a") as file:
        file.write(f'[profiles.cluster.stores]\nraw = "{away}"\n')
    project = Project(lab, profile="cluster")
    assert set(table(project).values()) == {"done"}
    # The specs of another session, and what they extend, are found in that profile's stores, too.
    (away / "lab.yaml").write_text("session: {lab: The lab}\n")
    (away / "deep/two").mkdir(parents=True)
    raw.write_trials(away / "deep/two/trials.csv")
    probe = {"interface": "WhiteMatterRecordingInterface", "args": dict(SOURCES["probe"]["args"])}  # type: ignore[index]
    probe["args"]["file_path"] = f"raw://one/{probe['args']['file_path']}"
    two = raw.write_spec(away / "deep/two", {**SOURCES, "probe": probe}, session={**raw.SESSION, "session_id": "s2"})
    two.write_text("extends: ../../lab.yaml\n" + two.read_text())
    assert Project(lab, profile="cluster").run(["M042/s2"], executor=Inline()).done == 3
    record = nwbpipe.read_records(lab / "nwb/sub-M042/ses-s2.nwb")[0]
    assert {one["path"] for one in record.sources} == {probe["args"]["file_path"], "raw://deep/two/trials.csv"}
    # In the default profile, whose store has no raw data here, the same is recorded.
    shutil.copytree(away, lab / "raw")
    assert set(table(Project(lab)).values()) == {"done"}


@pytest.mark.parametrize("group", ["processing/behavior", "acquisition", "scratch", "analysis"])
def test_an_object_that_no_record_names_is_never_lost_in_a_rebuild(lab: Path, group: str) -> None:
    from pynwb import TimeSeries

    nwb = lab / "nwb/sub-M042/ses-s1.nwb"
    with nwbpipe.transaction(nwb) as nwbfile:
        add = {
            "processing/behavior": nwbfile.processing["behavior"].add,
            "acquisition": nwbfile.add_acquisition,
            "scratch": nwbfile.add_scratch,
            "analysis": nwbfile.add_analysis,
        }[group]
        add(TimeSeries(name="by_hand", data=[1.0], unit="V", rate=1.0, description="d"))
    trials = lab / "raw/one/trials.csv"
    trials.write_text(trials.read_text() + "9.0,10.0,9.5,0.25,miss\n")
    before = nwb.read_bytes()
    summary = Project(lab).run(executor=Inline())
    assert f"/{group}/by_hand" in summary.failed[0][2]
    assert nwb.read_bytes() == before


def test_a_spec_with_mistakes_blocks_its_session_alone(lab: Path) -> None:
    other = lab / "raw/two"
    other.mkdir()
    raw.write_spec(
        other, {"x": {"interface": "NoSuchInterface", "args": {}}}, session={**raw.SESSION, "session_id": "s2"}
    )
    states = table(Project(lab))
    assert states["M042/s2 convert"] == states["M042/s2 first"] == "blocked"
    assert states["M042/s1 convert"] == "done"
    assert "NoSuchInterface" in Project(lab).state("M042/s2", "convert")[0].reason
