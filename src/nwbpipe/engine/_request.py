"""What was asked for: is it well put, and how does it differ from what is there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nwbpipe.errors import ParameterError, Problem, RequestError, ResultExistsError
from nwbpipe.processors import Context, Processor
from nwbpipe.provenance import RunRecord

_STEP = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = {"convert"}


def step_name(name: str) -> str:
    """Return `name` if it can be a step's.

    Raises
    ------
    RequestError
        If it can't.
    """
    if not _STEP.fullmatch(name) or name in _RESERVED:
        msg = f"{name!r} is no name for a step"
        raise RequestError(
            msg, expected="a small letter, then small letters, digits and _", hint="choose another one with --step"
        )
    return name


def validated(method: Processor, params: Mapping[str, Any]) -> Any:
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
    return Problem(fault["msg"], name, found=repr(fault["input"]))


def result_in_the_way(
    existing: RunRecord, method: Processor, context: Context, seed: int | None, session: Path | str
) -> ResultExistsError:
    """Make the error for a step that has another result already: it says what differs."""
    msg = f"the step {existing.step!r} has a result already"
    return ResultExistsError(
        msg,
        where=str(session),
        found="; ".join(_differences(existing, method, context, seed)),
        hint="choose another name with --step, or pass --replace",
    )


def _differences(existing: RunRecord, method: Processor, context: Context, seed: int | None) -> list[str]:
    if existing.processor != method.name:
        return [f"made by {existing.processor}, not {method.name}"]
    if existing.parameters.get("loaded") or seed is None:
        return ["loaded from other files, or computed" if seed is None else "loaded from a finished output"]
    old, new = existing.parameters, context.params.model_dump(mode="json")
    changes = [
        f"{name} {old.get(name)!r} → {new.get(name)!r}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    if existing.revision != method.revision:
        changes.append(f"revision {existing.revision} → {method.revision}")
    if existing.seed != seed:
        changes.append(f"seed {existing.seed} → {seed}")
    before = {one.name: one.identity for one in existing.inputs}
    now = {name: one.identity for name, one in context.inputs.items()}
    changes += [f"the input {name} has other content" for name in sorted(now) if before.get(name) != now[name]]
    return changes or ["its place in the file"]
