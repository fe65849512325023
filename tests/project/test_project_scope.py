"""Steps of project scope: an artefact of many sessions, and steps that read it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe import errors
from nwbpipe.project import Project, Session
from nwbpipe.project.plan import Planner, SessionPlan
from nwbpipe.project.plan._evaluate import Evaluation
from nwbpipe.run._artefacts import PROJECT, read_artefact
from tests.fixtures.processing import write_session
from tests.fixtures.projects import HEAD, Inline, make_project, table

STEPS = """
[steps.pca]
processor = "shared_pca"
scope = "project"
params = { n_components = 2 }
[steps.scores]
processor = "pca_scores"
inputs.model = "pca"
[steps.other]
processor = "scale"
"""
pytestmark = pytest.mark.usefixtures("test_processors")


def change(path: Path, seed: int) -> None:
    """Give a session other features."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((100, 2)) * [3.0, 1.0]
    with h5py.File(path, "r+") as file:
        mixed = latent @ np.array([[2.0, 1.0, 0.0], [0.0, 1.0, -1.0]]) + 50
        file["acquisition/lever/data"][...] = mixed + 0.01 * rng.standard_normal((100, 3))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path, 2, STEPS)
    for number in range(2):
        change(tmp_path / f"nwb/s{number}.nwb", number)
    return made


def run(project: Project, **options: object) -> tuple[int, list[str]]:
    """Run all; return how many were done, and what was run."""
    executor = Inline()
    summary = project.run(executor=executor, **options)  # type: ignore[arg-type]
    assert not summary.failed, summary.failed
    return summary.done, [f"{job.session} {job.run}" for job in executor.jobs]


def features(folder: Path) -> np.ndarray:
    parts = []
    for path in sorted((folder / "nwb").glob("*.nwb")):
        with h5py.File(path) as file:
            parts.append(file["acquisition/lever/data"][()])
    return np.concatenate(parts)


def test_an_artefact_is_made_once_and_read_by_every_session(project: Project, tmp_path: Path) -> None:
    before = table(project)
    assert before[f"{PROJECT} pca"] == "missing"
    assert before["m1/s1 scores"] == "missing"
    assert project.state("m1/s1", "scores")[0].reason == "after pca"
    done, ran = run(project)
    assert done == 5
    assert ran.count(f"{PROJECT} pca") == 1
    assert set(table(project).values()) == {"done"}
    assert len(table(project)) == 5  # once for the project, not for each session
    assert run(project) == (0, [])
    # The truth: components of all samples together.
    (record,) = (tmp_path / "models/pca").glob("*/*.json")
    (folder,) = (one for one in record.parent.iterdir() if one.is_dir())
    samples = features(tmp_path)
    found = np.load(folder / "components.npy")
    _, _, true = np.linalg.svd(samples - samples.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found @ true[:2].T), np.eye(2), atol=1e-6)
    np.testing.assert_allclose(np.load(folder / "mean.npy"), samples.mean(axis=0))
    with h5py.File(tmp_path / "nwb/s1.nwb") as file:
        scores = file["processing/behavior/PrincipalComponents_scores/data"][()]
        expected = (file["acquisition/lever/data"][()] - samples.mean(axis=0)) @ found.T
    np.testing.assert_allclose(scores, expected)
    # Both records tell where it comes from.
    values = json.loads(record.read_text())
    assert {one["path"] for one in values["inputs"]} == {f"m1/s{n}:/acquisition/lever" for n in range(2)}
    records = {one.step: one for one in nwbpipe.read_records(tmp_path / "nwb/s1.nwb")}
    (model,) = (one for one in records["scores"].inputs if one.name == "model")
    assert model.path == f"models://pca/{record.parent.name}/{folder.name}"
    assert model.identity == folder.name
    lineage = project.lineage()
    assert f"nwbpipe:run/{values['run_id']}" in lineage["activity"]
    assert {one.step for one in project.runs() if one.session == PROJECT} == {"pca"}
    assert all(one.ok and one.largest == 0 for one in project.verify("m1/s1", "scores"))
    with pytest.raises(errors.RequestError, match="an artefact can't be verified"):
        project.verify(PROJECT, "pca")
    by_hand(tmp_path, folder)


@pytest.mark.parametrize("sessions", [1, 4])
def test_the_end_of_a_run_costs_the_same_however_many_sessions_there_are(
    sessions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path, sessions, STEPS)
    for number in range(sessions):
        change(tmp_path / f"nwb/s{number}.nwb", number)
    evaluated: list[str] = []
    real = Planner._evaluate

    def evaluate(planner: Planner, session: Session, *arguments: Any) -> Evaluation:
        evaluated.append(session.key)
        return real(planner, session, *arguments)

    full_plans = []
    make_plans = Planner.make_plans

    def plan(planner: Planner, *arguments: Any, **options: Any) -> dict[str, SessionPlan]:
        full_plans.append(planner)
        return make_plans(planner, *arguments, **options)

    monkeypatch.setattr(Planner, "_evaluate", evaluate)
    monkeypatch.setattr(Planner, "make_plans", plan)
    done, _ = run(project)
    assert done == 2 * sessions + 1
    assert len(full_plans) == 2  # at the beginning, and when the artefact is there
    # Each session: twice in each of them (before and after the artefact), and after each of its two runs.
    assert len(evaluated) <= 6 * sessions


