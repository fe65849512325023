"""A lock is what is installed, or what would be; installing it gives the same again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import Tool, _install
from nwbpipe.errors import ToolMissingError
from tests.environments.conftest import write_wheel

TINY = Tool("tinytool", ("tinytool>=1.0",), licence="MIT")


def versions(lock: Path) -> list[str]:
    lines = [line for line in lock.read_text().splitlines() if not line.startswith(("#", "    --hash=sha256:"))]
    return [line.removesuffix(" \\") for line in lines]


def test_what_is_installed_is_locked_and_comes_back(wheels: Path) -> None:
    environments.install(TINY)
    lock = environments.lock_tool(TINY)
    assert versions(lock) == ["tinytool==1.2"]
    assert "--hash=sha256:" in lock.read_text()
    write_wheel(wheels, "1.4")
    environments.install(TINY, locked=True)
    assert environments.find(TINY).version == "1.2"
    environments.install(TINY)
    assert environments.find(TINY).version == "1.4"


def test_modules_are_compiled_once(wheels: Path, own_tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # as where an environment is read-only
    environments.install(TINY)
    assert list(own_tools.rglob("tinytool.*.pyc"))


def test_what_is_not_installed_is_resolved(wheels: Path, tmp_path: Path) -> None:
    lock = environments.lock_tool(TINY, tmp_path / "locks" / "tiny.txt")
    assert versions(lock) == ["tinytool==1.2"]
    assert str(wheels) not in lock.read_text()  # no place where packages come from


def test_a_users_constraint_counts(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(wheels, "1.4")
    (tmp_path / "constraints.txt").write_text("tinytool<1.3\n")
    monkeypatch.setenv("UV_CONSTRAINT", str(tmp_path / "constraints.txt"))
    assert versions(environments.lock_tool(TINY)) == ["tinytool==1.2"]
    environments.install(TINY)
    assert environments.find(TINY).version == "1.2"


def test_a_lock_says_its_python(wheels: Path) -> None:
    lock = environments.lock_tool(TINY)
    assert _install.read_lock_python(lock) == f"3.{sys.version_info[1]}"


def test_a_lock_that_is_not_there(own_tools: Path) -> None:
    with pytest.raises(ToolMissingError, match=r"(?s)no lock for the tool 'tinytool'.*nwbpipe tools lock tinytool"):
        environments.install(TINY, locked=True)
    assert not own_tools.exists()


def test_pip_serves_where_there_is_no_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def call(command: list[str], tool: Tool) -> None:
        called.append(command)

    monkeypatch.setattr(_install, "find_uv", lambda: None)
    monkeypatch.setattr(_install, "run_installer", call)
    python = environments.install(TINY)
    assert called == [
        [sys.executable, "-I", "-m", "venv", str(python.parent.parent)],
        [str(python), "-I", "-m", "pip", "install", "--quiet", "tinytool>=1.0"],
    ]
