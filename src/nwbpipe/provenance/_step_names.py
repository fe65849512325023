"""Names of steps."""

from __future__ import annotations

import re

from nwbpipe.errors import RequestError

_STEP = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = {"convert"}


def check_step_name(name: str) -> str:
    """Return `name` if it is a valid name of a step.

    Raises
    ------
    RequestError
        The name is reserved, or has other characters than a step's name may have.
    """
    expected = "a small letter, then small letters, digits and _"
    if name in _RESERVED:
        expected = "another name: the conversion has this one"
    elif _STEP.fullmatch(name):
        return name
    raise RequestError(f"the step's name {name!r} is not valid", expected=expected, hint="choose another name")