def test_a_status_with_nothing_changed_evaluates_no_session(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)
    time.sleep(2.1)  # the index keeps no state of files that have just changed
    status = Project(tmp_path).status(verify=True)
    monkeypatch.setattr("nwbpipe.project.plan._planner.evaluate", lambda *_, **__: pytest.fail("evaluated again"))
    assert Project(tmp_path).status(verify=True) == status


def by_hand(tmp_path: Path, folder: Path) -> None:
    """The same artefact for a file of no project; one that was changed is refused."""
    file = write_session(tmp_path / "alone.nwb", "lever")
    made = nwbpipe.process(file, "pca_scores", inputs={"model": str(folder)})
    assert made.record.inputs[1].identity == folder.name
    assert nwbpipe.check(file).in_order
    with pytest.raises(errors.InputError, match="none is named"):
        nwbpipe.process(file, "pca_scores", step="again", inputs={"series": "acquisition/lever"})
    with pytest.raises(errors.InputError, match="no record of an artefact"):
        nwbpipe.process(
            file, "pca_scores", step="again", inputs={"series": "acquisition/lever", "model": str(tmp_path)}
        )
    with pytest.raises(errors.RequestError, match="artefact of a whole project"):
        nwbpipe.process(file, "shared_pca")
    assert read_artefact(folder).record.step == "pca"
    np.save(folder / "mean.npy", np.zeros(3))
    with pytest.raises(errors.DamagedFileError, match="files of an artefact were changed"):
        read_artefact(folder)


def test_another_artefact_makes_just_its_dependants_stale(project: Project, tmp_path: Path) -> None:
    run(project)
    change(tmp_path / "nwb/s1.nwb", 9)
    states = table(project)
    assert states[f"{PROJECT} pca"] == "stale"
    assert "other content" in project.state(PROJECT, "pca")[0].reason
    assert states["m1/s0 scores"] == "stale"
    assert states["m1/s0 other"] == "done"
    assert states["m1/s1 other"] == "stale"
    done, ran = run(project)
    assert done == 4
    assert sorted(ran) == ["m1/s0 scores", "m1/s1 other", "m1/s1 scores", f"{PROJECT} pca"]
    assert len(list((tmp_path / "models/pca").iterdir())) == 2  # the earlier one stays
    assert set(table(project).values()) == {"done"}
    change(tmp_path / "nwb/s1.nwb", 1)  # as it was: the earlier artefact is there
    assert table(project)[f"{PROJECT} pca"] == "done"
    assert project.pending(steps=["scores"])[0].reason == "the input model has other content"


def test_a_new_session_makes_it_stale_unless_it_is_left_out(project: Project, tmp_path: Path) -> None:
    done, ran = run(project, sessions=["m1/s0"])
    assert (done, ran) == (1, ["m1/s0 other"])  # some sessions alone don't make an artefact of all
    run(project, steps=["pca"])
    (tmp_path / "nwb/s3.nwb").write_bytes((tmp_path / "nwb/s1.nwb").read_bytes())
    with h5py.File(tmp_path / "nwb/s3.nwb", "r+") as file:
        file["general/session_id"][()] = "s3"
    change(tmp_path / "nwb/s3.nwb", 3)
    assert table(project)[f"{PROJECT} pca"] == "stale"
    text = (tmp_path / "nwbpipe.toml").read_text()
    (tmp_path / "nwbpipe.toml").write_text(f'{text}[[ignore]]\nsession = "m1/s3"\nsteps = ["pca"]\n')
    ignoring = Project(tmp_path)
    assert table(ignoring)[f"{PROJECT} pca"] == "done"
    (state,) = ignoring.state("m1/s3", "scores")
    assert (state.state, state.ready) == ("missing", True)  # it reads what was made without it


def test_a_session_that_cannot_serve_is_not_left_out_in_silence(project: Project, tmp_path: Path) -> None:
    write_session(tmp_path / "nwb/s9.nwb", "lever", "wheel")
    with h5py.File(tmp_path / "nwb/s9.nwb", "r+") as file:
        file["general/session_id"][()] = "s9"
    (state,) = project.state(PROJECT, "pca")
    assert state.state == "blocked"
    assert "m1/s9: several objects could be the input" in state.reason
    assert "[[ignore]]" in state.reason
    (dependant,) = project.state("m1/s0", "scores")
    assert (dependant.state, dependant.reason) == ("blocked", "pca is blocked")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ('[steps.pca]\nprocessor = "shared_pca"\n', 'expected: scope = "project"'),
        ('[steps.a]\nprocessor = "scale"\nscope = "project"\n', 'expected: scope = "session"'),
        ('[steps.a]\nprocessor = "pca_scores"\n', "is an artefact of 'shared_pca'"),
        (
            '[steps.a]\nprocessor = "scale"\n[steps.b]\nprocessor = "pca_scores"\ninputs.model = "a"\n',
            "is an artefact of 'shared_pca'",
        ),
        (
            '[steps.p]\nprocessor = "shared_pca"\nscope = "project"\n[steps.b]\nprocessor = "scale"\n'
            'inputs.series = "p"\n',
            "is not an artefact",
        ),
        ('[steps.p]\nprocessor = "shared_pca"\nscope = "project"\nprimary = true\n', "never primary"),
    ],
)
def test_mistakes_of_scope_are_named(steps: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "nwbpipe.toml").write_text(HEAD + steps)
    with pytest.raises(errors.SpecError) as caught:
        Project(tmp_path)
    assert message in str(caught.value)
