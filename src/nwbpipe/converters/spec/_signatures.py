"""The arguments of an interface by the text of its module: importing NeuroConv takes seconds."""

from __future__ import annotations

import ast
import operator
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pydantic

from nwbpipe.converters._interface_names import neuroconv_modules, our_modules
from nwbpipe.converters.spec._arguments import RESERVED, Parameter

_TYPES: Mapping[str, Any] = {
    **{kind.__name__: kind for kind in (str, int, float, bool, list, dict, tuple, set)},
    "pathlib.Path": Path,
    "pydantic.FilePath": pydantic.FilePath,
    "pydantic.DirectoryPath": pydantic.DirectoryPath,
    "typing.Any": Any,
    "typing.Literal": typing.Literal,
    "typing.Optional": typing.Optional,
    "typing.Union": typing.Union,
}
_UNKNOWN = object  # stands for an annotation that is not understood: any value passes


class _UncertainError(Exception):
    """The text does not settle what the arguments are."""


@dataclass(frozen=True)
class _Module:
    """The text of a module: its classes, and what it imports by name."""

    name: str
    classes: Mapping[str, ast.ClassDef]
    imports: Mapping[str, tuple[str, str]]


@cache
def read_parameters(interface: str, section: str) -> Mapping[str, Parameter] | None:
    """Return the arguments or the options of an interface by the text of its class.

    One whose annotation is not understood may have any value.

    Parameters
    ----------
    interface : str
        Class name of an interface of ours or of NeuroConv.
    section : {"args", "options"}
        Those of the constructor, or of ``add_to_nwbfile``.

    Returns
    -------
    mapping or None
        None where the text does not settle them: a function takes further ones, or is wrapped; the constructor is
        inherited; the interface is of another package. `source_parameters` and `option_parameters` say it of the
        class.
    """
    module = our_modules().get(interface) or neuroconv_modules().get(interface)
    if module is None:
        return None
    try:
        read = _read_arguments if section == "args" else _read_options
        return read(_read_module(module), interface)
    except (_UncertainError, OSError, SyntaxError, UnicodeError):
        return None


@cache
def _read_module(name: str) -> _Module:
    package, *parts = name.split(".")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _UncertainError
    base = Path(spec.submodule_search_locations[0]).joinpath(*parts)
    is_package = base.is_dir()
    path = base / "__init__.py" if is_package else base.with_name(f"{base.name}.py")
    classes, imports = {}, {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            if node.name in classes:
                raise _UncertainError
            classes[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            owner = name.split(".")[: len(parts) + 1 + is_package - node.level] if node.level else []
            source = ".".join([*owner, *([node.module] if node.module else [])])
            imports.update({alias.asname or alias.name: (source, alias.name) for alias in node.names})
        elif isinstance(node, ast.Assign):
            names = {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            if names & classes.keys():
                raise _UncertainError  # a class is replaced, or a part of it
    return _Module(name, classes, imports)


def _read_arguments(module: _Module, name: str) -> Mapping[str, Parameter]:
    node = _find_class(module, name)
    constructor = _find_method(node, "__init__")
    if constructor is not None:
        parameters, open_ended = _read_function(module, constructor)
        if not open_ended:
            return parameters
    for base in node.bases if constructor is None else ():
        if isinstance(base, ast.Subscript) and _called_name(base.value) == "FileInterface":
            return _read_fields(*_follow(module, _called_name(base.slice)))  # see `FileInterface`
    raise _UncertainError


def _read_options(module: _Module, name: str) -> Mapping[str, Parameter]:
    """Return the options of a class; those of its base count too, if it passes further ones on."""
    node = _find_class(module, name)
    if name == "ExternalVideoInterface":
        raise _UncertainError  # nwbpipe has options of its own for it
    method = _find_method(node, "add_to_nwbfile")
    options, open_ended = ({}, True) if method is None else _read_function(module, method)
    if not open_ended:
        return options
    if len(node.bases) != 1:
        raise _UncertainError
    return {**_read_options(*_follow(module, _called_name(node.bases[0]))), **options}


def _follow(module: _Module, name: str) -> tuple[_Module, str]:
    """Return the module that defines a name, and the name there."""
    while name not in module.classes and name in module.imports:
        home, name = module.imports[name]
        module = _read_module(home)
    return module, name


def _find_class(module: _Module, name: str) -> ast.ClassDef:
    node = module.classes.get(name)
    if node is None or any(_called_name(decorator) != "interface" for decorator in node.decorator_list):
        raise _UncertainError
    return node


def _find_method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == name]
    others = [item for item in ast.walk(node) if name in (getattr(item, "name", ""), getattr(item, "id", ""))]
    if len(methods) > 1 or others != methods:  # assigned, or defined under a condition
        raise _UncertainError
    return methods[0] if methods else None


def _read_function(module: _Module, function: ast.FunctionDef) -> tuple[dict[str, Parameter], bool]:
    """Return the parameters of a method, and True if it takes others too."""
    arguments = function.args
    if any(_called_name(item) != "validate_call" for item in function.decorator_list):
        raise _UncertainError
    positional = [*arguments.posonlyargs, *arguments.args]
    required = {item.arg for item in positional[: len(positional) - len(arguments.defaults)]}
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required |= {item.arg for item, default in named if default is None}
    parameters = {
        item.arg: Parameter(_evaluate(module, item.annotation), item.arg in required)
        for item in [*positional[1:], *arguments.kwonlyargs]
        if item.arg not in RESERVED
    }
    return parameters, arguments.kwarg is not None


def _read_fields(module: _Module, name: str) -> dict[str, Parameter]:
    """Return the fields of a pydantic model, those of its base first."""
    node = _find_class(module, name)
    if len(node.bases) != 1:
        raise _UncertainError
    base = _called_name(node.bases[0])
    fields = {} if module.imports.get(base) == ("pydantic", "BaseModel") else _read_fields(*_follow(module, base))
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id not in RESERVED:
            fields[item.target.id] = Parameter(_evaluate(module, item.annotation), _is_required(item.value))
    return fields


def _is_required(value: ast.expr | None) -> bool:
    """Return True if a field of a model has no default."""
    if isinstance(value, ast.Call) and _called_name(value) == "Field":
        return not value.args and not {"default", "default_factory"} & {word.arg for word in value.keywords}
    return value is None


def _called_name(node: ast.expr) -> str:
    """Return the name that an expression is, or calls; empty for any other."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.id if isinstance(node, ast.Name) else ""


def _evaluate(module: _Module, node: ast.expr | None) -> Any:
    """Return the type that an annotation names; `_UNKNOWN` if it is not understood."""
    if node is None:
        return Any
    try:
        return _evaluate_part(module, node)
    except (_UncertainError, TypeError, ValueError):
        return _UNKNOWN


def _evaluate_part(module: _Module, node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Name):
        key = ".".join(module.imports[node.id]) if node.id in module.imports else node.id
        if key in _TYPES and node.id not in module.classes:
            return _TYPES[key]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return operator.or_(_evaluate_part(module, node.left), _evaluate_part(module, node.right))
    if isinstance(node, ast.Subscript):
        kind = _evaluate_part(module, node.value)
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if kind is typing.Literal:
            return kind[tuple(ast.literal_eval(item) for item in items)]
        parts = tuple(_evaluate_part(module, item) for item in items)
        return kind[parts if len(parts) > 1 else parts[0]]
    raise _UncertainError
