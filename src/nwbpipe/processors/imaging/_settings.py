"""Settings of a tool: those that are parameters of a processor, and further ones that are given by name.

Where a parameter stands among the tool's settings is told once, in its field (`tool_setting`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from nwbpipe.errors import suggest_names


def tool_setting(default: Any, *paths: str, decides: Collection[str] = (), **options: Any) -> Any:
    """Return the field of a parameter that is a setting of the tool.

    Parameters
    ----------
    default : object
    *paths : str
        The settings that get the parameter's value: ``group.name``.
    decides : collection of str
        Settings that the compute module derives from it. They can't be given by name either.
    **options : object
        As of `pydantic.Field`.
    """
    return Field(default, json_schema_extra={"sets": list(paths), "decides": list(decides)}, **options)


def own_settings(model: type[BaseModel]) -> dict[str, str]:
    """Return the settings that are parameters of a processor, and what these are called."""
    return {
        path: name
        for name, field in model.model_fields.items()
        for key in ("sets", "decides")
        for path in _read_paths(field, key)
    }


def _read_paths(field: FieldInfo, key: str) -> list[str]:
    extra: Any = field.json_schema_extra
    return list(extra.get(key, ())) if isinstance(extra, Mapping) else []


def nest_settings(params: BaseModel) -> dict[str, Any]:
    """Return the tool's settings that are parameters, nested in their groups; plain JSON."""
    values = params.model_dump(mode="json")
    nested: dict[str, Any] = {}
    for name, field in type(params).model_fields.items():
        for path in _read_paths(field, "sets"):
            *groups, last = path.split(".")
            group = nested
            for part in groups:
                group = group.setdefault(part, {})
            group[last] = values[name]
    return nested


def find_unknown_settings(
    paths: Iterable[str], own: Mapping[str, str], known: Collection[str], refusal: str, otherwise: str = ""
) -> list[str]:
    """Return what is wrong with names of a tool's settings, one line a mistake.

    Parameters
    ----------
    paths : iterable of str
        The names that are given, with those of their groups: ``group.name``.
    own : mapping of str to str
        Names that can't be given so, as they are parameters of the processor, and what these are called.
    known : collection of str
        Names that can be given.
    refusal : str
        What to say of another name, e.g. "suite2p 1.1 has no setting".
    otherwise : str
        What to say where no name is near.
    """
    problems = []
    for path in paths:
        if path in own:
            problems.append(f"{path} is the parameter {own[path]!r} of this processor: give it there")
        elif path not in known:
            near = suggest_names(path, sorted(known))
            hint = f"; {near}" if near else otherwise
            problems.append(f"{refusal} {path!r} that can be set here{hint}")
    return problems


def refuse_settings(problems: list[str]) -> None:
    """Raise ValueError for problems, if there are any: pydantic turns it into an error of the parameter."""
    if problems:
        raise ValueError("; ".join(problems))
