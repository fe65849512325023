"""Old name of `nwbpipe.session`, kept for one release."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

_ROOMS = {
    "check_readable": "session",
    "open_hdf5": "session",
    "read": "session",
    "transaction": "session",
    "update": "session",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    new = f"nwbpipe.{_ROOMS[name]}"
    msg = f"nwbpipe.session_file will go in the next release: import {name} from {new}"
    warnings.warn(msg, FutureWarning, stacklevel=2)
    return getattr(import_module(new), name)
