"""Which Python has a tool, and how an isolated one is made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import EnvironmentKind, Tool
from nwbpipe.errors import ToolFailedError, ToolMissingError

NUMPY = Tool("numpy", ("numpy>=1.20",))
TINY = Tool("tinytool", ("tinytool>=1.0",), licence="MIT")


def test_the_current_python_serves_if_it_meets_the_requirements() -> None:
    found = environments.find(NUMPY)
    assert (found.kind, found.python) == (EnvironmentKind.CURRENT, Path(sys.executable))


def test_what_the_current_python_lacks_is_named() -> None:
    with pytest.raises(ToolMissingError, match=r"(?s)numpy>=999 \(found .*nwbpipe tools install numpy") as caught:
        environments.find(Tool("numpy", ("numpy>=999",)))
    assert caught.value.exit_code == 1


def test_install_find_and_remove(wheels: Path) -> None:
    with pytest.raises(ToolMissingError, match="not installed"):
        environments.find(TINY)
    environments.install(TINY)
    found = environments.find(TINY)
    assert (found.kind, found.version) == (EnvironmentKind.ISOLATED, "1.2")
    assert set(found.packages) <= {"tinytool", "pip", "setuptools"}
    assert environments.remove(TINY)
    assert not environments.remove(TINY)
    with pytest.raises(ToolMissingError):
        environments.find(TINY)


def test_a_lock_decides_the_versions(wheels: Path, tmp_path: Path) -> None:
    lock = tmp_path / "tinytool.txt"
    lock.write_text("tinytool==0.9\n")
    environments.install(Tool("tinytool", ("tinytool",)), lock=lock)
    with pytest.raises(ToolMissingError, match=r"tinytool>=1.0 \(found 0.9\)"):
        environments.find(TINY)


def test_a_failed_installation_counts_for_nothing(wheels: Path) -> None:
    with pytest.raises(ToolFailedError, match="tinytool"):
        environments.install(Tool("tinytool", ("tinytool>=7",)))
    with pytest.raises(ToolMissingError, match="not installed"):
        environments.find(TINY)


def test_a_named_python_comes_first(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = environments.install(TINY)
    monkeypatch.setenv("NWBPIPE_TOOLS", "/nonexistent")
    monkeypatch.setenv("NWBPIPE_TOOL_TINYTOOL_PYTHON", str(python))
    assert environments.find(TINY).kind is EnvironmentKind.EXISTING


def test_a_named_python_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_TOOL_NUMPY_PYTHON", "/nonexistent/python")
    with pytest.raises(ToolMissingError, match="is not the path of a file"):
        environments.find(NUMPY)


def test_a_named_python_without_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_TOOL_TINYTOOL_PYTHON", sys.executable)
    with pytest.raises(ToolMissingError, match="correct or unset NWBPIPE_TOOL_TINYTOOL_PYTHON"):
        environments.find(TINY)
