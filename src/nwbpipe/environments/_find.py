"""Find the Python that has a tool: one that the user names, an isolated one, or the current one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from nwbpipe.environments import _probe
from nwbpipe.environments._install import installed_python
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolMissingError

_CURRENT: dict[str, Any] = {}


class Kind(StrEnum):
    """Where a tool's environment comes from."""

    CURRENT = "current"
    ISOLATED = "isolated"
    EXISTING = "existing"


@dataclass(frozen=True)
class ToolEnvironment:
    """A Python that has a tool."""

    tool: Tool
    kind: Kind
    python: Path
    python_version: str
    packages: dict[str, str]

    @property
    def version(self) -> str:
        """Version of the tool's own package."""
        return self.packages[self.tool.package]


def variable(tool: Tool) -> str:
    """Name of the environment variable that names a tool's Python."""
    return f"NWBPIPE_TOOL_{tool.name.upper().replace('-', '_')}_PYTHON"


def find(tool: Tool) -> ToolEnvironment:
    """Return the environment of a tool.

    The Python named by ``NWBPIPE_TOOL_<NAME>_PYTHON`` comes first, then the isolated environment that
    ``nwbpipe tools install`` made, then the current Python, if it meets the tool's requirements.

    Raises
    ------
    ToolMissingError
        If none has it; the message says how to get it.
    """
    named = os.environ.get(variable(tool))
    if named:
        return _existing(tool, Path(named))
    isolated = installed_python(tool)
    if isolated is not None:
        return _environment(tool, Kind.ISOLATED, isolated)
    facts = _current()
    unmet = tool.unmet(facts["packages"])
    if not unmet:
        return ToolEnvironment(tool, Kind.CURRENT, Path(sys.executable), facts["python"], facts["packages"])
    msg = f"the tool {tool.name!r} is not installed"
    raise ToolMissingError(
        msg,
        expected=", ".join(tool.requirements),
        found=f"in the current Python: {'; '.join(unmet)}",
        hint=f"nwbpipe tools install {tool.name}  (or name a Python that has it: {variable(tool)}=/path/to/python)",
    )


def _current() -> dict[str, Any]:
    """What the running Python has; read again only when something was installed into one of its folders."""
    installed = [Path(entry) for entry in sys.path if entry.endswith("-packages") and Path(entry).is_dir()]
    folders = (tuple(sys.path), tuple(entry.stat().st_mtime_ns for entry in installed))
    if _CURRENT.get("folders") != folders:
        _CURRENT.update(folders=folders, facts=_probe.describe())
    facts: dict[str, Any] = _CURRENT["facts"]
    return facts


def _existing(tool: Tool, python: Path) -> ToolEnvironment:
    if not python.is_file():
        msg = f"{variable(tool)} names no file"
        raise ToolMissingError(
            msg, where=str(python), expected="a Python that has the tool", hint="correct or unset it"
        )
    return _environment(tool, Kind.EXISTING, python)


def _environment(tool: Tool, kind: Kind, python: Path) -> ToolEnvironment:
    try:
        answer = subprocess.run(  # the path is the user's own, or ours; there is no shell
            [str(python), "-I", str(Path(_probe.__file__))], capture_output=True, text=True, timeout=120, check=True
        )
        facts = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        msg = f"the Python of the tool {tool.name!r} does not run"
        raise ToolMissingError(
            msg, where=str(python), found=str(error), hint=f"nwbpipe tools install {tool.name}"
        ) from error
    unmet = tool.unmet(facts["packages"])
    if unmet:
        msg = f"the {kind} environment of {tool.name!r} does not meet its requirements"
        raise ToolMissingError(
            msg,
            where=str(python),
            expected=", ".join(tool.requirements),
            found="; ".join(unmet),
            hint=f"nwbpipe tools install {tool.name}"
            if kind is Kind.ISOLATED
            else f"correct or unset {variable(tool)}",
        )
    return ToolEnvironment(tool, kind, python, facts["python"], facts["packages"])
