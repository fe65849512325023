"""A tool's further parameters, given by name: checked before the tool runs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pydantic import AfterValidator


def check_setting_names(
    paths: Iterable[str], own: Mapping[str, str], known: Collection[str], what: str, otherwise: str = ""
) -> list[str]:
    """Return what is wrong with names of a tool's parameters, one line a mistake.

    Parameters
    ----------
    paths : iterable of str
        The names that are given, with those of their groups: ``group.name``.
    own : mapping of str to str
        Names that can't be given so, as they are parameters of the processor, and what these are called.
    known : collection of str
        Names that can be given.
    what : str
        What a name is of, e.g. "suite2p 1.1 has no setting".
    otherwise : str
        What to say where no name is near.
    """
    problems = []
    for path in paths:
        if path in own:
            problems.append(f"{path} is the parameter {own[path]!r} of this processor: give it there")
        elif path not in known:
            near = difflib.get_close_matches(path, sorted(known), n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else otherwise
            problems.append(f"{what} {path!r} that can be set here{hint}")
    return problems


def make_validator(check: Callable[[dict[str, Any]], list[str]]) -> AfterValidator:
    """Return a validator of a mapping that refuses it with what `check` finds wrong."""

    def validate(value: dict[str, Any]) -> dict[str, Any]:
        problems = check(value)
        if problems:
            raise ValueError("; ".join(problems))
        return value

    return AfterValidator(validate)
