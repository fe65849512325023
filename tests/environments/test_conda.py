"""Conda environments, with a stand-in for micromamba: its commands, and a run in what it made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import Checkout, EnvironmentKind, Tool
from nwbpipe.errors import RequestError, ToolMissingError

NUMPY = Tool("numpy", ("numpy>=1.20", "h5py>=3.8"), python=">=3.9,<3.14", conda=("numpy>=1.20", "h5py>=3.8"))
BY_PIP = Tool("numpy", ("numpy>=1.20", "h5py>=3.8"))
ELSEWHERE = Tool(
    "elsewhere",
    ("elsewhere>=1",),
    conda=("elsewhere>=1",),
    checkout=Checkout("https://example.org/elsewhere", "setup.py", ("VERSION", r"^(\S+)")),
)
# Makes a prefix whose Python is the one that runs the tests; pip there does nothing.
MAMBA = f"""
if words[0] == "create":
    python = pathlib.Path(words[words.index("--prefix") + 1]) / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\\n[ "$2" = pip ] && exit 0\\nexec {sys.executable} "$@"\\n')
    python.chmod(0o755)
else:
    print("@EXPLICIT")
"""


@pytest.fixture
def micromamba(programs: Callable[[str, str], Path]) -> Path:
    return programs("micromamba", MAMBA)


def test_packages_come_from_conda_forge_alone(micromamba: Path, calls: Callable) -> None:
    python = environments.install(NUMPY, kind=EnvironmentKind.CONDA)
    start = ["create", "--yes", "--quiet", "--prefix", str(python.parent.parent)]
    channel = ["--override-channels", "--channel", "conda-forge"]
    assert calls("micromamba") == [[*start, *channel, "python>=3.9,<3.14", "numpy>=1.20", "h5py>=3.8"]]
    found = environments.find(NUMPY)
    assert (found.kind, found.python) == (EnvironmentKind.CONDA, python)


def test_a_tool_without_conda_packages_is_installed_by_pip_in_it(micromamba: Path, calls: Callable) -> None:
    environments.install(BY_PIP, kind=EnvironmentKind.CONDA)
    assert calls("micromamba")[0][-2:] == ["python>=3.9", "pip"]
    assert environments.find(BY_PIP).kind is EnvironmentKind.CONDA


def test_a_run_in_it_sees_its_prefix(micromamba: Path, tmp_path: Path) -> None:
    prefix = environments.install(NUMPY, kind=EnvironmentKind.CONDA).parent.parent
    found = environments.find(NUMPY)
    outcome = environments.run(
        found, "tests.fixtures._environment_compute", {"threads": 3}, scratch=tmp_path, log=tmp_path / "log"
    )
    assert outcome.summary["variables"]["CONDA_PREFIX"] == str(prefix)
    assert outcome.summary["variables"]["PATH"].startswith(str(prefix / "bin"))
    assert outcome.summary["variables"]["OMP_NUM_THREADS"] == "3"


def test_a_lock_is_condas_own_list(micromamba: Path, calls: Callable, own_tools: Path) -> None:
    environments.install(NUMPY, kind=EnvironmentKind.CONDA)
    lock = environments.lock_tool(NUMPY)
    assert lock.read_text().startswith("@EXPLICIT")
    environments.install(NUMPY, locked=True)  # the lock says which kind
    option, file = calls("micromamba")[-1][-2:]
    assert (option, Path(file).name) == ("--file", lock.name)  # a copy of the lines that were accepted
    assert environments.find(NUMPY).kind is EnvironmentKind.CONDA
    with pytest.raises(RequestError, match="does not serve an environment of the kind 'isolated'"):
        environments.install(NUMPY, kind=EnvironmentKind.ISOLATED, lock=lock)
    assert environments.find(NUMPY).kind is EnvironmentKind.CONDA  # refused before anything was taken away


def test_what_is_on_no_index_is_taken_from_conda(micromamba: Path, calls: Callable) -> None:
    environments.install(ELSEWHERE)
    assert calls("micromamba")[0][-1] == "elsewhere>=1"


def test_without_conda_it_is_said_and_nothing_is_made(programs: Callable, own_tools: Path) -> None:
    with pytest.raises(ToolMissingError, match=r"(?s)there is no conda.*micromamba.*git clone https://example.org"):
        environments.install(ELSEWHERE)
    with pytest.raises(ToolMissingError, match="there is no conda"):
        environments.install(NUMPY, kind=EnvironmentKind.CONDA)
    assert not own_tools.exists()
