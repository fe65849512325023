"""``report = true``: `nwbpipe run` keeps reports up to date."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.cli import main
from nwbpipe.cli._run_progress import keep_reports
from nwbpipe.errors import ToolMissingError
from nwbpipe.project import Project, Watcher, load_project
from nwbpipe.report import _keep
from tests.fixtures.projects import Inline, make_project

pytestmark = pytest.mark.usefixtures("test_processors")


class Quiet:
    """A reporter that keeps what ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def on_plan(self, states: Any, about: str) -> None: ...

    def on_start(self, state: Any) -> None: ...

    def on_progress(self, state: Any, fraction: float, text: str) -> None: ...

    def on_end(self, state: Any, ended: Any) -> None:
        self.ended.append(f"{state.session} {state.step}")


def ask_for_reports(project: Project, of: str) -> Project:
    """Write ``report = true`` into a section."""
    path = project.spec.path
    path.write_text(path.read_text().replace(f"[{of}]\n", f"[{of}]\nreport = true\n"))
    assert "report = true" in path.read_text()
    return Project(path)


def run(project: Project, *sessions: str, **options: Any) -> list[str]:
    quiet = Quiet()
    with keep_reports(project, quiet) as reporter:
        project.run(sessions, executor=Inline(), reporter=reporter, **options)
    return quiet.ended


def list_pages(project: Project) -> dict[str, int]:
    folder = project.spec.folder / "report"
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*.html")}


def test_pages_follow_the_runs_and_nothing_is_drawn_where_nothing_changed(tmp_path: Path) -> None:
    project = ask_for_reports(make_project(tmp_path / "lab", 2), "project")
    assert "m1/s0 first" in run(project, "m1/s0")
    first = list_pages(project)
    assert {"index.html", "sessions/m1__s0.html"} <= first.keys()
    assert "first" in (tmp_path / "lab" / "report" / "sessions" / "m1__s0.html").read_text()
    run(project, "m1/s0")
    assert list_pages(project) == first
    run(project)
    second = list_pages(project)
    assert second["sessions/m1__s0.html"] == first["sessions/m1__s0.html"]
    assert "sessions/m1__s1.html" in second
    assert second["index.html"] != first["index.html"]


def test_a_step_may_ask_for_them_and_those_that_extend_it(tmp_path: Path) -> None:
    project = ask_for_reports(make_project(tmp_path / "lab", 2), "steps.second")
    assert [step.report for step in project.spec.steps.values()] == [False, True]
    run(project, steps=["first"])
    assert list_pages(project) == {}
    run(project, "m1/s1")
    assert [*list_pages(project)] == ["sessions/m1__s1.html"]
    path = project.spec.path
    path.write_text(path.read_text() + '\n[steps.third]\nextends = "second"\n')
    assert load_project(path).steps["third"].report


@pytest.mark.thorough
def test_pages_do_not_touch_the_plans_of_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made from listings of the stores; another thread must not replace them by older ones."""
    project = ask_for_reports(make_project(tmp_path / "lab", 2), "steps.second")
    threads = set()
    plain = project.planner.list_sessions

    def list_sessions() -> Any:
        threads.add(threading.current_thread())
        return plain()

    monkeypatch.setattr(project.planner, "list_sessions", list_sessions)
    run(project)
    assert len(list_pages(project)) == 2
    assert threads == {threading.current_thread()}


def test_a_watcher_has_them_drawn_before_it_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = ask_for_reports(make_project(tmp_path / "lab", 1), "project")
    pages: list[dict[str, int]] = []

    def wait(watcher: Watcher, _seconds: float) -> None:
        pages.append(list_pages(project))
        if len(pages) == 2:
            watcher.stop.set()

    monkeypatch.setattr(Watcher, "_has_arrived", lambda *_: True)
    monkeypatch.setattr(Watcher, "_wait", wait)
    monkeypatch.setattr(Project, "executor", lambda *_, **__: Inline())
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match="0"):
        main(["watch", "--project", str(project.spec.path)])
    assert {"index.html", "sessions/m1__s0.html"} <= pages[0].keys()
    assert pages[1] == pages[0]


def test_without_it_nothing_is_drawn(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab", 1)
    quiet = Quiet()
    with keep_reports(project, quiet) as reporter:
        assert reporter is quiet


def test_a_report_that_fails_is_told_and_the_run_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = ask_for_reports(make_project(tmp_path / "lab", 1), "project")
    folder = tmp_path / "lab" / "report" / "sessions"
    folder.mkdir(parents=True)
    (folder / "m1__s0.html").write_text("mine")
    assert len(run(project)) == 2
    assert "not a report of nwbpipe" in capsys.readouterr().err
    assert (folder / "m1__s0.html").read_text() == "mine"
    (folder / "m1__s0.html").unlink()

    def fail(*_: Any) -> None:
        msg = "of the drawing"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr(_keep, "draw_aside", fail)
    monkeypatch.setattr(_keep, "write_project_report", fail)
    assert run(project) == []
    project.run(executor=Inline(), retry_failed=True)
    other = ask_for_reports(make_project(tmp_path / "other", 1), "project")
    assert len(run(other)) == 2
    assert "ZeroDivisionError: of the drawing" in capsys.readouterr().err


def test_without_the_packages_for_reports_runs_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins

    plain = builtins.__import__

    def find(name: str, *arguments: Any) -> Any:
        if name == "nwbpipe.report":
            msg = "the packages for reports are not installed"
            raise ToolMissingError(msg, hint="pip install 'nwbpipe[report]'")
        return plain(name, *arguments)

    project = ask_for_reports(make_project(tmp_path / "lab", 1), "project")
    monkeypatch.setattr(builtins, "__import__", find)
    quiet = Quiet()
    with keep_reports(project, quiet) as reporter:
        assert reporter is quiet
    assert "nwbpipe[report]" in capsys.readouterr().err
