"""Names of steps."""

from __future__ import annotations

import re

from nwbpipe.errors import RequestError

_STEP = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = {"convert"}


def check_step_name(name: str) -> str:
    """Return `name` if it can be a step's.

    Raises
    ------
    RequestError
        If it can't.
    """
    expected = "a small letter, then small letters, digits and _"
    if name in _RESERVED:
        expected = "any but that of the conversion"
    elif _STEP.fullmatch(name):
        return name
    raise RequestError(f"{name!r} is no name for a step", expected=expected, hint="choose another name")
