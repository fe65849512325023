"""Import the packages of the extra ``dandi``, which are asked for nothing over the network at that."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from nwbpipe.errors import ToolMissingError


def require(name: str) -> Any:
    """Import a module of the extra ``dandi``.

    Raises
    ------
    ToolMissingError
        If it is not installed.
    """
    # dandi asks a server for newer versions of itself unless these are set.
    for variable in ("DANDI_NO_ET", "NO_ET"):
        os.environ.setdefault(variable, "1")
    try:
        return import_module(name)
    except ImportError as error:
        msg = "the packages for DANDI are not installed"
        raise ToolMissingError(msg, found=str(error), hint="pip install 'nwbpipe[dandi]'") from error
