"""``nwbpipe processors``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from nwbpipe.cli._echo import echo


def processors(
    name: Annotated[str | None, typer.Argument(help="Show one processor's inputs and parameters.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the processors, or show the inputs and parameters of one."""
    from nwbpipe.processors import processor, processor_names

    described = [_describe(processor(entry)) for entry in ([name] if name else processor_names())]
    if as_json:
        typer.echo(json.dumps(described[0] if name else described, indent=2))
        return
    for entry in described:
        echo(f"{entry['name']:<19}{entry['summary']}")
        if name:
            _show(entry)


def _describe(method: Any) -> dict[str, Any]:
    schema = method.Params.model_json_schema()
    return {
        "name": method.name,
        "revision": method.revision,
        "summary": (type(method).__doc__ or "").strip().split("\n")[0],
        "module": method.module,
        "tool": {
            "name": method.tool.name,
            "requirements": list(method.tool.requirements),
            "licence": method.tool.licence,
        },
        "inputs": {
            name: {
                "types": _list_types(declaration),
                "doc": declaration.doc,
                "optional": declaration.optional,
                **({"many": True} if getattr(declaration, "many", False) else {}),
            }
            for name, declaration in method.inputs.items()
        },
        "parameters": schema.get("properties", {}),
        "required": schema.get("required", []),
    }


def _list_types(wanted: Any) -> list[str]:
    from nwbpipe.processors import Artefact, Folder

    if isinstance(wanted, Artefact):
        return [f"an artefact of {' or '.join(wanted.processors)}"]
    if isinstance(wanted, Folder):
        return ["a folder"]
    return list(wanted.neurodata_types)


def _show(one: dict[str, Any]) -> None:
    echo(f"  tool: {one['tool']['name']} ({one['tool']['licence']})")
    echo("  inputs:")
    for name, declaration in one["inputs"].items():
        optional = " (optional)" if declaration["optional"] else ""
        echo(f"    {name}{optional}: {' or '.join(declaration['types'])}. {declaration['doc']}")
    echo("  parameters:")
    for name, facts in one["parameters"].items():
        empty: object = {} if facts.get("type") == "object" else None
        value = "(required)" if name in one["required"] else f"= {json.dumps(facts.get('default', empty))}"
        choices = f" [{', '.join(map(str, facts['enum']))}]" if "enum" in facts else ""
        echo(f"    {name} {value}  {facts.get('description', '')}{choices}")
