"""``nwbpipe tools``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nwbpipe.environments import Tool

app = typer.Typer(
    help="Environments of the tools: list, install, remove.", no_args_is_help=True, rich_markup_mode=None
)


def _tools() -> dict[str, Tool]:
    from nwbpipe.processors import processor, processor_names

    tools = [processor(name).tool for name in processor_names()]
    return {tool.name: tool for tool in tools}


def _tool(name: str) -> Tool:
    import difflib

    from nwbpipe.errors import UnknownNameError

    tools = _tools()
    if name not in tools:
        msg = f"there is no tool {name!r}"
        near = difflib.get_close_matches(name, tools, n=1)
        hint = f"did you mean {near[0]!r}?" if near else None
        raise UnknownNameError(msg, expected=", ".join(sorted(tools)), found=name, hint=hint)
    return tools[name]


@app.command("list")
def list_tools(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Show each tool: where it is installed and in which version, or how to get it."""
    from nwbpipe.environments import find
    from nwbpipe.errors import ToolMissingError

    rows = []
    for name, tool in sorted(_tools().items()):
        row: dict[str, Any] = {"name": name, "licence": tool.licence, "requirements": list(tool.requirements)}
        try:
            found = find(tool)
            row |= {"kind": str(found.kind), "python": str(found.python), "version": found.version}
        except ToolMissingError as error:
            row |= {"kind": None, "get": error.problem.hint}
        rows.append(row)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        where = f"{row['version']}, {row['kind']}: {row['python']}" if row["kind"] else f"not installed: {row['get']}"
        typer.echo(f"{row['name']:<18}{where}")


@app.command()
def install(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Which tools.")],
    lock: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=True, help="Requirements file, or a folder of NAME.txt files."),
    ] = None,
) -> None:
    """Create the isolated environment of a tool, or of several."""
    from nwbpipe.environments import install as install_tool

    for tool in [_tool(name) for name in names]:
        locked = lock / f"{tool.name}.txt" if lock is not None and lock.is_dir() else lock
        typer.echo(f"{tool.name}: installing …", err=True)
        typer.echo(f"{tool.name}: {install_tool(tool, lock=locked)}")


@app.command()
def remove(names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Which tools.")]) -> None:
    """Remove the isolated environment of a tool, or of several."""
    from nwbpipe.environments import remove as remove_tool

    for tool in [_tool(name) for name in names]:
        typer.echo(f"{tool.name}: {'removed' if remove_tool(tool) else 'was not installed'}")


@app.command()
def requirements(name: Annotated[str, typer.Argument(help="Which tool.")]) -> None:
    """Print a tool's requirements, one a line, as a requirements file has them."""
    typer.echo("\n".join(_tool(name).requirements))
