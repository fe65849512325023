"""``nwbpipe interfaces`` and ``nwbpipe schema``."""

from __future__ import annotations

import json
from textwrap import shorten
from typing import Annotated, Any

import typer

from nwbpipe.cli._echo import echo


def interfaces(
    name: Annotated[str | None, typer.Argument(help="Show one interface's arguments and options.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the data interfaces that read raw files, or show the arguments and options of one."""
    from nwbpipe.converters import describe_interface, list_interfaces

    if name is not None:
        entry = describe_interface(name)
        typer.echo(json.dumps(entry, indent=2)) if as_json else _show(entry)
        return
    entries = list_interfaces()
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    for entry in entries:
        echo(f"{entry['name']:<42}{shorten(entry['summary'], 90)} {' '.join(entry['suffixes'])}".rstrip())


def schema() -> None:
    """Print the JSON schema of session.yaml: an editor completes and checks a spec by it."""
    from nwbpipe.converters import describe_spec

    typer.echo(json.dumps(describe_spec(), indent=1))


def _show(entry: dict[str, Any]) -> None:
    echo(f"{entry['name']} ({entry['package']}): {entry['summary']}")
    if entry["suffixes"]:
        echo(f"  files: {' '.join(entry['suffixes'])}")
    for title in ("arguments", "options"):
        echo(f"  {title}:" if entry[title] else f"  no {title}")
        for item in entry[title]:
            value = "(required)" if item["required"] else f"= {json.dumps(item['default'])}"
            echo(f"    {item['name']} {value}  {item['type']}. {item['doc']}".rstrip(" ."))
