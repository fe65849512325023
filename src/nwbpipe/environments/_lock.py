"""Locks: a version for every package of a tool's environment."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

from nwbpipe.environments import _conda
from nwbpipe.environments._find import find
from nwbpipe.environments._installers import choose_base_python, find_uv, run_installer
from nwbpipe.environments._mark import EnvironmentKind, environment_folder, read_mark
from nwbpipe.environments._settings import default_lock
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolMissingError

_NOT_LOCKED = {"pip"}  # what a virtual environment starts with


def lock_tool(tool: Tool, file: Path | None = None) -> Path:
    """Write a lock, which :func:`install` reproduces.

    Of an environment that nwbpipe made, what is in it: what was tried is what is locked. Where there is none, uv
    resolves the newest versions that fit. The tool itself is left out where it is built from a checkout.

    Parameters
    ----------
    tool : Tool
    file : Path, optional
        Where to write it; by default where ``install --locked`` looks.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ToolMissingError
        If nothing is installed and there is no uv.
    """
    mark = read_mark(tool)
    if mark is not None and mark.kind is EnvironmentKind.CONDA:
        text = _conda.export_lock(tool, Path(mark.engine or "conda"), environment_folder(tool, mark))
    elif mark is not None:
        text = _lock_installed(tool)
    else:
        text = _lock_newest(tool)
    file = file or default_lock(tool)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def _format_header(tool: Tool, python: str) -> list[str]:
    return [
        f"# {tool.name}: `nwbpipe tools install {tool.name} --lock` this file",
        f"# python {python} on {platform.system()} {platform.machine()}",
    ]


def _lock_installed(tool: Tool) -> str:
    found = find(tool)
    own = {tool.package} if tool.checkout is not None and tool.checkout.built else set()
    own |= {tool.name} if found.checkout is not None else set()
    lines = [
        # torch==2.13.0+cpu is torch 2.13.0 as one machine has it; another one has it with CUDA.
        f"{name}=={version.partition('+')[0]}"
        for name, version in sorted(found.packages.items())
        if name not in own | _NOT_LOCKED
    ]
    return "\n".join([*_format_header(tool, found.python_version), *lines, ""])


def _lock_newest(tool: Tool) -> str:
    program = find_uv()
    if program is None:
        msg = f"the tool {tool.name!r} is not installed, and its versions can't be resolved: there is no uv"
        raise ToolMissingError(msg, hint=f"install uv, or first nwbpipe tools install {tool.name}")
    base = choose_base_python(tool)
    version = run_installer([*program, "python", "find", "--show-version", base], tool, doing="locking").strip()
    with tempfile.TemporaryDirectory(prefix="nwbpipe-") as folder:
        wanted = Path(folder) / "requirements.in"
        wanted.write_text("\n".join(tool.from_index) + "\n")
        options = ["--quiet", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
        python = ["--python", base]
        found = run_installer([*program, "pip", "compile", *options, *python, str(wanted)], tool, doing="locking")
    lines = [line.partition("+")[0] for line in found.splitlines() if line.strip()]
    return "\n".join([*_format_header(tool, version), *lines, ""])
