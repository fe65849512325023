"""Typing the texts of a spec: pydantic reads each by the annotation of the argument or field that it is given to."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, WrapValidator
from pydantic_core import PydanticCustomError

from nwbpipe.converters.spec._yaml import YamlScalar
from nwbpipe.validation import describe_value, mistake

_INT = re.compile(r"[+-]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[+-]?([0-9][0-9_]*)?\.?[0-9]*([eE][+-]?[0-9]+)?")
_NULLS = {"null", "Null", "NULL", "~", ""}


def infer_type(value: Any, texts: Collection[str] = ()) -> Any:
    """Type a value that no schema describes; the values of the keys `texts` stay texts.

    Only what can't be meant otherwise is changed: ``true`` and ``false``, whole numbers without leading zeros
    (``7``; ``042`` stays text), decimal numbers. Quoted texts, dates, ``N`` and ``yes`` stay texts.
    """
    if isinstance(value, Mapping):
        return {
            str(key): str(item) if key in texts and isinstance(item, YamlScalar) else infer_type(item, texts)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [infer_type(item, texts) for item in value]
    if not isinstance(value, YamlScalar):
        return value
    if value.plain:
        if value in ("true", "True", "false", "False"):
            return value.lower() == "true"
        number = _parse_number(value)
        if number is not None:
            return number
    return str(value)


def _parse_number(text: str) -> int | float | None:
    if _INT.fullmatch(text):
        return int(text)
    if re.fullmatch(r"[+-]?0[0-9_]+", text) or not re.search("[0-9]", text):
        return None
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else None
    return None


def _parse_bool(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, bool):
        return value
    raise mistake("the value has the wrong type", expected="true or false")


def _resolve_path(kind: str) -> Callable[[Any, ValidationInfo], Path]:
    def resolve(value: Any, info: ValidationInfo) -> Path:
        if not isinstance(value, str):
            raise mistake("the value has the wrong type", expected=_describe_path(kind))
        paths: Any = info.context
        path: Path = paths.resolve(str(value), kind)
        return path

    return resolve


def _choose_literal(options: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Return the validator that finds a text among the allowed values, which may be numbers."""
    return lambda value: next((option for option in options if str(option) == value), value)


def _require_list(annotation: Any) -> Callable[[Any], Any]:
    """Return the validator that says what a list has to hold."""

    def check(value: Any) -> Any:
        if not isinstance(value, list):
            hint = "write [a, b], or one `- item` a line"
            raise mistake("the value has the wrong type", expected=describe_annotation(annotation), hint=hint)
        return value

    return check


def _prepare_union(options: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Return the validator that decides what a plain text is where several types are allowed.

    A text is a number only where it can't be meant as a text: ``042`` and "7" in quotes stay texts.
    """

    def prepare(value: Any) -> Any:
        if not isinstance(value, YamlScalar) or not value.plain:
            return value
        if type(None) in options and value in _NULLS:
            return None
        number = _parse_number(value)
        if number is None or str not in options:
            return value
        return number if type(number) in options or float in options else value

    return prepare


def _merge_choices(annotation: Any) -> WrapValidator:
    """Return the validator that names one mistake where a value fits none of several types."""

    def validate(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            if isinstance(value, str):  # what is wrong with the path says more
                for fault in error.errors():
                    if fault["type"] == "nwbpipe" and len(fault["loc"]) == 1:
                        raise PydanticCustomError("nwbpipe", "{what}", fault["ctx"]) from None
            expected = describe_annotation(annotation)
            raise mistake("the value has the wrong type", expected=expected, found=describe_value(value)) from None

    return WrapValidator(validate)


Inferred = Annotated[Any, AfterValidator(infer_type)]
SpecFile = Annotated[Path, BeforeValidator(_resolve_path("file"))]
Column = Annotated[  # of a table, by its name or number
    str | int | None, _merge_choices(str | int), BeforeValidator(_prepare_union((str, int, type(None))))
]
_TYPES: Mapping[Any, Any] = {
    str: str, int: int, float: Annotated[float, Field(allow_inf_nan=False)],
    bool: Annotated[bool, BeforeValidator(_parse_bool)], list: list[Inferred], tuple: tuple[Inferred, ...],
    set: set[Inferred], dict: dict[str, Inferred],
}  # fmt: skip


def for_texts(annotation: Any) -> Any:
    """Return the annotation by which pydantic makes a value of a type of the texts of a spec.

    The context of the validation is the spec's `SpecPaths`, which resolve the paths. A type that is not known here
    (a class of an interface's own) leaves the value to the interface: it is typed as `infer_type` does.
    """
    kind = path_kind(annotation)
    if kind is not None:
        return Annotated[Path, BeforeValidator(_resolve_path(kind))]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return for_texts(args[0])
    if origin is typing.Literal:
        return Annotated[annotation, BeforeValidator(_choose_literal(args))]
    if origin in (typing.Union, types.UnionType):
        union: Any = typing.Union[tuple(arg if arg is type(None) else for_texts(arg) for arg in args)]  # noqa: UP007
        if len([arg for arg in args if arg is not type(None)]) > 1:
            union = Annotated[union, _merge_choices(annotation)]
        return Annotated[union, BeforeValidator(_prepare_union(args))]
    if isinstance(origin, type) and issubclass(origin, (Sequence, Set, Mapping)):
        items: Any = origin[tuple(arg if arg is Ellipsis else for_texts(arg) for arg in args)]  # type: ignore[index]
        return items if issubclass(origin, Mapping) else Annotated[items, BeforeValidator(_require_list(annotation))]
    return _TYPES.get(annotation, Inferred)


def path_kind(annotation: Any) -> str | None:
    """Return "file", "dir" or "path" if an annotation is a path, else None."""
    if annotation is Path:
        return "path"
    if typing.get_origin(annotation) is Annotated:
        base, *extra = typing.get_args(annotation)
        kinds = [getattr(item, "path_type", None) for item in extra]
        if base is Path:
            return next((str(kind) for kind in kinds if kind), "path")
    return None


def _describe_path(kind: str) -> str:
    return {"file": "a file", "dir": "a folder"}.get(kind, "a path")


def describe_annotation(annotation: Any) -> str:
    """Name an annotation in plain words."""
    kind = path_kind(annotation)
    if kind is not None:
        return _describe_path(kind)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_annotation(arg) for arg in args if arg is not type(None))
    if origin is Annotated:
        return describe_annotation(args[0])
    if origin in (list, Sequence, tuple, set) and args:
        return f"a list of ({describe_annotation(args[0])})"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", list: "a list"}
    if (origin or annotation) in (dict, Mapping):
        return "a mapping"
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))
