"""``nwbpipe log``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nwbpipe.provenance import RunRecord


def log(
    file: Annotated[str, typer.Argument(metavar="FILE.nwb", help="The session file, or its address (s3://…).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole records as JSON.")] = False,
) -> None:
    """Show the runs that a file's results came from, replaced ones too."""
    from nwbpipe.provenance import read_alignments, read_records
    from nwbpipe.session_file import check_readable, open_hdf5

    with open_hdf5(check_readable(file)) as opened:
        records, alignments = read_records(opened), read_alignments(opened)
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
