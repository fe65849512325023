"""The pages of a project: every session with its states, failures with their logs, and metrics that stand out."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.errors import FileAccessError
from nwbpipe.report import write_project_report
from nwbpipe.report._project import _clean_name, find_outliers
from nwbpipe.review import QualityVerdict, SessionQuality
from tests.fixtures.projects import Inline, make_project
from tests.report.pages import Page

FAILING = '\n[steps.first]\nprocessor = "scale"\nparams = { ending = "raise" }\n'


@pytest.mark.usefixtures("test_processors")
def test_pages_are_written_anew_only_for_changed_files(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab")
    pages = write_project_report(project)
    assert pages.page == tmp_path / "lab" / "report" / "index.html"
    assert sorted(pages.sessions) == ["m1/s0", "m1/s1"]
    assert pages.problems == []
    before = {key: path.stat().st_mtime_ns for key, path in pages.sessions.items()}
    project.run(["m1/s0"], steps=["first"], executor=Inline())
    seen: list[str] = []
    again = write_project_report(project, progress=lambda share, key: seen.append(key))
    assert seen == ["m1/s0", "m1/s1"]
    after = {key: path.stat().st_mtime_ns for key, path in again.sessions.items()}
    assert {key for key in before if after[key] != before[key]} == {"m1/s0"}
    page = Page(pages.page.read_text(encoding="utf-8"))
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links == ["sessions/m1__s0.html", "sessions/m1__s1.html"]
    assert all((pages.page.parent / str(link)).is_file() for link in links)
    assert [text for text in page.texts if text in "✓·"] == ["✓", "·", "·", "·"]


@pytest.mark.usefixtures("test_processors")
def test_a_failure_is_shown_with_the_end_of_its_log(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab", 1, FAILING)
    project.run(executor=Inline())
    write_project_report(project, tmp_path / "out")
    text = "".join(Page((tmp_path / "out" / "index.html").read_text(encoding="utf-8")).texts)
    assert "m1/s0 first" in text
    assert "Traceback" in text


@pytest.mark.usefixtures("test_processors")
def test_a_session_that_cannot_be_read_is_told_and_the_others_are_drawn(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab")
    (tmp_path / "lab" / "nwb" / "s1.nwb").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    pages = write_project_report(project, tmp_path / "out", sessions=["m1/*"], where="session_id = 's0'")
    assert list(pages.sessions) == ["m1/s0"]
    assert "s1.nwb" in " ".join(pages.problems)
    assert "s1.nwb" in pages.page.read_text(encoding="utf-8")


def test_names_of_pages_are_names_and_differ() -> None:
    keys = ["m/s", "m_s", "m/../s", "m s", "m\x1bs", "m__s"]
    names = [_clean_name(key) for key in keys]
    assert len(set(names)) == len(names)
    assert all("/" not in name and name.isascii() and name.isprintable() for name in names)


def test_metrics_that_stand_out_are_named() -> None:
    def judge(session: str, value: float) -> SessionQuality:
        scan = QualityVerdict("q", "suite2p", "scan", 0, "pass", (), {"snr": value, "nan": None}, "t")
        return SessionQuality(session, [scan])

    qualities = {f"s{number}": judge(f"s{number}", 10 + number / 10) for number in range(8)}
    assert list(find_outliers(qualities)) == []
    qualities["odd"] = judge("odd", 25.0)
    assert list(find_outliers(qualities)) == [("odd", "suite2p", "snr", 25.0, 10.4)]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileAccessError):
        write_project_report(make_project(tmp_path / "lab", 1, ""), tmp_path / "file" / "out")
