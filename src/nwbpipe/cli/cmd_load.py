"""``nwbpipe load``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import split_pair


def load(
    file: Annotated[str, typer.Argument(metavar="FILE.nwb", help="The session file.")],
    processor: Annotated[str, typer.Argument(metavar="PROCESSOR", help="The method whose output it is.")],
    source: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The finished output: a folder or a file.")],
    step: Annotated[str | None, typer.Option(help="Name of the step.  [default: the processor's]")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=PATH", help="An object of the file that the output was made from."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the step's result if it has another.")] = False,
    lock_timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for another writer.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run's record as JSON.")] = False,
) -> None:
    """Add the finished output of a tool, from before, as the result of a step."""
    from nwbpipe.run import load as load_output

    bindings = dict(split_pair(text, "--input") for text in inputs or [])
    run = load_output(file, processor, source, step=step, inputs=bindings, replace=replace, lock_timeout=lock_timeout)
    if as_json:
        typer.echo(json.dumps({"computed": run.computed, **run.record.as_dict()}, indent=2))
    elif not run.computed:
        echo(f"{run.record.step}: done, nothing to do")
    else:
        echo(f"{run.record.step}: {run.record.tool} {run.record.tool_version}, loaded; wrote")
        for written in run.record.outputs:
            echo(f"  {written.path} ({written.neurodata_type})")
