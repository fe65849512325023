"""What a user has said about a tool: environment variables first, then what was configured (nwbpipe.toml)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from nwbpipe.environments._tool import Tool


@dataclass(frozen=True)
class ToolSettings:
    """What a user may say about a tool; in nwbpipe.toml, the keys of ``[tools.NAME]``.

    Parameters
    ----------
    python : Path, optional
        A Python that has the tool.
    checkout : Path, optional
        The checkout of its repository, for a tool that is on no package index.
    weights : Path, optional
        The folder with the files that it would otherwise download.
    """

    python: Path | None = None
    checkout: Path | None = None
    weights: Path | None = None


_CONFIGURED: dict[str, ToolSettings] = {}


def configure(name: str, settings: ToolSettings | None) -> None:
    """Set, or with None forget, what is said about the tool `name` in this process.

    Environment variables come before it, see :func:`variable`.
    """
    if settings is None:
        _CONFIGURED.pop(name, None)
    else:
        _CONFIGURED[name] = settings


def variable_name(tool: Tool, what: str) -> str:
    """Name of an environment variable about a tool, e.g. ``NWBPIPE_TOOL_CAIMAN_PYTHON``."""
    return f"NWBPIPE_TOOL_{tool.name.upper().replace('-', '_')}_{what.upper()}"


def read_settings(tool: Tool) -> ToolSettings:
    """Return what is said about a tool, by environment variables or by :func:`configure`."""
    configured = _CONFIGURED.get(tool.name, ToolSettings())

    def path(what: str, otherwise: Path | None) -> Path | None:
        named = os.environ.get(variable_name(tool, what))
        return Path(named) if named else otherwise

    return ToolSettings(
        path("python", configured.python),
        path("checkout", configured.checkout),
        path("weights", configured.weights),
    )


def tools_folder() -> Path:
    """Folder of the environments that are made: ``NWBPIPE_TOOLS``, or one in the user's data folder."""
    named = os.environ.get("NWBPIPE_TOOLS")
    return Path(named) if named else user_data_path("nwbpipe", appauthor=False) / "tools"


def tool_folder(tool: Tool) -> Path:
    """Folder of a tool's environment, whether it is there or not."""
    return tools_folder() / tool.name


def weights_folder(tool: Tool) -> Path:
    """Folder of the files that a tool would otherwise download, whether it is there or not."""
    return read_settings(tool).weights or tools_folder() / "weights" / tool.name


def default_lock(tool: Tool) -> Path:
    """File that ``nwbpipe tools lock`` writes and ``install --locked`` reads where no other is named."""
    return tools_folder() / "locks" / f"{tool.name}.txt"
