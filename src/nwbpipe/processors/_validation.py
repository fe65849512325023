"""Validate the parameters of a processor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from nwbpipe.errors import ParameterError
from nwbpipe.processors._base import Processor
from nwbpipe.validation import ProblemCollector


class _ParameterCollector(ProblemCollector):
    noun = "parameter"


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
        collector = _ParameterCollector()
        collector.add_faults(error, known=method.Params.model_fields)
        raise ParameterError(
            f"the parameters of {method.name!r} can't be used",
            hint=f"`nwbpipe processors {method.name}` shows them all",
            problems=collector.problems,
        ) from error
