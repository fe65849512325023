"""The pages: what they show of a project, filtered and sorted, and texts of strangers in them."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import h5py
import pytest

from nwbpipe.errors import RequestError
from nwbpipe.machine import identify_machine
from nwbpipe.processors import ReportFigure, processor
from nwbpipe.project import Project
from nwbpipe.project.plan import Planner
from nwbpipe.project.state import Leases, RunObject
from nwbpipe.serve import serve
from nwbpipe.serve._draw import main
from nwbpipe.serve._overview import LENGTH
from nwbpipe.serve._processes import RunProcesses
from nwbpipe.serve._run_pages import _as_pattern
from nwbpipe.serve._view import ProjectView, Selection, cut_page
from tests.fixtures.projects import HEAD, STEPS, Inline, make_project
from tests.serve.visitor import Visitor, read_text

pytestmark = pytest.mark.usefixtures("test_processors")
FAILING = STEPS.replace("factor = 3", 'factor = 3, ending = "raise"')


def keys(page: str) -> list[str]:
    """Return the sessions of a table, in order."""
    return [part.partition("</a>")[0].rpartition(">")[2] for part in page.split('<th scope="row">')[1:]]


def test_sessions_are_shown_with_the_states_of_their_steps(visitor: Visitor) -> None:
    page = visitor.get("/").text
    assert keys(page) == ["m1/s0", "m1/s1", "m1/s2"]
    assert "2 done" in read_text(page)
    assert "4 missing" in read_text(page)
    assert page.count('<span class="hidden">done</span>') == 2
    fragment = visitor.get("/part/table")
    assert keys(fragment.text) == keys(page)
    again = visitor.get(f"/part/table?version={fragment.headers['x-version']}")
    assert again.status_code == 204


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"where": "sex = 'F'"}, ["m1/s0", "m1/s2"]),
        ({"search": "S1 mus"}, ["m1/s1"]),
        ({"search": "nothing of that name"}, []),
        ({"state": "done"}, ["m1/s1"]),
        ({"state": "missing", "where": "session_id > 's0'"}, ["m1/s2"]),
        ({"sort": "-session"}, ["m1/s2", "m1/s1", "m1/s0"]),
        ({"sort": "sex"}, ["m1/s0", "m1/s2", "m1/s1"]),
        ({"sort": "-first"}, ["m1/s1", "m1/s0", "m1/s2"]),
        ({"sort": "no such column", "page": "99"}, ["m1/s0", "m1/s1", "m1/s2"]),
    ],
)
def test_sessions_are_filtered_and_sorted(visitor: Visitor, query: dict[str, str], expected: list[str]) -> None:
    assert keys(visitor.get("/", params=query).text) == expected


def test_a_wrong_condition_is_told_and_shows_nothing(visitor: Visitor) -> None:
    page = visitor.get("/", params={"where": "sex = <script>"}).text
    assert keys(page) == []
    assert "the condition can't be read" in read_text(page)
    assert "<script>" not in page


def test_a_page_of_rows() -> None:
    rows = list(range(250))
    assert [cut_page(rows, number, 100).number for number in (-3, 1, 3, 9)] == [1, 1, 3, 3]
    assert cut_page(rows, 3, 100).rows == rows[200:]
    assert cut_page([], 1, LENGTH).total == 1


def test_what_sessions_have_in_common_and_what_is_unchanged_is_in_memory_once(
    lab: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nwbpipe.project.plan._planner.AT_ONCE", 2)
    view = ProjectView(lab.spec.path)
    first = view.refresh()
    inputs = [row.plan.select_step("first")[0].inputs for row in first.rows]
    assert len(inputs) == 3
    assert inputs[0]
    assert {id(paths) for paths in inputs} == {id(inputs[0])}
    lab.run(["m1/s2"], executor=Inline())
    second = view.refresh()
    assert second.number == first.number + 1
    assert [new is old for new, old in zip(second.rows, first.rows, strict=True)] == [True, True, False]
    assert [state.state for state in second.by_key["m1/s2"].plan.steps] == ["done", "done"]


def test_a_lease_shows_as_running_at_once_and_counts_once(lab: Project) -> None:
    visitor = Visitor(lab.spec.path)
    leases = Leases(lab.planner.state)
    try:
        assert leases.take("run-x", session="m1/s0", step="first") is not None
        page = visitor.get("/").text
        assert "Running now" in page
        assert "this machine" in page
        text = read_text(page)
        assert "1 running" in text
        assert "3 missing" in text
        assert "running for" in read_text(visitor.get("/session/m1/s0").text)
        assert visitor.view.select(visitor.view.snapshot, Selection(state="running"))[0].key == "m1/s0"
    finally:
        leases.close()
    visitor.view._leases = (0.0, [])
    assert "Running now" not in visitor.get("/part/running").text


def test_a_lease_of_no_process_is_shown_and_not_stopped(lab: Project) -> None:
    content = {"machine": identify_machine(), "session": "m1/s0", "step": "first"}
    lab.planner.state.write_bytes("leases/x.json", json.dumps(content).encode())
    page = Visitor(lab.spec.path).get("/").text
    assert "Running now" in page
    assert "stop runner" not in page


def test_a_session_shows_its_runs_and_the_log_of_a_failure(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab", 1, FAILING)
    project.run(executor=Inline())
    visitor = Visitor(project.spec.path)
    page = visitor.get("/session/m1/s0").text
    assert "retry" in page
    link = page.partition("/log/")[2].partition('"')[0]
    log = visitor.get(f"/session/m1/s0/log/{link}")
    assert log.status_code == 200
    assert "Traceback" in log.text
    assert visitor.get("/session/m1/s0/log/nothing").status_code == 404


def test_a_run_object_names_no_other_file_as_its_log(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab", 1)
    state = project.planner.state
    state.write_bytes("secret.txt", b"secret")
    now = "2026-01-01T00:00:00+00:00"
    for number, path in enumerate(("secret.txt", "../nwbpipe.toml", "logs/m1/s0/../../../secret.txt")):
        run = RunObject(f"r{number}", "k", "m1/s0", "first", "failed", now, now, "", log=path)
        state.write_bytes(run.path, json.dumps(run.as_dict()).encode())
    visitor = Visitor(project.spec.path)
    for number in range(3):
        answer = visitor.get(f"/session/m1/s0/log/r{number}")
        assert answer.status_code == 404
        assert "secret" not in answer.text.replace("secret.txt", "")


def test_only_sessions_of_the_project_have_pages(visitor: Visitor) -> None:
    for path in ("/session/m1/none", "/session/..%2f..%2fetc/passwd", "/session/m1/s0/log/..%2fx", "/session/m1"):
        assert visitor.get(path).status_code == 404, path
    assert visitor.get("/session/m1/s0").status_code == 200


def test_the_report_is_drawn_once_for_each_state_of_the_file(lab: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn by a process of its own, which is a stand-in here: the browser's tests see what it draws."""
    commands: list[list[str]] = []

    def draw(command: list[str], **_: Any) -> CompletedProcess[bytes]:
        commands.append(command)
        return CompletedProcess(command, 0, b"<h2>Drawn</h2>", b"")

    monkeypatch.setattr("subprocess.run", draw)
    visitor = Visitor(lab.spec.path)
    first = visitor.get("/session/m1/s1/part/report")
    assert "<h2>Drawn</h2>" in first.text
    version = first.headers["x-version"]
    assert visitor.get(f"/session/m1/s1/part/report?version={version}").status_code == 204
    assert visitor.get("/session/m1/s1/part/report").text == first.text
    file = lab.spec.folder / "nwb" / "s1.nwb"
    assert [command[-2:] for command in commands] == [["nwbpipe.serve._draw", str(file)]]
    file.write_bytes(file.read_bytes())
    visitor.get("/session/m1/s1/part/report")
    assert len(commands) == 2


