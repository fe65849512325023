"""Give each test its own tools folder and small wheels, and stand-ins for programs."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache of uv that holds nothing of this machine's."""
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture(autouse=True)
def own_tools(tmp_path: Path, uv_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep a test's environments in its own folder, and its installers off the network and the user's settings."""
    for name in os.environ:
        if name.startswith(("NWBPIPE_TOOL_", "PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
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
    """Write a small tool's wheels into a folder, the only place that packages come from; return the folder."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("0.9", "1.2"):
        write_wheel(folder, version)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
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
    """Return the arguments of each call of a program of `programs`."""

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
