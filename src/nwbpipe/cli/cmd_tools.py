"""``nwbpipe tools``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._findings import show_findings

if TYPE_CHECKING:
    from nwbpipe.environments import Tool

app = typer.Typer(
    help="Environments of the tools: list, install, lock, remove, doctor, dockerfile, requirements.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Which tools.")]
Name = Annotated[str, typer.Argument(help="Which tool.")]


def _find_tool(name: str) -> Tool:
    from nwbpipe.errors import UnknownNameError, suggest_names
    from nwbpipe.processors import list_tools

    tools = list_tools()
    if name not in tools:
        msg = f"there is no tool {name!r}"
        hint = suggest_names(name, tools) or "`nwbpipe tools list` shows them"
        raise UnknownNameError(msg, expected=", ".join(sorted(tools)), found=name, hint=hint)
    return tools[name]


@app.command("list")
def list_tools(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Show each tool: where it is installed, in which version and on which device, or how to get it."""
    from nwbpipe.processors import list_tools

    rows = [_describe_tool(tool) for tool in list_tools().values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows) + 2
    for row in rows:
        device = f", {row['device']}" if row.get("device") else ""
        detail = f"{row['version']}, {row['kind']}: {row['python']}{device}" if row["kind"] else row["get"]
        echo(f"{row['name']:<{width}}{detail if row['kind'] else f'not installed: {detail}'}")


def _describe_tool(tool: Tool) -> dict[str, Any]:
    from nwbpipe.environments import find
    from nwbpipe.errors import ToolMissingError

    row: dict[str, Any] = {
        "name": tool.name,
        "licence": tool.licence,
        "python_versions": tool.python,
        "requirements": list(tool.requirements),
        "programs": [program.name for program in tool.programs],
        "system": list(tool.system),
        "repository": tool.checkout.repository if tool.checkout else None,
        "weights": [
            {"file": weight_file.file, "source": weight_file.source, "for": weight_file.needed_for}
            for weight_file in tool.weights
        ],
    }
    try:
        environment = find(tool)
    except ToolMissingError as error:
        return row | {"kind": None, "get": error.problem.hint, "problem": error.problem.what}
    return row | {
        "kind": str(environment.kind),
        "python": environment.container.image if environment.container else str(environment.python),
        "version": environment.version,
        "device": environment.device,
    }


@app.command()
def install(
    names: Names,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="isolated, conda or container.  [default: isolated]")
    ] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="The versions that `nwbpipe tools lock` wrote down.")
    ] = False,
    lock: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=True, help="Requirements file, or a folder of NAME.txt files."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Image that a container is built from, with Python and pip.")
    ] = None,
) -> None:
    """Create the environment of a tool, or of several."""
    from nwbpipe.environments import EnvironmentKind
    from nwbpipe.environments import install as install_tool

    if kind is not None and kind not in set(EnvironmentKind):
        raise typer.BadParameter(
            f"{kind!r} is not a kind of environment: isolated, conda, container", param_hint="--kind"
        )
    for tool in [_find_tool(name) for name in names]:
        file = lock / f"{tool.name}.txt" if lock is not None and lock.is_dir() else lock
        echo(f"{tool.name}: installing …", err=True)
        environment = install_tool(
            tool, kind=EnvironmentKind(kind) if kind else None, lock=file, locked=locked, base=base
        )
        echo(f"{tool.name}: {environment}")


@app.command()
def lock(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File.  [default: where `install --locked` looks]")
    ] = None,
) -> None:
    """Write down the version of every package of a tool's environment."""
    from nwbpipe.environments import lock_tool

    echo(f"{name}: {lock_tool(_find_tool(name), output)}")


@app.command()
def remove(names: Names) -> None:
    """Remove the environment that was made for a tool, or for several."""
    from nwbpipe.environments import remove as remove_tool

    for tool in [_find_tool(name) for name in names]:
        echo(f"{tool.name}: {'removed' if remove_tool(tool) else 'was not installed'}")


@app.command()
def doctor(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Which tools.  [default: all]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Look the tools over: are they whole, can they be imported, what do they compute on. 1 if one is at fault."""
    from nwbpipe.environments import examine, examine_machine
    from nwbpipe.processors import list_tools

    tools = [_find_tool(name) for name in names] if names else list_tools().values()
    show_findings([*examine_machine(), *examine(tools)], as_json=as_json)


@app.command()
def dockerfile(
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write it there, with all that its build needs."),
    ] = None,
    base: Annotated[str | None, typer.Option(metavar="IMAGE", help="Image that it starts from.")] = None,
) -> None:
    """Print a Dockerfile with a tool, or write a folder to build it in (with apptainer's definition file)."""
    from nwbpipe.environments import render_dockerfile as dockerfile_of
    from nwbpipe.environments import write_context

    tool = _find_tool(name)
    if output is None:
        typer.echo(dockerfile_of(tool, base), nl=False)
        return
    output.mkdir(parents=True, exist_ok=True)
    write_context(tool, output, base=base)
    echo(f"{name}: {output / 'Dockerfile'}")


@app.command()
def requirements(name: Name) -> None:
    """Print a tool's requirements, one a line, as a requirements file has them."""
    typer.echo("\n".join(_find_tool(name).from_index))
