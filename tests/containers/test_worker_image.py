"""The image of `nwbpipe watch --write-dockerfile` runs a step of the core, as a user of any id."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe import __version__
from nwbpipe.project import render_watch_dockerfile
from tests.fixtures.containers import BASE, FOLDER, Engine
from tests.processors.imaging.session import write_session

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]
PROJECT = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "nwb://*.nwb"
[stores]
nwb = "nwb"
state = "state"
[steps.quality]
processor = "imaging_quality"
inputs.movie = "acquisition/*"
"""


def test_a_worker_s_image_runs_a_step_as_any_user(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile.base").write_text(
        f"FROM {BASE}\nCOPY . /nwbpipe-wheels\nENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/nwbpipe-wheels\n"
    )
    base, image = "localhost/nwbpipe-tests-worker-base:1", "localhost/nwbpipe-tests-worker:1"
    engine.call("build", "--network=none", "--tag", base, "-f", tmp_path / "Dockerfile.base", FOLDER / "nwbpipe")
    (context := tmp_path / "context").mkdir()
    (context / "Dockerfile").write_text(render_watch_dockerfile(__version__, "3.11", "", base))
    engine.call("build", "--network=none", "--tag", image, context)
    project = tmp_path / "project"
    (project / "nwb").mkdir(parents=True)
    (project / "nwbpipe.toml").write_text(PROJECT)
    write_session(
        project / "nwb" / "s.nwb", np.random.default_rng(0).integers(0, 200, (40, 16, 16), np.uint16), rate=10.0
    )
    user = 1234 if os.geteuid() == 0 else os.geteuid()
    for path in (project, *project.rglob("*")):
        os.chown(path, user, user if os.geteuid() == 0 else os.getegid())
    keep = ["--userns=keep-id"] if engine.name == "podman" and os.geteuid() else [f"--user={user}:{user}"]
    words = ["run", "--rm", "--network=none", *keep, "--volume", f"{project}:/project", image]
    said = engine.call(*words, "nwbpipe", "run", "--workers", "1")
    with h5py.File(project / "nwb" / "s.nwb") as file:
        assert any(name.startswith("ScanQuality_") for name in file["processing/ophys"]), said
    assert (project / "nwb" / "s.nwb").stat().st_uid == user
