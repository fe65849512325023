"""Typing a source's arguments and options by the signature of its interface."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbpipe.converters.spec._paths import SpecPaths
from nwbpipe.converters.spec._values import SpecValueError, coerce, suggest_names
from nwbpipe.converters.spec._yaml import YamlMapping
from nwbpipe.errors import Problem

# Arguments of NeuroConv that a spec has no say in: nwbpipe gives them itself.
RESERVED = {"self", "args", "nwbfile", "metadata", "verbose", "progress_bar", "progress_bar_options"}
_PATHS = re.compile(r".*(file|folder|directory|dir)_paths?|file_?path|folder_?path|.*_paths?")


@dataclass(frozen=True)
class Parameter:
    """One argument of an interface."""

    annotation: Any
    required: bool


def source_parameters(interface: type[Any]) -> tuple[dict[str, Parameter], bool]:
    """Arguments of an interface's constructor, and whether it takes others too."""
    construct: Callable[..., Any] = interface.__init__
    parameters, open_ended = _parameters(construct)
    if open_ended and any("__new__" in owner.__dict__ for owner in interface.__mro__[:-1]):
        # A class that chooses another one in `__new__` (OpenEphysRecordingInterface) is described by it.
        chosen, open_ended = _parameters(interface.__new__)
        parameters = {**parameters, **chosen}
    if open_ended:
        properties, known = _schema_properties(interface)
        parameters = {**parameters, **{name: item for name, item in properties.items() if name not in parameters}}
        open_ended = not known
    return parameters, open_ended


def option_parameters(interface: type[Any]) -> tuple[dict[str, Parameter], bool]:
    """Conversion options of an interface, and whether it takes others too."""
    parameters: dict[str, Parameter] = {}
    # `**conversion_options` passes on to the base class, whose options therefore count.
    for owner in interface.__mro__:
        method = owner.__dict__.get("add_to_nwbfile")
        if method is None:
            continue
        found, open_ended = _parameters(method)
        parameters = {**found, **parameters}
        if not open_ended:
            return parameters, False
    return parameters, True


def _parameters(function: Callable[..., Any]) -> tuple[dict[str, Parameter], bool]:
    function = inspect.unwrap(function)
    signature = inspect.signature(function)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    parameters, open_ended = {}, False
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind is not parameter.VAR_POSITIONAL and name not in RESERVED and name != "cls":
            annotation = hints.get(name, Any if isinstance(parameter.annotation, str) else parameter.annotation)
            annotation = Any if annotation is parameter.empty else annotation
            parameters[name] = Parameter(annotation, parameter.default is parameter.empty)
    return parameters, open_ended


def _schema_properties(interface: type[Any]) -> tuple[dict[str, Parameter], bool]:
    try:
        schema = interface.get_source_schema()
    except Exception:
        return {}, False
    names: dict[str, Parameter] = {}
    words = {"string": str, "number": float, "integer": int, "boolean": bool, "array": list, "object": dict}
    for name, item in schema.get("properties", {}).items():
        annotation: Any = words.get(str(item.get("type")), Any)
        if item.get("format") in ("file", "directory"):
            annotation = Path
        names[name] = Parameter(annotation, name in schema.get("required", []))
    return names, bool(names)


def type_arguments(
    given: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    open_ended: bool,
    places: SpecPaths,
    key: str,
    problems: list[Problem],
) -> dict[str, Any]:
    """Type the arguments of a source.

    Parameters
    ----------
    given : mapping
        The texts of the spec.
    parameters, open_ended
        From `source_parameters` or `option_parameters`.
    places : Places
        What paths are relative to.
    key : str
        Path of the mapping in the spec, for messages.
    problems : list of Problem
        Takes every mistake.

    Returns
    -------
    dict
        The typed arguments; those with mistakes are left out.
    """
    typed: dict[str, Any] = {}
    for name, value in given.items():
        where = _locate(given, name, key)
        if name not in parameters and not open_ended:
            problems.append(_unknown_argument(name, parameters, where))
            continue
        annotation = parameters[name].annotation if name in parameters else Any
        try:
            typed[name] = coerce(value, _as_path(name, annotation), _resolver(name, places))
        except SpecValueError as mistake:
            for item in (mistake, *mistake.others):
                problems.append(Problem(item.what, where, item.expected, item.found, item.hint or None))
    for name, parameter in parameters.items():
        if parameter.required and name not in given:
            where = f"{getattr(given, 'mark', None)}: {key}" if getattr(given, "mark", None) else key
            problems.append(Problem(f"the argument {name!r} is missing", where, hint=f"add {name} to {key}"))
    return typed


def _as_path(name: str, annotation: Any) -> Any:
    """Make a path of an argument that is named like one but annotated as a text, or not at all."""
    if not _PATHS.fullmatch(name):
        return annotation
    options = [arg for arg in (typing.get_args(annotation) or (annotation,)) if arg is not type(None)]
    if typing.get_origin(annotation) is list:
        options = [annotation]
    if any(option is list or typing.get_origin(option) is list for option in options):
        inner = {item for option in options for arg in typing.get_args(option) for item in _flatten_union(arg)}
        return list[Path] if str in inner or not inner else annotation
    return Path if str in options or annotation is Any else annotation


def _flatten_union(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _resolver(name: str, places: SpecPaths) -> Callable[[str, str], Path]:
    """Resolve the paths of an argument; what the annotation leaves open, its name says."""
    named = "dir" if "folder" in name or "directory" in name else "file" if "file" in name else "path"
    return lambda text, kind: places.resolve(text, named if kind == "path" else kind)


def _unknown_argument(name: str, parameters: Mapping[str, Parameter], where: str) -> Problem:
    names = sorted(parameters)
    return Problem(
        f"the argument {name!r} is unknown",
        where,
        expected="one of " + ", ".join(names) if names else "no arguments",
        found=name,
        hint=suggest_names(name, names),
    )


def _locate(tree: Mapping[str, Any], name: str, key: str) -> str:
    mark = tree.marks.get(name) if isinstance(tree, YamlMapping) else None
    return f"{mark}: {key}.{name}" if mark else f"{key}.{name}"
