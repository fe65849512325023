from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nwbpipe import errors
from nwbpipe.converters import summarize_spec
from nwbpipe.project import Session, find_sessions, load_project
from nwbpipe.project._sessions import Description, restrict

HEAD = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "raw://PATTERN"
output = "nwb://sub-{subject_id}_ses-{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
"""


def spec(folder: Path, subject: str, session: str, sex: str = "F") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "session.yaml"
    path.write_text(
        f"nwbpipe: 1\nsubject: {{subject_id: {subject}, sex: {sex}}}\nsession: {{session_id: {session}, lab: Lab}}\n"
    )
    return path


def describe(paths: Sequence[Path | str]) -> Iterator[Description | errors.NwbpipeError]:
    for path in paths:
        try:
            found = summarize_spec(path)
            yield found.subject_id, found.session_id, found.fields
        except errors.NwbpipeError as error:
            yield error


def found(tmp_path: Path, pattern: str = "**/session.yaml") -> list[Session]:
    (tmp_path / "nwbpipe.toml").write_text(HEAD.replace("PATTERN", pattern))
    return find_sessions(load_project(tmp_path), describe)[0]


def test_sessions_by_pattern(tmp_path: Path) -> None:
    spec(tmp_path / "raw/M1/a", "M1", "a")
    spec(tmp_path / "raw/M1/b", "M1", "b")
    spec(tmp_path / "raw/M10/deep/er", "M10", "042")
    spec(tmp_path / "raw/.hidden", "M9", "x")
    (tmp_path / "raw/circle").symlink_to(tmp_path / "raw", target_is_directory=True)
    assert [one.key for one in found(tmp_path)] == ["M1/a", "M1/b", "M10/042"]
    assert [one.key for one in found(tmp_path, "M1/*/session.yaml")] == ["M1/a", "M1/b"]
    assert [one.key for one in found(tmp_path, "*/deep/**/session.yaml")] == ["M10/042"]
    assert [one.key for one in found(tmp_path, "M[0-9]/[!a]/session.yaml")] == ["M1/b"]
    assert [one.key for one in found(tmp_path, "M1?a/**/session.yaml")] == []
    assert [one.key for one in found(tmp_path, "**/M1?/**/session.yaml")] == ["M10/042"]
    assert found(tmp_path)[0].file == tmp_path / "nwb/sub-M1_ses-a.nwb"


def test_sessions_of_several_roots_are_found_once(tmp_path: Path) -> None:
    spec(tmp_path / "fast/M1/a", "M1", "a")
    spec(tmp_path / "archive/M1/a", "M1", "a")
    spec(tmp_path / "archive/M1/b", "M1", "b")
    head = HEAD.replace("PATTERN", "**/session.yaml").replace('raw = "raw"', 'raw = ["fast", "archive"]')
    (tmp_path / "nwbpipe.toml").write_text(head)
    sessions = find_sessions(load_project(tmp_path), describe)[0]
    places = [str(one.spec.relative_to(tmp_path)) for one in sessions if one.spec]
    assert places == ["fast/M1/a/session.yaml", "archive/M1/b/session.yaml"]


def test_a_spec_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    spec(tmp_path / "raw/a", "M1", "a")
    spec(tmp_path / "raw/b", "../evil", "b")
    (tmp_path / "nwbpipe.toml").write_text(HEAD.replace("PATTERN", "**/session.yaml"))
    sessions, problems = find_sessions(load_project(tmp_path), describe)
    assert [one.key for one in sessions] == ["M1/a"]
    assert "subject_id can't stand in a file name" in str(problems[0])


def test_two_specs_of_one_session_hold_up_no_other(tmp_path: Path) -> None:
    for folder, session in (("a", "a"), ("b", "a"), ("c", "c")):
        spec(tmp_path / f"raw/{folder}", "M1", session)
    (tmp_path / "nwbpipe.toml").write_text(HEAD.replace("PATTERN", "**/session.yaml"))
    sessions, problems = find_sessions(load_project(tmp_path), describe)
    assert [one.key for one in sessions] == ["M1/c"]
    assert "two specs are of one session" in str(problems[0])


def test_no_link_leads_the_search_out_of_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec(tmp_path / "raw/a", "M1", "a")
    spec(tmp_path / "elsewhere/b", "M1", "b")
    (tmp_path / "raw/root").symlink_to("/")
    (tmp_path / "raw/b").symlink_to(tmp_path / "elsewhere/b")
    (tmp_path / "raw/inside").symlink_to(tmp_path / "raw/a")
    assert [one.key for one in found(tmp_path)] == ["M1/a"]
    assert "leads out of the store" in caplog.text


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.FileAccessError, match="the root of the store 'raw' is missing"):
        found(tmp_path)


def test_restrictions(tmp_path: Path) -> None:
    for subject, session, sex in (("M1", "a", "F"), ("M1", "b", "F"), ("M10", "a", "M")):
        spec(tmp_path / f"raw/{subject}{session}", subject, session, sex)
    sessions = found(tmp_path)

    def keys(*patterns: str, where: str | None = None) -> list[str]:
        return [one.key for one in restrict(sessions, patterns, where)]

    assert keys("M1") == ["M1/a", "M1/b"]
    assert keys("*/a") == ["M1/a", "M10/a"]
    assert keys(where="sex = 'M' OR session_id = 'b'") == ["M1/b", "M10/a"]
    assert keys("M1", where="session_id <> 'b' AND lab LIKE 'L%'") == ["M1/a"]
    odd = Session("M1", "a[1]", None, tmp_path, {})
    assert restrict([*sessions, odd], ["M1/a[1]"]) == [odd]
    with pytest.raises(errors.RequestError, match="no session is called 'M2'"):
        keys("M1", "M2")
    for bad in ("sexx = 'F'", "1); DROP TABLE sessions; --", "load_extension('x')", "sex = "):
        with pytest.raises(errors.RequestError, match="can't be read"):
            keys(where=bad)
