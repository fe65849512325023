"""The libraries that arrays are made for: none of them is a dependency of the core."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nwbpipe.errors import ToolMissingError

_EXTRAS = {"spikeinterface": "ephys", "temporaldata": "ml"}
_ALONE = ("torch",)  # each machine needs another build of it


def import_library(name: str) -> Any:
    """Import a library of an extra.

    Raises
    ------
    ToolMissingError
        If it is not installed. The message names the extra.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        msg = f"{package} is not installed"
        extra = _EXTRAS.get(package, "arrays")
        hint = f"pip install {package}" if package in _ALONE else f"pip install 'nwbpipe[{extra}]'"
        raise ToolMissingError(msg, found=str(error), hint=hint) from error
