"""``nwbpipe log``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nwbpipe.provenance import RunRecord


def log(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE.nwb", help="The session file, or its address (s3://…).")
    ] = None,
    project: Annotated[
        bool, typer.Option("--project", help="All runs of the project here, failed ones too.")
    ] = False,
    prov: Annotated[bool, typer.Option("--prov", help="Print the lineage as W3C PROV-JSON.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole records as JSON.")] = False,
) -> None:
    """Show the runs that a file's results came from, replaced ones too."""
    if (file is None) == (not project):
        raise RequestError("give a session file, or --project", hint="nwbpipe log FILE.nwb")
    if file is None:
        _show_project(as_json, prov)
        return
    from nwbpipe.provenance import build_prov, read_alignments, read_records
    from nwbpipe.session import check_readable, open_hdf5

    with open_hdf5(check_readable(file)) as opened:
        records, alignments = read_records(opened), read_alignments(opened)
    if prov:
        typer.echo(json.dumps(build_prov(records), indent=2))
        return
    if as_json:
        clocks = [alignment.as_dict() for alignment in alignments]
        content = [record.as_dict() | ({"clocks": clocks} if _is_conversion(record) else {}) for record in records]
        typer.echo(json.dumps(content, indent=2))
        return
    if not records:
        typer.echo("no runs are recorded in this file")
    for record in records:
        _show(record)
        for alignment in alignments if _is_conversion(record) else ():
            typer.echo("  clock " + str(alignment).replace("\n", "\n    "))


def _is_conversion(record: RunRecord) -> bool:
    return record.processor == "convert" and not record.superseded


def _show_project(as_json: bool, prov: bool) -> None:
    from nwbpipe.project import Project

    project = Project()
    if prov:
        typer.echo(json.dumps(project.lineage(), indent=2))
        return
    runs = project.runs()
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in runs], indent=2))
        return
    for one in runs:
        cost = ", ".join([f"{one.seconds:.1f} s", *_format_costs(one.usage)])
        typer.echo(
            f"{one.started[:19]}  {one.session} {one.step}  {one.outcome}  {cost}  {one.host}  run {one.run_id[:8]}"
        )
        if one.error:
            typer.echo(f"  {one.error.get('code', '')}: {one.error.get('text', '').partition(chr(10))[0]}")
        if one.outcome != "done" and one.log:
            typer.echo(f"  log: {project.planner.state.location(one.log)}")
    if not runs:
        typer.echo("no runs yet")


def _show(record: RunRecord) -> None:
    seconds = (record.ended - record.started).total_seconds()
    state = f"superseded by {record.superseded_by[:8]}" if record.superseded else record.exit_state
    typer.echo(f"{record.ended:%Y-%m-%d %H:%M:%S} UTC  {record.step}  {state}")
    typer.echo(
        f"  {record.processor} revision {record.revision}, {record.tool} {record.tool_version}, {seconds:.1f} s"
    )
    typer.echo(f"  run {record.run_id[:8]}, key {record.key[:12]}, parameters {record.parameters_hash[:12]}")
    for one in record.inputs:
        typer.echo(f"  read  {one.name}: {one.path} ({one.identity[:12]})")
    for source in record.sources:
        typer.echo(f"  read  {source.get('path', source.get('name', '?'))}")
    for one in record.outputs:
        typer.echo(f"  wrote {one.path}")


def _format_costs(usage: Mapping[str, float]) -> list[str]:
    """What a run took, as far as it was measured."""
    units = {
        "cpu_seconds": (1.0, "1f", "CPU s"),
        "peak_memory_bytes": (1e9, "2f", "GB"),
        "gpu_seconds": (1.0, "1f", "GPU s"),
    }
    return [f"{usage[name] / by:.{form}} {unit}" for name, (by, form, unit) in units.items() if name in usage]
