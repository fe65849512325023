"""A run of one session costs the same time and memory however many sessions the project has."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.machine import _forked
from nwbpipe.project import Project
from nwbpipe.project.plan import Planner, _describe
from nwbpipe.project.state import Index, RunObject
from nwbpipe.stores import StoreEntry

TOML = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "raw://**/session.yaml"
output = "nwb://ses-{session_id}.nwb"
[stores]
raw = "raw"
nwb = "nwb"
state = "state"
"""
LAB = """\
subject: {subject_id: m1, species: Mus musculus, sex: F, age: P90D}
session: {session_start_time: 2024-05-01T10:00:00-04:00, session_description: a test}
sources:
  speed: {interface: SeriesInterface, args: {file_path: speed.csv, unit: m/s, sampling_frequency: 10.0}}
"""


@pytest.fixture
def planner(tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch) -> Planner:
    """A project of three sessions that are not converted; what has just been written counts as at rest."""
    monkeypatch.setattr("nwbpipe.project.state._index._SETTLED_S", -60.0)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/lab.yaml").write_text(LAB)
    for number in range(3):
        folder = tmp_path / f"raw/s{number}"
        folder.mkdir()
        (folder / "speed.csv").write_text("speed\n1\n2\n")
        spec = f'nwbpipe: 1\nextends: ../lab.yaml\nsession: {{session_id: "s{number}"}}\n'
        (folder / "session.yaml").write_text(spec)
    (tmp_path / "nwbpipe.toml").write_text(TOML)
    return Project(tmp_path).planner


def test_the_specs_of_all_sessions_are_not_kept_in_memory(planner: Planner) -> None:
    sessions, _ = planner.list_sessions()
    planner.make_plans(sessions)
    assert len(planner.index.load("spec")) == 3
    assert (planner.specs._loaded, planner.specs.fresh) == ({}, {})


def test_specs_of_many_sessions_are_loaded_some_at_a_time(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbpipe.project.plan._spec_index.AT_ONCE", 2)
    sessions, _ = planner.list_sessions()
    for session in planner.specs.iterate(sessions):
        planner.specs.read(session)
    monkeypatch.setattr("nwbpipe.project.plan._spec_index.read_spec_content", lambda *_: pytest.fail("read again"))
    loaded = {
        session.key: len(planner.specs._loaded)
        for session in planner.specs.iterate(sessions)
        if planner.specs.read(session)
    }
    assert loaded == {"m1/s0": 2, "m1/s1": 2, "m1/s2": 1}


def test_the_end_of_a_run_reads_nothing_of_other_sessions(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, _ = planner.list_sessions()
    plans = planner.make_plans(sessions)
    for session in sessions[:2]:
        state = plans[session.key].steps[0]
        now, error = "2024-05-01T10:00:00+00:00", {"code": "NP000", "text": f"of {session.key}"}
        planner.runs.add(
            RunObject(session.session_id, state.key, session.key, "convert", "failed", now, now, "", error)
        )
    planner.read_failures()
    asked: list[tuple[str, tuple[str, ...] | None]] = []
    listed: list[str] = []
    read_rows, list_store = Index._read_rows, type(planner.state).list

    def read_and_note(index: Index, kind: str, names: Sequence[str] | None) -> Iterator[Any]:
        asked.append((kind, None if names is None else tuple(names)))
        return read_rows(index, kind, names)

    def list_and_note(store: Any, prefix: str = "", **options: Any) -> Iterator[StoreEntry]:
        listed.append(prefix)
        return list_store(store, prefix, **options)

    monkeypatch.setattr(Index, "_read_rows", read_and_note)
    monkeypatch.setattr(type(planner.state), "list", list_and_note)
    monkeypatch.setattr("nwbpipe.project.plan._spec_index.read_spec_content", lambda *_: pytest.fail("read again"))
    (plan,) = planner.refresh_plans("m1/s1", {session.key: session for session in sessions}).values()
    assert (plan.steps[0].state, plan.steps[0].reason) == ("failed", "of m1/s1")
    assert listed == ["runs/failed/m1/s1"]
    assert {kind: len(names or "all") for kind, names in asked} == {"failure": 1, "spec": 1}


def test_forks_find_the_states_that_one_process_finds(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, problems = planner.list_sessions()
    plans = planner.make_plans(sessions)
    specs = planner.index.load("spec")
    planner.index.path.unlink()
    fresh = Project(planner.project.folder).planner
    monkeypatch.setattr(_forked, "may_fork", lambda: True)
    monkeypatch.setattr(_describe, "_FEW", 0)
    monkeypatch.setattr(_describe, "_describe_session", refuse_here(_describe._describe_session))
    monkeypatch.setattr(fresh, "_evaluate_for_index", refuse_here(fresh._evaluate_for_index))
    assert fresh.list_sessions() == (sessions, problems)
    assert fresh.make_plans(sessions) == plans
    assert fresh.index.load("spec") == specs


def test_what_changes_while_others_are_described_is_described_again(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, describe = planner.project.folder / "raw/s0/session.yaml", _describe.map_sessions

    def describe_ahead(*arguments: Any) -> Iterator[Any]:  # as forks do
        descriptions = list(describe(*arguments))
        spec.write_text(spec.read_text().replace('"s0"', '"later"'))
        return iter(descriptions)

    monkeypatch.setattr(_describe, "map_sessions", describe_ahead)
    assert [session.session_id for session in planner.list_sessions()[0]] == ["s0", "s1", "s2"]
    monkeypatch.undo()
    assert {session.session_id for session in planner.list_sessions()[0]} == {"later", "s1", "s2"}


def refuse_here(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function be called in forks of this process alone."""
    here = os.getpid()

    def call(*arguments: Any, **options: Any) -> Any:
        assert os.getpid() != here
        return function(*arguments, **options)

    return call


def test_a_session_that_was_not_at_rest_is_not_kept(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the other sessions take so long that it is at rest when all of them are stored."""
    sessions, _ = planner.list_sessions()
    monkeypatch.setattr("nwbpipe.project.state._index._SETTLED_S", 0.6)
    for path in planner.project.folder.rglob("*"):
        os.utime(path)
    evaluate = planner._evaluate_for_index

    def evaluate_slowly(*arguments: Any) -> Any:
        found = evaluate(*arguments)
        time.sleep(0.4)
        return found

    monkeypatch.setattr(planner, "_evaluate_for_index", evaluate_slowly)
    planner.make_plans(sessions)
    assert "m1/s0" not in planner.index.load("status")
