"""Names of folders become subjects and sessions, where they follow a pattern."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nwbpipe.errors import OverwriteError, RequestError
from nwbpipe.project import Project
from nwbpipe.proposals import propose_project

DAYS = ("2024-05-01", "2024-05-02")


@pytest.mark.parametrize(
    ("folders", "pattern", "ids"),
    [
        (["sub-M1/ses-a", "sub-M2/ses-b"], "sub-{subject_id}/ses-{session_id}", {("M1", "a"), ("M2", "b")}),
        (["M1/2024-05-01", "M2/2024-05-02/raw"], "{subject_id}/{session_id}", {("M1", DAYS[0]), ("M2", DAYS[1])}),
        (["M1_20240501", "M2_20240502"], "{subject_id}_{session_id}", {("M1", "20240501"), ("M2", "20240502")}),
        (
            ["lab/Subjects/M1/2024-05-01/001", "lab/Subjects/M1/2024-05-01/002"],
            "*/*/{subject_id}/{session_id}/{number}",
            {("M1", "2024-05-01-001"), ("M1", "2024-05-01-002")},
        ),
        (
            ["M1/2024-05-01/2024-05-01_10-00-00", "M1/2024-05-02"],
            "{subject_id}/{session_id}",
            {("M1", DAYS[0]), ("M1", DAYS[1])},
        ),
    ],
)  # fmt: skip
def test_patterns(tmp_path: Path, folders: list[str], pattern: str, ids: set[tuple[str, str]]) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    proposal = propose_project(tmp_path)
    assert proposal.pattern == pattern
    assert {(session.subject_id, session.session_id) for session in proposal.sessions} == ids


def test_the_project_file_is_valid_and_is_not_replaced(tmp_path: Path) -> None:
    tmp_path = tmp_path / "lab \U0001f42d"
    (tmp_path / "M1" / "2024-05-01").mkdir(parents=True)
    (tmp_path / "strange").mkdir()
    path = propose_project(tmp_path).write()
    assert path == tmp_path / "nwbpipe.toml"
    assert tomllib.loads(path.read_text())["stores"]["raw"] == "."
    assert Project(path).spec.name == tmp_path.name
    path.write_text("nwbpipe = 1")
    with pytest.raises(OverwriteError):
        propose_project(tmp_path).write()
    assert path.read_text() == "nwbpipe = 1"


def test_folders_with_a_spec_are_the_sessions(tmp_path: Path) -> None:
    for name in ("M1/2024-05-01", "M1/2024-05-02"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "M1" / "2024-05-02" / "session.yaml").write_text("nwbpipe: 1\n")
    (session,) = propose_project(tmp_path).sessions
    assert (session.folder, session.has_spec) == ("M1/2024-05-02", True)


def test_a_tree_without_sessions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(RequestError, match="no session was seen"):
        propose_project(tmp_path)
