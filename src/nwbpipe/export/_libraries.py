"""The libraries that arrays are made for: none of them is a dependency of the core."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nwbpipe.errors import ToolMissingError

_EXTRAS = {"spikeinterface": "ephys"}


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
        hint = f"pip install 'nwbpipe[{_EXTRAS.get(package, 'arrays')}]'"
        raise ToolMissingError(msg, found=str(error), hint=hint) from error
