"""Settings of a tool: environment variables first, then those of nwbpipe.toml."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from nwbpipe.environments._tool import Tool


@dataclass(frozen=True)
class ToolSettings:
    """Settings of a tool; in nwbpipe.toml the keys of ``[tools.NAME]``.

    Parameters
    ----------
    python : Path, optional
        A Python that has the tool.
    checkout : Path, optional
        The checkout of its repository, for a tool that no package index has.
    weights : Path, optional
        The folder with the weights that it would otherwise download.
    """

    python: Path | None = None
    checkout: Path | None = None
    weights: Path | None = None


_CONFIGURED: dict[str, ToolSettings] = {}
_IN_USE: ContextVar[Mapping[str, ToolSettings]] = ContextVar("settings of tools", default={})  # noqa: B039, never changed

_MEMORY: ContextVar[int] = ContextVar("bytes that a computation may use", default=0)


def configure(name: str, settings: ToolSettings | None) -> None:
    """Set the settings of the tool `name` in this process; None removes them.

    Environment variables override them, see :func:`variable_name`.
    """
    if settings is None:
        _CONFIGURED.pop(name, None)
    else:
        _CONFIGURED[name] = settings


@contextmanager
def use_settings(settings: Mapping[str, ToolSettings]) -> Iterator[None]:
    """Use these settings, by the tool's name, in a block; they come before those of :func:`configure`.

    Two projects in one process may name different Pythons for one tool, so a project sets them only while it works.
    """
    token = _IN_USE.set(settings)
    try:
        yield
    finally:
        _IN_USE.reset(token)


@contextmanager
def limit_memory(memory_gb: float) -> Iterator[None]:
    """Hold the containers of computations in a block to this memory, in GB; 0: no limit."""
    token = _MEMORY.set(round(memory_gb * 1e9))
    try:
        yield
    finally:
        _MEMORY.reset(token)


def read_memory_limit() -> int:
    """Return the bytes that a computation may use; 0 without a limit."""
    return _MEMORY.get()


def variable_name(tool: Tool, key: str) -> str:
    """Return the environment variable of a tool's setting, e.g. ``NWBPIPE_TOOL_CAIMAN_PYTHON``."""
    return f"NWBPIPE_TOOL_{tool.name.upper().replace('-', '_')}_{key.upper()}"


def read_settings(tool: Tool) -> ToolSettings:
    """Return the settings of a tool: environment variables, then :func:`use_settings`, then :func:`configure`."""
    configured = _IN_USE.get().get(tool.name) or _CONFIGURED.get(tool.name, ToolSettings())

    def read_path(key: str, default: Path | None) -> Path | None:
        value = os.environ.get(variable_name(tool, key))
        return Path(value) if value else default

    return ToolSettings(
        read_path("python", configured.python),
        read_path("checkout", configured.checkout),
        read_path("weights", configured.weights),
    )


def configured_python(tool: Tool) -> Path | None:
    """Return the Python that a project or :func:`configure` set for a tool, if no environment variable names one."""
    return None if os.environ.get(variable_name(tool, "python")) else read_settings(tool).python


def tools_folder() -> Path:
    """Return the folder of the environments: ``NWBPIPE_TOOLS``, or a folder in the user's data folder."""
    named = os.environ.get("NWBPIPE_TOOLS")
    return Path(named) if named else user_data_path("nwbpipe", appauthor=False) / "tools"


def tool_folder(tool: Tool) -> Path:
    """Return the folder of a tool's environment, which may not exist."""
    return tools_folder() / tool.name


def weights_folder(tool: Tool) -> Path:
    """Return the folder of the weights that a tool would otherwise download, which may not exist."""
    return read_settings(tool).weights or tools_folder() / "weights" / tool.name


def default_lock(tool: Tool) -> Path:
    """Return the lock file that ``nwbpipe tools lock`` writes and ``install --locked`` reads by default."""
    return tools_folder() / "locks" / f"{tool.name}.txt"
