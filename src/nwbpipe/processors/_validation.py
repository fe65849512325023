"""Validate the parameters of a processor."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from nwbpipe.errors import ParameterError, Problem
from nwbpipe.processors._base import Processor


def validate_params(method: Processor, params: Mapping[str, Any]) -> Any:
    """Return the parameters with defaults filled in.

    Raises
    ------
    ParameterError
        Naming every parameter that is unknown, of the wrong type or out of range.
    """
    try:
        return method.Params.model_validate(dict(params))
    except ValidationError as error:
        msg = f"the parameters of {method.name!r} can't be used"
        raise ParameterError(
            msg,
            hint=f"`nwbpipe processors {method.name}` shows them all",
            problems=[_problem(method, fault) for fault in error.errors()],
        ) from error


def _problem(method: Processor, fault: Mapping[str, Any]) -> Problem:
    name = ".".join(map(str, fault["loc"])) or method.name
    if fault["type"] == "extra_forbidden":
        known = list(method.Params.model_fields)
        near = difflib.get_close_matches(name, known, n=1)
        return Problem("unknown parameter", name, hint=f"did you mean {near[0]!r}?" if near else ", ".join(known))
    if fault["type"] == "missing":
        field = method.Params.model_fields.get(name)
        return Problem("the parameter is missing", name, expected=field.description if field else None)
    what, given, expected = fault["msg"].removeprefix("Value error, ").partition("Input should be ")
    expected = expected.partition(", unable to parse")[0]
    return Problem(what if not given else "the value can't be used", name, expected or None, repr(fault["input"]))
