"""Lock tools: pin a version for every package of a tool's environment."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nwbpipe.environments import _conda
from nwbpipe.environments._find import find
from nwbpipe.environments._installers import choose_base_python, find_uv, list_index_options, run_installer
from nwbpipe.environments._mark import EnvironmentKind, environment_folder, read_mark
from nwbpipe.environments._settings import default_lock
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolFailedError, ToolMissingError

_NOT_LOCKED = {"pip"}  # every virtual environment has it


def lock_tool(tool: Tool, file: Path | None = None) -> Path:
    """Write a lock, which :func:`install` reproduces.

    An environment that nwbpipe made is locked as it is, with the versions that were tried. Otherwise uv resolves the
    newest versions that fit. A tool that is built from a checkout is left out itself.

    Parameters
    ----------
    tool : Tool
    file : Path, optional
        The file to write; by default the one that ``install --locked`` reads.

    Returns
    -------
    Path
        The lock file.

    Raises
    ------
    ToolMissingError
        The tool is not installed, and there is no uv.
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
    environment = find(tool)
    left_out = {tool.package} if tool.checkout is not None and tool.checkout.built else set()
    left_out |= {tool.name} if environment.checkout is not None else set()
    lines = [
        # torch==2.13.0+cpu is the build of this machine; another machine has the same version with CUDA.
        f"{name}=={version.partition('+')[0]}"
        for name, version in sorted(environment.packages.items())
        if name not in left_out | _NOT_LOCKED
    ]
    hashed = _add_hashes(tool, lines)
    return "\n".join([*_format_header(tool, environment.python_version), *hashed, ""])


def _add_hashes(tool: Tool, lines: list[str]) -> list[str]:
    """Return pinned requirements with the hashes of the package index; without, if it can't be asked."""
    program = find_uv()
    if program is None or not lines:
        return lines
    with suppress(ToolFailedError, ToolMissingError):
        hashed = _compile(tool, program, choose_base_python(tool), lines)
        if [line.partition(" ")[0] for line in hashed] == lines:
            return hashed
    return lines


def _compile(tool: Tool, program: list[str], base: str, requirements: Sequence[str]) -> list[str]:
    """Resolve requirements; return a line for each package, with its hashes below it."""
    with tempfile.TemporaryDirectory(prefix="nwbpipe-") as folder:
        file = Path(folder) / "requirements.in"
        file.write_text("\n".join([*requirements, ""]))
        options = ["--quiet", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
        options += ["--generate-hashes", "--python", base, *list_index_options()]
        resolved = run_installer([*program, "pip", "compile", *options, str(file)], tool, doing="locking")
    packages: list[list[str]] = []
    for line in resolved.splitlines():
        if line.startswith("    --hash="):
            packages[-1].append(line.strip().removesuffix("\\").strip())
        elif line.strip():
            packages.append([line.removesuffix("\\").strip()])
    # torch==2.13.0+cpu is the build of this machine; another machine has the same version with CUDA.
    return [
        name.partition("+")[0] if "+" in name else " \\\n    ".join([name, *hashes]) for name, *hashes in packages
    ]


def _lock_newest(tool: Tool) -> str:
    program = find_uv()
    if program is None:
        msg = f"the tool {tool.name!r} is not installed, and there is no uv to resolve its versions"
        raise ToolMissingError(msg, hint=f"install uv, or first nwbpipe tools install {tool.name}")
    base = choose_base_python(tool)
    version = run_installer([*program, "python", "find", "--show-version", base], tool, doing="locking").strip()
    lines = _compile(tool, program, base, tool.from_index)
    return "\n".join([*_format_header(tool, version), *lines, ""])
