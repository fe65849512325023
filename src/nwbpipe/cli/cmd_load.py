"""``nwbpipe load``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import parse_parameter, split_pair
from nwbpipe.cli._progress import show_progress_bar

if TYPE_CHECKING:
    from nwbpipe.run import Run


def load(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE.nwb|PROJECT", help="The session file; for a model, nwbpipe.toml or its folder."),
    ],
    processor: Annotated[str, typer.Argument(metavar="PROCESSOR", help="The method whose output it is.")],
    source: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The finished output, or the trained model: a folder or a file.")
    ],
    step: Annotated[str | None, typer.Option(help="Name of the step.  [default: the processor's]")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=PATH", help="An object of the file that the output was made from."),
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="KEY=VALUE", help="Set a parameter of a model.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the step's result if it has another.")] = False,
    lock_timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for another writer.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run's record as JSON.")] = False,
) -> None:
    """Add the finished output of a tool to a session file, or a trained model to a project."""
    if Path(file).name == "nwbpipe.toml" or Path(file).is_dir():
        if inputs or replace:
            raise typer.BadParameter(
                "a model has no input of a session, and replaces none", param_hint="--input, --replace"
            )
        _load_model(file, processor, source, step, parameters or [], as_json)
        return
    if parameters:
        raise typer.BadParameter("the output of a tool has the parameters that made it", param_hint="--param")
    from nwbpipe.run import load as load_output

    bindings = dict(split_pair(text, "--input") for text in inputs or [])
    run = load_output(file, processor, source, step=step, inputs=bindings, replace=replace, lock_timeout=lock_timeout)
    _echo_run(run, as_json)


def _load_model(
    project: str, processor: str, source: str, step: str | None, parameters: list[str], as_json: bool
) -> None:
    from nwbpipe.project import load_model

    params = dict(parse_parameter(text, "--param") for text in parameters)
    with show_progress_bar(step or processor) as progress:
        model = load_model(project, processor, source, step=step, params=params, progress=progress)
    if as_json:
        values = {"computed": model.run.computed, "address": model.address, "section": model.section}
        typer.echo(json.dumps({**values, **model.run.record.as_dict()}, indent=2))
        return
    record = model.run.record
    done = f"{record.tool} {record.tool_version}, loaded" if model.run.computed else "done, nothing to do"
    echo(f"{model.step}: {done}")
    echo(f"  {model.address}")
    if model.section:
        echo("added to nwbpipe.toml:")
        for line in model.section.splitlines():
            echo(f"  {line}")
    echo(f'bind it: inputs.model = "{model.step}"')


def _echo_run(run: Run, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"computed": run.computed, **run.record.as_dict()}, indent=2))
    elif not run.computed:
        echo(f"{run.record.step}: done, nothing to do")
    else:
        echo(f"{run.record.step}: {run.record.tool} {run.record.tool_version}, loaded; wrote")
        for written in run.record.outputs:
            echo(f"  {written.path} ({written.neurodata_type})")
