"""A project that is made once: three sessions, of which one is done."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from nwbpipe.project import Project
from tests.fixtures.projects import Inline, make_project
from tests.serve.visitor import Visitor


@pytest.fixture(scope="session")
def made_lab(tmp_path_factory: pytest.TempPathFactory, test_distribution: Path) -> Path:
    """Folder of the project; tests that change it take `lab`."""
    folder = tmp_path_factory.mktemp("dashboard") / "lab"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(test_distribution)])
        project = make_project(folder, 3)
        for number, sex in enumerate("FMF"):
            with h5py.File(folder / "nwb" / f"s{number}.nwb", "r+") as file:
                file["general/subject/sex"][()] = sex
        project.run(["m1/s1"], executor=Inline())
    return folder


@pytest.fixture
def lab(made_lab: Path, tmp_path: Path, test_processors: None) -> Project:
    """A copy of the project."""
    return Project(shutil.copytree(made_lab, tmp_path / "lab"))


@pytest.fixture(scope="module")
def visitor(made_lab: Path, test_distribution: Path) -> Iterator[Visitor]:
    """Someone who looks at the project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(test_distribution)])
        yield Visitor(made_lab)
