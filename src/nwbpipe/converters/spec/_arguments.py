"""Typing a source's arguments and options by the signature of its interface."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, Required

from pydantic import ConfigDict, DirectoryPath, FilePath, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from nwbpipe.converters.spec._paths import SpecPaths
from nwbpipe.converters.spec._values import Inferred, for_texts
from nwbpipe.validation import explain_keys

# Arguments of NeuroConv that a spec has no say in: nwbpipe gives them itself.
RESERVED = {"self", "args", "nwbfile", "metadata", "verbose", "progress_bar", "progress_bar_options"}
_PATHS = re.compile(r".*(file|folder|directory|dir)_paths?|file_?path|folder_?path|.*_paths?")


@dataclass(frozen=True)
class Parameter:
    """One argument of an interface."""

    annotation: Any
    required: bool


def source_parameters(interface: type[Any]) -> tuple[dict[str, Parameter], bool]:
    """Return the arguments of an interface's constructor, and True if it takes others too."""
    construct: Callable[..., Any] = interface.__init__
    parameters, open_ended = _read_signature(construct)
    if open_ended and any("__new__" in owner.__dict__ for owner in interface.__mro__[:-1]):
        # A class that chooses another one in `__new__` (OpenEphysRecordingInterface) is described by it.
        chosen, open_ended = _read_signature(interface.__new__)
        parameters = {**parameters, **chosen}
    if open_ended:
        properties = _read_schema(interface)
        parameters = {**properties, **parameters}
        open_ended = not properties
    return parameters, open_ended


def option_parameters(interface: type[Any]) -> tuple[dict[str, Parameter], bool]:
    """Return the conversion options of an interface, and True if it takes others too."""
    parameters: dict[str, Parameter] = {}
    # `**conversion_options` passes on to the base class, whose options therefore count.
    for owner in interface.__mro__:
        method = owner.__dict__.get("add_to_nwbfile")
        if method is None:
            continue
        options, open_ended = _read_signature(method)
        parameters = {**options, **parameters}
        if not open_ended:
            return parameters, False
    return parameters, True


def _read_signature(function: Callable[..., Any]) -> tuple[dict[str, Parameter], bool]:
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


def _read_schema(interface: type[Any]) -> dict[str, Parameter]:
    try:
        schema = interface.get_source_schema()
    except Exception:
        return {}
    parameters: dict[str, Parameter] = {}
    words = {"string": str, "number": float, "integer": int, "boolean": bool, "array": list, "object": dict}
    for name, item in schema.get("properties", {}).items():
        annotation: Any = words.get(str(item.get("type")), Any)
        if item.get("format") in ("file", "directory"):
            annotation = Path
        parameters[name] = Parameter(annotation, name in schema.get("required", []))
    return parameters


def type_arguments(
    texts: Mapping[str, Any], parameters: Mapping[str, Parameter], open_ended: bool, paths: SpecPaths | None
) -> dict[str, Any]:
    """Return the arguments of a source as values of their types.

    Parameters
    ----------
    texts : mapping
        The texts of the spec.
    parameters, open_ended
        From `source_parameters` or `option_parameters`.
    paths : SpecPaths
        What paths are relative to.

    Raises
    ------
    ValidationError
        Naming every mistake.
    """
    fields: dict[str, Any] = dict.fromkeys(texts, NotRequired[Inferred]) if open_ended else {}
    for name, parameter in parameters.items():
        annotation = for_texts(_as_path(name, parameter.annotation))
        fields[name] = Required[annotation] if parameter.required else NotRequired[annotation]
    make_type: Any = TypedDict
    arguments = make_type("arguments", fields)
    arguments.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        typed: dict[str, Any] = TypeAdapter(arguments).validate_python(texts, context=paths)
    except ValidationError as error:
        raise explain_keys(error, parameters) from None
    return typed


def _as_path(name: str, annotation: Any) -> Any:
    """Return the annotation of a path for an argument that is named like one but annotated as a text, or not at all.

    Where the annotation leaves open whether it is a file or a folder, the name says it.
    """
    if not _PATHS.fullmatch(name):
        return annotation
    path: Any = DirectoryPath if "folder" in name or "directory" in name else FilePath if "file" in name else Path
    options = _list_options(annotation)
    lists = [option for option in options if option is list or typing.get_origin(option) is list]
    if lists:
        items = {item for option in lists for arg in typing.get_args(option) for item in _list_options(arg)}
        return list[path] if not items or items & {str, Path} else annotation
    return path if any(option in (str, Path, Any) for option in options) else annotation


def _list_options(annotation: Any) -> tuple[Any, ...]:
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)