def test_the_process_that_draws_prints_the_parts_of_a_report_and_nothing_of_what_others_print(
    made_lab: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A processor may print a name of the file, which would be markup."""

    def figures(_method: Any, _nwbfile: Any, _result: Any) -> list[ReportFigure]:
        print("<b>from python</b>")
        os.write(1, b"<b>from a library</b>")
        return []

    monkeypatch.setattr(type(processor("scale")), "figures", figures)
    monkeypatch.setattr("sys.argv", ["draw", str(made_lab / "nwb" / "s1.nwb")])
    main()
    output, errors = capfdbinary.readouterr()
    assert "Graph of runs" in output.decode()
    assert b"<html" not in output
    assert b"<b>from" not in output
    assert b"<b>from python</b>" in errors
    assert b"<b>from a library</b>" in errors


def test_several_sessions_are_run_as_browsers_name_them(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end each line with CR LF."""
    started: list[list[str]] = []
    monkeypatch.setattr("nwbpipe.project.Project.require_trust", lambda _: None)
    monkeypatch.setattr(
        "nwbpipe.serve._processes.RunProcesses.start", lambda _, options, title: started.append([*options, title])
    )
    assert visitor.post("/run", {"keys": "m1/s0\r\nm1/s2"}).status_code == 303
    assert started[0][1:] == ["--session=m1/s0", "--session=m1/s2", "m1/s0, m1/s2"]


def test_a_run_that_is_refused_starts_nothing_and_others_are_as_the_form_says(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(
        "nwbpipe.serve._processes.RunProcesses.start", lambda _, options, title: started.append(options)
    )
    form = {"keys": "m1/s0\nm1/s1", "step": "first", "retry": "yes"}

    def refuse(_: Project) -> None:
        raise RequestError("the project is not trusted")

    monkeypatch.setattr(Project, "require_trust", refuse)
    assert visitor.post("/run", form).status_code == 400
    monkeypatch.setattr(Project, "require_trust", lambda _: None)
    assert visitor.post("/run", form | {"keys": "m1/nothing"}).status_code == 400
    assert visitor.post("/run", form | {"step": "nothing"}).status_code == 400
    with monkeypatch.context() as patch:
        patch.setattr("nwbpipe.serve._run_pages.MOST_KEYS", 1)
        assert visitor.post("/run", form).status_code == 400
    assert started == []
    assert visitor.post("/run", form | {"where": "sex = 'F'"}).status_code == 303
    options = ["--session=m1/s0", "--session=m1/s1", "--where=sex = 'F'", "--step=first", "--retry-failed"]
    assert started[0][1:] == options


def test_signs_of_a_pattern_in_a_key_mean_themselves() -> None:
    assert _as_pattern("m[1]/s*?") == "m[[]1]/s[*][?]"


def test_at_most_some_runs_go_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: SimpleNamespace(poll=lambda: None))
    processes = RunProcesses()
    for number in range(1, 5):
        assert processes.start([], "all").number == number
    with pytest.raises(RequestError, match="too many runs"):
        processes.start([], "all")
    processes.close()


def test_read_only_shows_no_button(visitor: Visitor) -> None:
    reader = Visitor(visitor.view.path, read_only=True)
    for path in ("/", "/session/m1/s0"):
        assert 'method="post"' in visitor.get(path).text
        assert 'method="post"' not in reader.get(path).text


def test_a_damaged_file_is_told_in_the_place_of_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s0.nwb"
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    monkeypatch.setattr("sys.argv", ["draw", str(file)])
    with pytest.raises(SystemExit):
        main()
    assert str(file) in capsys.readouterr().err
    monkeypatch.setattr(
        "subprocess.run", lambda command, **_: CompletedProcess(command, 1, b"", b"the file is\x1b damaged <b>")
    )
    text = Visitor(make_project(tmp_path / "lab", 1).spec.path).get("/session/m1/s0/part/report").text
    assert "can't be drawn" in text
    assert "the file is\\x1b damaged &lt;b&gt;" in text


HOSTILE = '<img src=x onerror=alert(1)>"\x1b[31m\u202e'


def test_texts_of_strangers_are_texts(lab: Project) -> None:
    file = Path(str(lab.sessions()[0][0].file))
    with h5py.File(file, "r+") as opened:
        opened["general/subject/genotype"] = HOSTILE
    visitor = Visitor(lab.spec.path)
    for path in ("/", "/session/m1/s0", f"/?search={HOSTILE[:8]}", "/?sort=genotype"):
        page = visitor.get(path).text
        assert "<img" not in page, path
        assert "\x1b" not in page
        assert "\u202e" not in page
    assert "&lt;img src=x" in visitor.get("/session/m1/s0").text


def test_a_look_at_the_project_ends_before_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread in foreign code aborts the process that ends."""
    make_project(tmp_path / "lab", 1)
    looking, ended = threading.Event(), threading.Event()

    def look(_: ProjectView) -> None:
        looking.set()
        time.sleep(0.2)
        ended.set()

    monkeypatch.setattr(ProjectView, "refresh", look)
    views: list[ProjectView] = []
    start = ProjectView.__init__
    monkeypatch.setattr(ProjectView, "__init__", lambda view, *a, **k: (start(view, *a, **k), views.append(view))[0])
    monkeypatch.setattr(
        "uvicorn.Server.run", lambda _, sockets: (views[0].start(), looking.wait(10), sockets[0].close())
    )
    serve(tmp_path / "lab", port=0, say=lambda _: None)
    assert ended.is_set()
    assert not views[0]._thread.is_alive()


def test_a_look_that_fails_is_shown_and_others_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path / "lab", 1)
    visitor = Visitor(project.spec.path)
    with monkeypatch.context() as patch:
        patch.setattr(Planner, "list_sessions", lambda *_: 1 / 0)
        assert "ZeroDivisionError" in read_text(visitor.get("/").text)
    assert keys(visitor.get("/").text) == ["m1/s0"]


def test_a_project_file_with_mistakes_shows_them_all_until_it_is_mended(tmp_path: Path) -> None:
    make_project(tmp_path / "lab", 1)
    file = tmp_path / "lab" / "nwbpipe.toml"
    visitor = Visitor(file)
    good = file.read_text()
    assert keys(visitor.get("/").text) == ["m1/s0"]
    file.write_text(HEAD + '[steps.first]\nprocessor = "sclae"\n[steps.second]\nprocesor = "scale"\n')
    text = read_text(visitor.get("/").text)
    assert "sclae" in text
    assert "procesor" in text
    time.sleep(0.01)
    file.write_text(good)
    assert keys(visitor.get("/").text) == ["m1/s0"]
    file.unlink()
    assert "there is no project file" in visitor.get("/").text
