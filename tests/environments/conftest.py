"""Give each test its own tools folder and small wheels, and stand-ins for programs."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe.environments._engine import describe_engine, inspect_engine


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


# Options that take a value are followed by it; the first word that is none is the image.
DOCKER = """
if words[0] == "--version":
    print(VERSION)
elif words[0] == "build":
    identity = words[words.index("--iidfile") + 1]
    pathlib.Path(identity).write_text("sha256:0123")
    assert os.environ["DOCKER_BUILDKIT"] == "1"
    secret = words[words.index("--secret") + 1].partition("src=")[2]
    print(pathlib.Path(secret).read_text())
    pathlib.Path(SEEN).write_text(pathlib.Path(secret).read_text())
elif words[0] == "run":
    flags = {"--interactive", "--init"}
    place = 1
    variables = {"PATH": "/usr/bin:/bin"}
    while words[place].startswith("--"):
        if words[place] == "--env":
            name, _, value = words[place + 1].partition("=")
            variables[name] = value
        if words[place] == "--workdir":
            os.chdir(words[place + 1])
        place += 1 if words[place] in flags else 2
    image, program, *rest = words[place:]
    assert program == "python", program
    import subprocess
    code = subprocess.call([sys.executable, *rest], env=variables)
    sys.exit(code if code >= 0 else 128 - code)
elif words[0] == "inspect":
    print(MEMORY)
elif words[0] == "ps":
    print(EARLIER)
elif words[:2] == ["rm", "--force"] and EARLIER and EARLIER in words and STAYS:
    print("Error: " + STAYS, file=sys.stderr)
    sys.exit(1)
elif words[0] == "buildx":
    print(BUILDX, file=sys.stderr)
    sys.exit(1 if BUILDX else 0)
elif words[:2] == ["image", "inspect"]:
    print("[python@sha256:" + "ab" * 32 + "] sha256:0123")
elif words[:2] == ["info", "--format"]:
    print(TRAITS)
"""


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


@pytest.fixture
def docker(programs: Callable[[str, str], Path], tmp_path: Path) -> Callable[..., Path]:
    def make(
        name: str = "docker",
        memory: str = "false",
        version: str = "Docker version 20.10.24",
        traits: str = "",
        earlier: str = "",
        stays: str = "",
        buildx: str = "",
    ) -> Path:
        """Make the stand-in.

        `earlier` is a container that it lists, `stays` why it can't remove that, `buildx` why it has no buildx.
        """
        values = f"SEEN, MEMORY, VERSION, TRAITS = {str(tmp_path / 'secret')!r}, {memory!r}, {version!r}, {traits!r}"
        values += f"\nEARLIER, STAYS, BUILDX = {earlier!r}, {stays!r}, {buildx!r}"
        describe_engine.cache_clear()
        inspect_engine.cache_clear()
        return programs(name, values + DOCKER)

    return make
