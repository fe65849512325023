"""Create and lock conda environments with the micromamba, mamba or conda on the PATH."""

from __future__ import annotations

from pathlib import Path

from nwbpipe.environments._installers import find_on_path, run_installer, venv_python
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import ToolMissingError

ENGINES = ("micromamba", "mamba", "conda")
EXPLICIT = "@EXPLICIT"  # the line that marks a conda lock


def find_conda(tool: Tool) -> Path:
    """Return the conda program of the PATH.

    Raises
    ------
    ToolMissingError
        There is none.
    """
    engine = find_on_path(ENGINES)
    if engine is None:
        msg = f"there is no conda to create an environment for {tool.name!r}"
        raise ToolMissingError(
            msg,
            expected=" or ".join(ENGINES) + " on the PATH",
            hint="install micromamba (a single program) on the PATH",
        )
    return engine


def create(tool: Tool, engine: Path, folder: Path, lock: Path | None) -> None:
    """Create a conda environment with a tool in `folder`.

    Without a lock, all packages come from conda-forge. If the tool declares no conda packages, Python comes from
    conda-forge, and pip installs the tool.
    """
    start = [str(engine), "create", "--yes", "--quiet", "--prefix", str(folder)]
    if lock is not None:
        run_installer([*start, "--file", str(lock.resolve())], tool)
    else:
        packages = [f"python{tool.python}", *(tool.conda or ("pip",))]
        run_installer([*start, "--override-channels", "--channel", "conda-forge", *packages], tool)
    if not tool.conda:
        run_installer([str(venv_python(folder)), "-I", "-m", "pip", "install", "--quiet", *tool.requirements], tool)


def export_lock(tool: Tool, engine: Path, folder: Path) -> str:
    """Return the exact packages of a conda environment, in the format of ``create --file``."""
    words = ["env", "export", "--explicit"] if engine.stem == "micromamba" else ["list", "--explicit"]
    return run_installer([str(engine), *words, "--prefix", str(folder)], tool, doing="locking")
