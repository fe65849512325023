"""Tools' folders of their own, small wheels, and stand-ins for programs that this machine lacks."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the environments of a test in a folder of its own."""
    monkeypatch.setenv("NWBPIPE_TOOLS", str(tmp_path / "tools"))
    return tmp_path / "tools"


def write_wheel(folder: Path, version: str) -> None:
    info = f"tinytool-{version}.dist-info"
    with zipfile.ZipFile(folder / f"tinytool-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinytool.py", f"version = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tinytool\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with a small tool's wheels, the only place that packages come from."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("0.9", "1.2"):
        write_wheel(folder, version)
    for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, str(folder))
    for name in ("UV_NO_INDEX", "PIP_NO_INDEX"):
        monkeypatch.setenv(name, "1")
    for name in ("UV_CONSTRAINT", "PIP_CONSTRAINT", "UV_INDEX", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put programs on the PATH, which holds nothing else; each gets the body of a Python script."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, body: str) -> Path:
        file = folder / name
        start = f"#!{sys.executable} -I\nimport json, os, pathlib, sys\nwords = sys.argv[1:]\n"
        log = f"with open({str(tmp_path / (name + '.log'))!r}, 'a') as log: log.write(json.dumps(words) + '\\n')\n"
        file.write_text(start + log + body)
        file.chmod(0o755)
        return file

    return make


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[str], list[list[str]]]:
    """What a program of `programs` was called with."""
    import json

    def read(name: str) -> list[list[str]]:
        file = tmp_path / f"{name}.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return read


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Name things by environment variables."""

    def name(**variables: Path | str) -> None:
        for key, value in variables.items():
            monkeypatch.setenv(key, os.fspath(value))

    return name
