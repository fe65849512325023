"""One recording session, one NWB file: converted, processed and traceable.

Importing nwbpipe imports neither pynwb nor any tool: names are looked up when they are first used.

Examples
--------
>>> import nwbpipe
>>> nwbpipe.convert("session.yaml", "out.nwb")  # doctest: +SKIP
>>> run = nwbpipe.process("out.nwb", "suite2p", params={"tau": 0.7})  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from nwbpipe import errors
    from nwbpipe.converters import convert
    from nwbpipe.environments import Tool
    from nwbpipe.errors import (
        AccountError,
        ArchiveError,
        ChangedResultError,
        ClockError,
        ConflictError,
        DamagedFileError,
        FileAccessError,
        InputError,
        InvalidResultError,
        LeakageError,
        LockedFileError,
        NwbpipeError,
        OverwriteError,
        ParameterError,
        Problem,
        RequestError,
        ResultExistsError,
        SourceError,
        SpecError,
        ToolCrashedError,
        ToolError,
        ToolFailedError,
        ToolKilledError,
        ToolMemoryError,
        ToolMissingError,
        ToolTimeoutError,
        UnknownNameError,
        UnsafeFileError,
        UnsupportedFileError,
        UntrustedError,
        WorkError,
    )
    from nwbpipe.processors import Context, Input, Params, Processor, Results
    from nwbpipe.project import Project
    from nwbpipe.proposals import propose
    from nwbpipe.provenance import RunRecord
    from nwbpipe.run import Run, load, process
    from nwbpipe.session import (
        SessionFile,
        check,
        read,
        read_records,
        remove_step,
        rename_step,
        repack,
        transaction,
        update,
    )

_HOMES = {
    "AccountError": "errors",
    "ArchiveError": "errors",
    "ChangedResultError": "errors",
    "ClockError": "errors",
    "ConflictError": "errors",
    "Context": "processors",
    "DamagedFileError": "errors",
    "FileAccessError": "errors",
    "Input": "processors",
    "InputError": "errors",
    "InvalidResultError": "errors",
    "LeakageError": "errors",
    "LockedFileError": "errors",
    "NwbpipeError": "errors",
    "OverwriteError": "errors",
    "ParameterError": "errors",
    "Params": "processors",
    "Problem": "errors",
    "Processor": "processors",
    "Project": "project",
    "RequestError": "errors",
    "ResultExistsError": "errors",
    "Results": "processors",
    "Run": "run",
    "RunRecord": "provenance",
    "SessionFile": "session",
    "SourceError": "errors",
    "SpecError": "errors",
    "Tool": "environments",
    "ToolCrashedError": "errors",
    "ToolError": "errors",
    "ToolFailedError": "errors",
    "ToolKilledError": "errors",
    "ToolMemoryError": "errors",
    "ToolMissingError": "errors",
    "ToolTimeoutError": "errors",
    "UnknownNameError": "errors",
    "UnsafeFileError": "errors",
    "UnsupportedFileError": "errors",
    "UntrustedError": "errors",
    "WorkError": "errors",
    "check": "session",
    "convert": "converters",
    "load": "run",
    "process": "run",
    "propose": "proposals",
    "read": "session",
    "read_records": "session",
    "remove_step": "session",
    "rename_step": "session",
    "repack": "session",
    "transaction": "session",
    "update": "session",
}

__all__ = [
    "AccountError",
    "ArchiveError",
    "ChangedResultError",
    "ClockError",
    "ConflictError",
    "Context",
    "DamagedFileError",
    "FileAccessError",
    "Input",
    "InputError",
    "InvalidResultError",
    "LeakageError",
    "LockedFileError",
    "NwbpipeError",
    "OverwriteError",
    "ParameterError",
    "Params",
    "Problem",
    "Processor",
    "Project",
    "RequestError",
    "ResultExistsError",
    "Results",
    "Run",
    "RunRecord",
    "SessionFile",
    "SourceError",
    "SpecError",
    "Tool",
    "ToolCrashedError",
    "ToolError",
    "ToolFailedError",
    "ToolKilledError",
    "ToolMemoryError",
    "ToolMissingError",
    "ToolTimeoutError",
    "UnknownNameError",
    "UnsafeFileError",
    "UnsupportedFileError",
    "UntrustedError",
    "WorkError",
    "check",
    "convert",
    "errors",
    "load",
    "process",
    "propose",
    "read",
    "read_records",
    "remove_step",
    "rename_step",
    "repack",
    "transaction",
    "update",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("nwbpipe.errors")
    if name == "__version__":
        return _read_version()
    if name not in _HOMES:
        msg = f"module 'nwbpipe' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"nwbpipe.{_HOMES[name]}"), name)


def _read_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        globals()["__version__"] = version("nwbpipe")
    except PackageNotFoundError:  # a source tree that was never installed
        globals()["__version__"] = "0+unknown"
    return str(globals()["__version__"])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
