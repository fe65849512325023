"""Run installers, without a shell, with the package indexes and constraints that the user configured."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from packaging.specifiers import SpecifierSet
from platformdirs import user_config_path

from nwbpipe.environments._engine import ENGINE_SETTINGS
from nwbpipe.environments._pip_settings import has_no_index, read_uv_settings
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolFailedError, ToolMissingError
from nwbpipe.machine import child_python, select_variables

# Settings of installers, compilers and container engines. Those of indexes may hold passwords, which they need.
_SETTINGS = (
    *("PIP_*", "UV_*", "CONDA_*", "MAMBA_*", "NETRC"),
    *ENGINE_SETTINGS,
    *("*_proxy", "*_PROXY", "*_CA_BUNDLE", "SSL_CERT_*", "GIT_SSL_*"),
    *("CC", "CXX", "FC", "AR", "*FLAGS", "CMAKE_*", "PKG_CONFIG_PATH", "SDKROOT", "MACOSX_DEPLOYMENT_TARGET"),
    "PYTHONDONTWRITEBYTECODE",
)
_MINORS = range(13, 8, -1)  # of Python 3, the newest first


def run_installer(
    command: Sequence[str], tool: Tool, *, doing: str = "installing", variables: Mapping[str, str] | None = None
) -> str:
    """Run an installer and return its output.

    Raises
    ------
    ToolFailedError
        It failed; its last lines are in the message.
    """
    try:
        process = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**build_installer_variables(), **(variables or {})},
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        msg = f"{doing} the tool {tool.name!r} failed"
        raise ToolFailedError(msg, where=command[0], found=str(error), hint="install the program again") from error
    if process.returncode:
        msg = f"{doing} the tool {tool.name!r} failed"
        tail = "\n".join((process.stderr.strip() or process.stdout.strip()).splitlines()[-15:])
        raise ToolFailedError(
            msg, where=Path(command[0]).name, found=tail, hint="correct the installer's problem, and try again"
        )
    return process.stdout


def build_installer_variables() -> dict[str, str]:
    """Return the variables that installers get: their own settings, and no settings of the current folder.

    uv reads the ``uv.toml`` or ``pyproject.toml`` of the current folder and of those above it, which may be a
    stranger's; it gets the user's own file, or else the system's, or none.
    """
    variables = select_variables(_SETTINGS)
    variables |= read_uv_settings(os.environ)
    if "UV_CONSTRAINT" in variables:
        variables.setdefault("PIP_CONSTRAINT", variables["UV_CONSTRAINT"])
    if "UV_CONFIG_FILE" not in variables and "UV_NO_CONFIG" not in variables:
        files = [user_config_path("uv", appauthor=False) / "uv.toml", Path("/etc/uv/uv.toml")]
        if sys.platform == "darwin":
            files.insert(0, Path.home() / ".config" / "uv" / "uv.toml")
        file = next((file for file in files if file.is_file()), None)
        variables |= {"UV_CONFIG_FILE": str(file)} if file else {"UV_NO_CONFIG": "1"}
    return variables


def list_index_options() -> list[str]:
    """Return the options of ``uv pip`` that it has no variables for: ``--no-index`` where pip is told so."""
    return ["--no-index"] if has_no_index(os.environ) else []


def find_uv() -> list[str] | None:
    """Return the command of uv, or None."""
    beside = Path(sys.executable).with_name("uv")
    if beside.is_file():
        return [str(beside)]
    on_path = shutil.which("uv")
    if on_path:
        return [on_path]
    return child_python("-m", "uv") if find_spec("uv") else None


def choose_base_python(tool: Tool, version: str | None = None) -> str:
    """Return the running Python if the tool supports it, else a version (or range) for uv to find."""
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
        hint="install uv: it downloads such a Python",
    )


def choose_minor_python(tool: Tool) -> str:
    """Return the version of Python for a container, as ``3.N``: the running one if the tool supports it."""
    running = ".".join(platform.python_version_tuple()[:2])
    supported = SpecifierSet(tool.python)
    for version in (running, *(f"3.{minor}" for minor in _MINORS)):
        if supported.contains(f"{version}.20"):  # a late patch release: ranges are by minor versions
            return version
    msg = f"the tool {tool.name!r} supports no known version of Python"
    raise ToolMissingError(msg, expected=f"Python {tool.python}", hint="correct the processor's declaration")


def venv_python(folder: Path) -> Path:
    """Return the Python of a virtual or conda environment."""
    if os.name == "nt":
        in_conda = folder / "python.exe"
        return in_conda if in_conda.is_file() else folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def find_on_path(names: Sequence[str]) -> Path | None:
    """Return the first of these programs that is on the PATH."""
    return next((Path(program) for name in names if (program := shutil.which(name))), None)
