"""`nwbpipe scrub` finds the datasets that a flipped bit has hit, and goes on where it was stopped."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.project import Project, ScrubbedFile, scrub
from nwbpipe.provenance import FileStat
from tests.fixtures.processing import Scale
from tests.fixtures.projects import make_project

NOW = timedelta(0)
LEVER = "/acquisition/lever/data"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, sessions=2, steps="")


def flip_bit(path: Path, dataset: str) -> None:
    """Change one stored bit."""
    with h5py.File(path) as file:
        item = file[dataset]
        offset = item.id.get_chunk_info(0).byte_offset if item.chunks else item.id.get_offset()
        offset += item.id.get_storage_size() // 2
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)


def pretend_nobody_wrote(folder: Path, session: str) -> None:
    """Give the kept look the present times of the file: a disk that loses a bit leaves them alone."""
    kept = folder / "state" / "scrub" / f"m1/{session}.json"
    values = json.loads(kept.read_text())
    kept.write_text(json.dumps(values | {"version": list(FileStat.of(folder / "nwb" / f"{session}.nwb"))}))


def look(project: Project, session: str = "s0") -> ScrubbedFile:
    (found,) = scrub(project, [f"m1/{session}"], again_after=NOW)
    return found


def test_a_flipped_bit_without_a_checksum_is_found_by_the_next_look(project: Project, tmp_path: Path) -> None:
    first = look(project)
    assert first.in_order
    assert first.unprotected > 0
    flip_bit(tmp_path / "nwb" / "s0.nwb", LEVER)
    pretend_nobody_wrote(tmp_path, "s0")
    for _ in range(2):  # it stays damaged until it is restored
        second = look(project)
        assert list(second.damaged) == [LEVER]
        assert "no program wrote" in second.damaged[LEVER]
    flip_bit(tmp_path / "nwb" / "s0.nwb", LEVER)
    assert look(project).in_order


def test_a_flipped_bit_with_a_checksum_is_found_at_once(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "nwb" / "s1.nwb"
    with h5py.File(path, "r+") as file:
        values = file[LEVER][()]
        del file[LEVER]
        file.create_dataset(LEVER, data=values, chunks=True, compression="gzip")
    flip_bit(path, LEVER)
    assert list(look(project, "s1").damaged) == [LEVER]
    assert look(project, "s0").in_order


def test_a_run_changes_nothing_that_a_scrub_reports_but_a_rewritten_recording_does(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "nwb" / "s0.nwb"
    look(project)
    nwbpipe.process(path, Scale(), inputs={"series": "lever"})
    assert look(project).in_order
    with h5py.File(path, "r+") as file:
        file[LEVER][0, 0] = np.pi
    assert look(project).changed == (LEVER,)
    assert look(project).in_order  # told once


def test_what_was_read_lately_is_not_read_again(project: Project, tmp_path: Path) -> None:
    reads: list[str] = []
    looks = scrub(project, again_after=NOW, stopped=lambda: bool(reads))
    for found in looks:
        reads.append(found.session)
    assert reads == ["m1/s0"]
    assert [(item.session, item.read_now) for item in scrub(project)] == [("m1/s1", True), ("m1/s0", False)]
    assert not list(scrub(project, again_after=NOW, hours=0))
    (tmp_path / "state" / "scrub" / "m1" / "s0.json").write_text("garbage")
    assert {item.session for item in scrub(project) if item.read_now} == {"m1/s0"}


def test_files_that_are_cut_short_are_named(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "nwb" / "s0.nwb"
    path.write_bytes(path.read_bytes()[:-3000])
    assert [item.session for item in scrub(project) if not item.in_order] == [str(path)]


def test_the_command_lets_other_programs_go_first(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil
    from typer.testing import CliRunner

    from nwbpipe.cli._main import app

    lowered: list[object] = []
    monkeypatch.setattr("os.nice", lowered.append)
    monkeypatch.setattr(psutil.Process, "ionice", lambda _, kind: lowered.append(kind))
    assert CliRunner().invoke(app, ["scrub", str(project.spec.folder)]).exit_code == 0
    assert lowered == [19, psutil.IOPRIO_CLASS_IDLE]
