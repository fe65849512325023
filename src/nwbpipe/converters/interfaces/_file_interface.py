"""Base of the interfaces of one file, whose arguments a pydantic model declares."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from typing import Any, Generic, TypeVar, get_args, get_origin

from neuroconv import BaseDataInterface
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from nwbpipe.converters.interfaces._table_arguments import FileArguments
from nwbpipe.errors import Problem, SourceError

Arguments = TypeVar("Arguments", bound=FileArguments)


class FileInterface(BaseDataInterface, Generic[Arguments]):  # type: ignore[misc]  # NeuroConv is untyped
    """Base of interfaces that read one file.

    A subclass names the model of its arguments, ``class WheelInterface(FileInterface[WheelArguments])``, and reads
    the file in `_read`. Its constructor, with the signature that specs are checked by, and the section "Parameters"
    of its docstring are made of the model. Required paths may be given by position.

    Attributes
    ----------
    args : FileArguments
        The arguments, validated; also in `source_data`, with paths as text.
    """

    args: Arguments

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if get_origin(base) is FileInterface:
                cls.__init__ = _make_constructor(get_args(base)[0])  # type: ignore[method-assign]
                cls.__doc__ = _add_parameters(cls.__doc__ or "", get_args(base)[0])

    def _start(self, args: Arguments) -> None:
        values = {name: getattr(args, name) for name in type(args).model_fields}
        super().__init__(**{name: str(value) if isinstance(value, Path) else value for name, value in values.items()})
        self.args = args
        self.metadata_key: str = args.metadata_key
        self._path = args.file_path
        self._notes: list[str] = []  # what was done to the file's content
        self._read()

    @abstractmethod
    def _read(self) -> None:
        """Read the file."""

    def _error(self, what: str, **more: Any) -> SourceError:
        return SourceError(what, **{"where": str(self._path), **more})

    def _describe(self, standard: str) -> str:
        return add_notes(self.args.description or standard, self._notes)


def add_notes(text: str, notes: Iterable[str]) -> str:
    """Return a description that ends with what was done to the file's content."""
    return "; ".join([text.rstrip("."), *notes]) + "."


def _make_constructor(model: type[FileArguments]) -> Any:
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD
            if field.is_required() and field.annotation is Path
            else inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.is_required() else field.default,
            annotation=field.rebuild_annotation(),
        )
        for name, field in model.model_fields.items()
    ]
    parameters.sort(key=lambda parameter: parameter.kind)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = inspect.Signature([itself, *parameters])

    def construct(self: Any, *args: Any, **options: Any) -> None:
        values = signature.bind(self, *args, **options).arguments
        del values["self"]
        try:
            self._start(model(**values))
        except ValidationError as error:
            file, name = str(values["file_path"]), type(self).__name__
            problems = [_argument_problem(name, file, dict(fault)) for fault in error.errors()]
            if len(problems) == 1:
                raise SourceError(**asdict(problems[0])) from error
            raise SourceError(f"the arguments of {name} can't be used", where=file, problems=problems) from error

    construct.__signature__ = signature  # type: ignore[attr-defined]
    construct.__name__ = "__init__"
    return construct


def _argument_problem(interface: str, file: str, fault: dict[str, Any]) -> Problem:
    name = ".".join(map(str, fault["loc"]))
    expected = fault["msg"].removeprefix("Input should be ").partition(", unable to parse")[0]
    message = f"{interface}: the argument {name} has a wrong value"
    return Problem(message, file, expected, repr(fault["input"]), "correct it")


def _add_parameters(text: str, model: type[FileArguments]) -> str:
    """Add the section "Parameters" to a docstring, before "Raises"."""
    head, title, tail = inspect.cleandoc(text).partition("\n\nRaises\n")
    entries = [
        f"{name} : {_describe_type(field)}\n{indent(field.description or '', '    ')}"
        for name, field in model.model_fields.items()
    ]
    return "\n".join([head, "", "Parameters", "----------", *entries]) + title + tail


def _describe_type(field: FieldInfo) -> str:
    text = inspect.formatannotation(field.annotation).replace("pathlib.", "").removesuffix(" | None")
    text = "Path" if "PathType" in text else text
    return text if field.is_required() else f"{text}, optional"
