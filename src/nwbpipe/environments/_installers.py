"""Call installers: with the package locations and constraints that the user has set up, and no shell."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from packaging.specifiers import SpecifierSet

from nwbpipe.environments._pip_settings import read_uv_settings
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolFailedError, ToolMissingError

_MINORS = range(13, 8, -1)  # of Python 3, the newest first


def run_installer(command: Sequence[str], tool: Tool, *, doing: str = "installing") -> str:
    """Run an installer and return what it printed.

    Raises
    ------
    ToolFailedError
        If it fails; its last lines are in the message.
    """
    environment = {**os.environ, **read_uv_settings(os.environ)}
    if "UV_CONSTRAINT" in environment:
        environment.setdefault("PIP_CONSTRAINT", environment["UV_CONSTRAINT"])
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError as error:
        msg = f"{doing} the tool {tool.name!r} failed"
        raise ToolFailedError(msg, where=command[0], found=str(error), hint="is the program whole?") from error
    if done.returncode:
        msg = f"{doing} the tool {tool.name!r} failed"
        tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-15:])
        raise ToolFailedError(
            msg, where=Path(command[0]).name, found=tail, hint="correct what the installer names, and try again"
        )
    return done.stdout


def find_uv() -> list[str] | None:
    """How to call uv, if it is there."""
    beside = Path(sys.executable).with_name("uv")
    if beside.is_file():
        return [str(beside)]
    on_path = shutil.which("uv")
    if on_path:
        return [on_path]
    return [sys.executable, "-m", "uv"] if find_spec("uv") else None


def choose_base_python(tool: Tool, version: str | None = None) -> str:
    """The running Python where the tool runs on it, else what uv finds for the range (or for `version`)."""
    fits = SpecifierSet(f"=={version}.*" if version else tool.python)
    if fits.contains(platform.python_version(), prereleases=True):
        return sys.executable
    if find_uv():
        return version or tool.python
    msg = f"the tool {tool.name!r} needs another version of Python"
    raise ToolMissingError(
        msg,
        expected=f"Python {version or tool.python}",
        found=platform.python_version(),
        hint="install uv, which finds one",
    )


def choose_minor_python(tool: Tool) -> str:
    """Return the version of Python that a container gets, as ``3.N``: the running one where it serves."""
    running = ".".join(platform.python_version_tuple()[:2])
    serving = SpecifierSet(tool.python)
    for version in (running, *(f"3.{minor}" for minor in _MINORS)):
        if serving.contains(f"{version}.20"):  # a late patch release: ranges are by minor versions
            return version
    msg = f"no known version of Python serves the tool {tool.name!r}"
    raise ToolMissingError(msg, expected=f"Python {tool.python}", hint="a fault in the processor's declaration")


def venv_python(folder: Path) -> Path:
    """Python of a virtual or conda environment."""
    if os.name == "nt":
        in_conda = folder / "python.exe"
        return in_conda if in_conda.is_file() else folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def find_on_path(names: Sequence[str]) -> Path | None:
    """Return the first of these programs that is on the PATH."""
    return next((Path(found) for name in names if (found := shutil.which(name))), None)
