"""Typing the texts of a spec by the annotation that a value is read with."""

from __future__ import annotations

import difflib
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nwbpipe.converters.spec._yaml import YamlScalar

_INT = re.compile(r"[+-]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[+-]?([0-9][0-9_]*)?\.?[0-9]*([eE][+-]?[0-9]+)?")
_NULLS = {"null", "Null", "NULL", "~", ""}

PathResolver = Callable[[str, str], Path]


class SpecValueError(Exception):
    """A value that doesn't fit: what was expected, what was found."""

    def __init__(self, expected: str, found: str, what: str = "the value has the wrong type", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.expected, self.found, self.hint = what, expected, found, hint
        self.others: list[SpecValueError] = []  # those of the other items of a list


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


def describe_annotation(annotation: Any) -> str:
    """Name an annotation in plain words."""
    kind = path_kind(annotation)
    if kind is not None:
        return {"file": "a file", "dir": "a folder"}.get(kind, "a path")
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_annotation(arg) for arg in args if arg is not type(None))
    if origin is typing.Annotated:
        return describe_annotation(args[0])
    if origin in (list, Sequence, tuple, set):
        return "a list" if not args else f"a list of ({describe_annotation(args[0])})"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "a mapping"}
    if origin in (dict, Mapping):
        return "a mapping"
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def path_kind(annotation: Any) -> str | None:
    """Tell whether an annotation is a path: "file", "dir", "path" or None."""
    if annotation is Path:
        return "path"
    if typing.get_origin(annotation) is typing.Annotated:
        base, *extra = typing.get_args(annotation)
        kinds = [getattr(item, "path_type", None) for item in extra]
        if base is Path:
            return next((str(kind) for kind in kinds if kind), "path")
    return None


def describe_value(value: Any) -> str:
    """Describe a value of a spec for a message."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list of " + ", ".join(repr(str(item)) for item in value[:4]) if value else "an empty list"
    return "nothing" if value is None else repr(str(value))


def suggest_names(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Suggest the names that are like one; None if none is."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=cutoff)
    return f"did you mean {' or '.join(near)}?" if near else None


def coerce(value: Any, annotation: Any, resolve: PathResolver) -> Any:
    """Give a value the type that an annotation asks for.

    Parameters
    ----------
    value : Text, list, mapping or None
        The value as it was read.
    annotation
        A type annotation, as `typing.get_type_hints(include_extras=True)` gives it.
    resolve : callable
        Makes a path of a text and a kind ("file", "dir", "path"), or raises `SpecValueError`.

    Raises
    ------
    MistakeError
        If it doesn't fit.
    """
    kind = path_kind(annotation)
    if kind is not None:
        return resolve(_coerce_scalar(value, annotation), kind)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return coerce(value, args[0], resolve)
    if origin in (typing.Union, types.UnionType):
        return _coerce_union(value, annotation, args, resolve)
    if origin is typing.Literal:
        text = _coerce_scalar(value, annotation)
        for option in args:
            if str(option) == text:
                return option
        raise SpecValueError(
            describe_annotation(annotation), describe_value(value), "the value is not one of those allowed"
        )
    target = origin or annotation
    if isinstance(target, type) and target is not str and issubclass(target, Mapping):
        return _coerce_mapping(value, annotation, args, resolve)
    if isinstance(target, type) and target not in (str, bytes) and issubclass(target, (Sequence, set)):
        return _coerce_list(value, target, args, annotation, resolve)
    return _coerce_plain(value, annotation)


def _coerce_plain(value: Any, annotation: Any) -> Any:
    if annotation is str:
        return _coerce_scalar(value, annotation)
    if annotation is bool:
        text = _coerce_scalar(value, annotation)
        if text.lower() not in ("true", "false"):
            raise SpecValueError(describe_annotation(annotation), describe_value(value))
        return text.lower() == "true"
    if annotation in (int, float):
        text = _coerce_scalar(value, annotation)
        try:
            number = int(text) if annotation is int else float(text)
        except ValueError:
            raise SpecValueError(describe_annotation(annotation), describe_value(value)) from None
        if not math.isfinite(number):
            raise SpecValueError("a finite number", describe_value(value))
        return number
    return infer_type(value)


def _coerce_scalar(value: Any, annotation: Any) -> str:
    if not isinstance(value, str):
        raise SpecValueError(describe_annotation(annotation), describe_value(value))
    return str(value)


def _coerce_union(value: Any, annotation: Any, args: tuple[Any, ...], resolve: PathResolver) -> Any:
    if type(None) in args and (value is None or (getattr(value, "plain", False) and value in _NULLS)):
        return None
    options = [arg for arg in args if arg is not type(None)]
    # A text is the last resort, and a number only where it can't be a text (`042`, "7" in quotes).
    texts = str in options
    for option in sorted(options, key=lambda option: option is str):
        number = option in (int, float, bool)
        if number and texts and (not getattr(value, "plain", False) or _parse_number(str(value)) is None):
            continue
        if option is int and isinstance(value, str) and not _INT.fullmatch(value):
            continue
        try:
            return coerce(value, option, resolve)
        except SpecValueError as mistake:
            if len(options) == 1 or (path_kind(option) is not None and not texts):
                raise
            last = mistake
    if len({path_kind(option) for option in options}) > 1 and isinstance(value, str):
        raise last
    raise SpecValueError(describe_annotation(annotation), describe_value(value))


def _coerce_list(value: Any, target: type, args: tuple[Any, ...], annotation: Any, resolve: PathResolver) -> Any:
    if not isinstance(value, list):
        raise SpecValueError(
            describe_annotation(annotation), describe_value(value), hint="write [a, b], or one `- item` a line"
        )
    kinds = [arg for arg in args if arg is not Ellipsis]
    if target is tuple and args and Ellipsis not in args and len(args) != len(value):
        raise SpecValueError(f"{len(args)} values", f"{len(value)}")
    items, mistakes = [], []
    for index, item in enumerate(value):
        try:
            items.append(coerce(item, kinds[min(index, len(kinds) - 1)] if kinds else Any, resolve))
        except SpecValueError as mistake:
            mistakes.append(mistake)
    if mistakes:
        mistakes[0].others = mistakes[1:]
        raise mistakes[0]
    return target(items) if target in (tuple, set) else items


def _coerce_mapping(value: Any, annotation: Any, args: tuple[Any, ...], resolve: PathResolver) -> Any:
    if not isinstance(value, Mapping):
        raise SpecValueError(describe_annotation(annotation), describe_value(value))
    if len(args) != 2:
        return infer_type(value)
    return {coerce(YamlScalar(key), args[0], resolve): coerce(item, args[1], resolve) for key, item in value.items()}
