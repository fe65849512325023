"""Describe data interfaces and session.yaml: for the command line, and for editors that complete and check a spec."""

from __future__ import annotations

import inspect
import re
from typing import Any

from nwbpipe.converters.interfaces import interface_class, interface_names
from nwbpipe.converters.spec._arguments import Parameter, option_parameters, source_parameters
from nwbpipe.errors import ToolMissingError

_ENTRY = re.compile(r"^(\w+(?:, \w+)*)(?: : (.*))?$")


def list_interfaces() -> list[dict[str, Any]]:
    """List all data interfaces: ours, NeuroConv's, and those of other packages.

    Returns
    -------
    list of dict
        ``name``, ``summary``, ``suffixes`` of the files and ``package`` of each.
    """
    return [_summarize(name) for name in interface_names()]


def describe_interface(name: str) -> dict[str, Any]:
    """Describe one data interface.

    Parameters
    ----------
    name : str
        Class name.

    Returns
    -------
    dict
        As `list_interfaces` gives it, with ``arguments`` and ``options``: ``name``, ``type``, ``default``,
        ``required`` and ``doc`` of each.

    Raises
    ------
    UnknownNameError
        No interface has that name.
    """
    interface = interface_class(name)
    construct = interface.__init__
    docs = {**_read_docs(interface.__doc__), **_read_docs(construct.__doc__)}
    options = option_parameters(interface)[0]
    option_docs = _read_docs(inspect.getdoc(interface.add_to_nwbfile))
    return {
        **_summarize(name),
        "arguments": _describe(source_parameters(interface)[0], construct, docs),
        "options": _describe(options, interface.add_to_nwbfile, option_docs),
    }


def describe_spec() -> dict[str, Any]:
    """Make the JSON schema of session.yaml, with the arguments of each interface.

    Returns
    -------
    dict
        JSON schema (draft 2020-12).
    """
    from nwbpipe.converters.spec._model import SessionSpec

    schema = SessionSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "session.yaml of nwbpipe"
    schema["properties"]["extends"] = {
        "description": "Other YAML files that this one is merged over.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }
    schema["required"] = [name for name in schema["required"] if name != "reference_clock"]  # the first source's
    source = schema["$defs"]["SourceSpec"]
    interfaces = {}
    for name in interface_names():
        try:
            interfaces[name] = interface_class(name)
        except ToolMissingError:
            continue
    source["properties"]["interface"] = {"type": "string", "enum": sorted(interfaces)}
    source["properties"].pop("video", None)
    source["allOf"] = [
        {
            "if": {"properties": {"interface": {"const": name}}, "required": ["interface"]},
            "then": {"properties": {"args": _make_schema(name, interface, schema["$defs"])}},
        }
        for name, interface in sorted(interfaces.items())
    ]
    return schema


def _summarize(name: str) -> dict[str, Any]:
    try:
        interface = interface_class(name)
    except ToolMissingError as error:
        return {"name": name, "summary": f"not installed: {error.problem.hint}", "suffixes": [], "package": ""}
    text = inspect.cleandoc(interface.__doc__ or getattr(interface, "info", "") or "")
    suffixes = getattr(interface, "associated_suffixes", ()) or ()
    return {
        "name": name,
        "summary": " ".join(text.split("\n\n")[0].split()),
        "suffixes": [f".{suffix.lstrip('.')}" for suffix in suffixes],
        "package": interface.__module__.split(".")[0],
    }


def _describe(parameters: dict[str, Parameter], function: Any, docs: dict[str, str]) -> list[dict[str, Any]]:
    defaults = inspect.signature(inspect.unwrap(function)).parameters
    described = []
    for name, parameter in parameters.items():
        default = defaults[name].default if name in defaults else None
        entry = {"name": name, "type": _format_type(parameter.annotation), "required": parameter.required}
        if not parameter.required:
            is_plain = isinstance(default, str | int | float | bool | list | type(None))
            entry["default"] = default if is_plain else str(default)
        described.append({**entry, "doc": docs.get(name, "")})
    return sorted(described, key=lambda entry: not entry["required"])


def _format_type(annotation: Any) -> str:
    text = inspect.formatannotation(annotation)
    text = re.sub(r"Annotated\[(?:pathlib\.)?(?:_local\.)?Path, PathType\((?:path_type=)?'\w+'\)\]", "Path", text)
    text = re.sub(r"Annotated\[([^,\]]*), [^\]]*\]", r"\1", text)
    return re.sub(r"\b(?:typing|pathlib|_local|datetime)\.", "", text)


def _read_docs(text: str | None) -> dict[str, str]:
    """Read the section "Parameters" of a docstring: name → text in one line."""
    _, _, section = inspect.cleandoc(text or "").partition("Parameters\n----------\n")
    docs: dict[str, list[str]] = {}
    names: list[str] = []
    lines = section.splitlines()
    for number, line in enumerate(lines):
        if number + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[number + 1]):
            break  # the next section
        match = _ENTRY.match(line)
        if match is not None:
            names = match[1].split(", ")
        elif line.startswith(" "):
            for name in names:
                docs.setdefault(name, []).append(line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in docs.items()}


def _make_schema(name: str, interface: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Make the schema of an interface's arguments; models that these need are added to the definitions."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError

    parameters, open_ended = source_parameters(interface)
    properties: dict[str, Any] = {}
    for key, parameter in parameters.items():
        try:
            part = TypeAdapter(parameter.annotation).json_schema(ref_template=f"#/$defs/{name}_{{model}}")
        except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError):
            part = {}
        definitions.update({f"{name}_{model}": value for model, value in part.pop("$defs", {}).items()})
        properties[key] = part
    required = [key for key, parameter in parameters.items() if parameter.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": open_ended}
