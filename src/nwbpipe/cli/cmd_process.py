"""``nwbpipe process``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import parse_parameter, split_pair
from nwbpipe.cli._progress import show_progress_bar
from nwbpipe.machine import preload


def process(
    file: Annotated[Path, typer.Argument(metavar="FILE.nwb", help="The session file, or its address (s3://…).")],
    processor: Annotated[str, typer.Argument(help="Which method; `nwbpipe processors` lists them.")],
    step: Annotated[str | None, typer.Option(help="Name that the results carry.  [default: the processor's]")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=PATH", help="Bind an input to an object of the file.")
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="KEY=VALUE", help="Set a parameter.")
    ] = None,
    params_file: Annotated[
        Path | None, typer.Option("--params", metavar="FILE", help="Parameters in a JSON, YAML or TOML file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the tool's random numbers.")] = 0,
    primary: Annotated[
        bool, typer.Option("--primary", help="The session's main result (units go to /units).")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the step's result if it has another.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Compute again and replace, even if nothing changed.")
    ] = False,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds after which the tool is stopped.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for the tool.  [default: all cores]")] = None,
    lock_timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for another writer.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run's record as JSON.")] = False,
) -> None:
    """Run a processor on a session file, and add its results and their record."""
    preload("nwbpipe.run")
    from nwbpipe.run import process as run_processor

    params = {**_read_parameters(params_file), **dict(parse_parameter(text, "--param") for text in parameters or [])}
    bindings = dict(split_pair(text, "--input") for text in inputs or [])
    with show_progress_bar(step or processor) as progress:
        run = run_processor(
            file,
            processor,
            step=step,
            params=params,
            inputs=bindings,
            seed=seed,
            primary=primary,
            replace=replace,
            force=force,
            timeout=timeout,
            threads=threads,
            lock_timeout=lock_timeout,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps({"computed": run.computed, **run.record.as_dict()}, indent=2))
    elif not run.computed:
        echo(f"{run.record.step}: done, nothing to do")
    else:
        record = run.record
        seconds = (record.ended - record.started).total_seconds()
        echo(f"{record.step}: {record.tool} {record.tool_version} took {seconds:.1f} s and wrote")
        for written in record.outputs:
            echo(f"  {written.path} ({written.neurodata_type})")
        echo(f"  log: {run.log}")


def _read_parameters(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    if not path.is_file():
        raise typer.BadParameter(f"no such file: {path}", param_hint="--params")
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".toml":
            import tomllib

            read: Any = tomllib.loads(text)
        else:
            import yaml

            read = yaml.safe_load(text)  # JSON is YAML
    except ValueError as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--params") from error
    except Exception as error:
        raise typer.BadParameter(f"{path} can't be read: {error}", param_hint="--params") from error
    if not isinstance(read, dict):
        raise typer.BadParameter(f"{path} holds no mapping of parameters", param_hint="--params")
    return read
