"""Create and remove isolated environments."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock
from packaging.specifiers import SpecifierSet
from platformdirs import user_data_path

from nwbpipe.environments._pip_settings import uv_settings
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolFailedError, ToolMissingError

_MARK = "nwbpipe-tool.json"  # written last: an environment without it was interrupted


def tools_folder() -> Path:
    """Folder of the isolated environments: ``NWBPIPE_TOOLS``, or one in the user's data folder."""
    named = os.environ.get("NWBPIPE_TOOLS")
    return Path(named) if named else user_data_path("nwbpipe", appauthor=False) / "tools"


def tool_folder(tool: Tool) -> Path:
    """Folder of a tool's isolated environment, whether it is there or not."""
    return tools_folder() / tool.name


def installed_python(tool: Tool) -> Path | None:
    """Python of a tool's isolated environment, if that is there and whole."""
    folder = tool_folder(tool)
    return _python(folder) if (folder / _MARK).is_file() else None


def install(tool: Tool, *, lock: Path | None = None) -> Path:
    """Create the isolated environment of a tool; an older one is replaced.

    Parameters
    ----------
    tool : Tool
        What to install.
    lock : Path, optional
        A requirements file with a version for every package; without it, the newest ones that fit.

    Returns
    -------
    Path
        Its Python.

    Raises
    ------
    ToolFailedError
        If the installer fails; its last lines are in the message.
    """
    folder = tool_folder(tool)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        shutil.rmtree(folder, ignore_errors=True)
        uv = _uv()
        requirements = ["-r", str(lock.resolve())] if lock else list(tool.requirements)
        base = _base_python(tool)
        if uv:
            _call([*uv, "venv", "--quiet", "--python", base, str(folder)], tool)
            _call([*uv, "pip", "install", "--quiet", "--python", str(_python(folder)), *requirements], tool)
        else:
            _call([base, "-m", "venv", str(folder)], tool)
            _call([str(_python(folder)), "-m", "pip", "install", "--quiet", *requirements], tool)
        (folder / _MARK).write_text(json.dumps({"tool": tool.name, "lock": lock.name if lock else None}))
    return _python(folder)


def remove(tool: Tool) -> bool:
    """Remove a tool's isolated environment; say whether there was one."""
    folder = tool_folder(tool)
    there = folder.is_dir()
    shutil.rmtree(folder, ignore_errors=True)
    return there


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _uv() -> list[str] | None:
    beside = Path(sys.executable).with_name("uv")
    if beside.is_file():
        return [str(beside)]
    on_path = shutil.which("uv")
    if on_path:
        return [on_path]
    return [sys.executable, "-m", "uv"] if find_spec("uv") else None


def _base_python(tool: Tool) -> str:
    """The running Python where the tool runs on it, else what uv finds for the range."""
    if SpecifierSet(tool.python).contains(platform.python_version(), prereleases=True):
        return sys.executable
    if _uv():
        return tool.python
    msg = f"the tool {tool.name!r} needs another version of Python"
    raise ToolMissingError(
        msg, expected=f"Python {tool.python}", found=platform.python_version(), hint="install uv, which finds one"
    )


def _call(command: list[str], tool: Tool) -> None:
    environment = {**os.environ, **uv_settings(os.environ)}
    if "UV_CONSTRAINT" in environment:
        environment.setdefault("PIP_CONSTRAINT", environment["UV_CONSTRAINT"])
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        msg = f"installing the tool {tool.name!r} failed"
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise ToolFailedError(
            msg, where=str(tool_folder(tool)), found=tail, hint="correct what the installer names, and try again"
        )
