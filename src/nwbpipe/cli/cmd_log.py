"""``nwbpipe log``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile
from nwbpipe.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nwbpipe.project import Project
    from nwbpipe.provenance import RunRecord


def log(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE.nwb]", help="The session file, or its address (s3://…); without it, a project."
        ),
    ] = None,
    project: ProjectFile = None,
    profile: Profile = None,
    prov: Annotated[bool, typer.Option("--prov", help="Print the lineage as W3C PROV-JSON.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole records as JSON.")] = False,
) -> None:
    """Show the runs that a file's results came from, replaced ones too; or all runs of a project, failed ones too."""
    if file is not None and project is not None:
        msg = "a session file and a project were named"
        raise RequestError(msg, found=f"{file}, --project {project}", hint="leave one of them out")
    if file is None:
        from nwbpipe.project import Project

        _show_project(Project(project, profile=profile), as_json, prov)
        return
    from nwbpipe.provenance import build_prov, read_alignments
    from nwbpipe.session import SessionFile

    records, alignments = SessionFile.at(file).read(lambda reader: (reader.records, read_alignments(reader.file)))
    if prov:
        typer.echo(json.dumps(build_prov(records), indent=2))
        return
    if as_json:
        clocks = [alignment.as_dict() for alignment in alignments]
        content = [record.as_dict() | ({"clocks": clocks} if _is_conversion(record) else {}) for record in records]
        typer.echo(json.dumps(content, indent=2))
        return
    if not records:
        echo("no runs are recorded in this file")
    for record in records:
        _show(record)
        for alignment in alignments if _is_conversion(record) else ():
            echo("  clock " + str(alignment).replace("\n", "\n    "), lines=True)


def _is_conversion(record: RunRecord) -> bool:
    return record.processor == "convert" and not record.superseded


def drop_bare_project(words: list[str]) -> list[str]:
    """Leave out a ``log --project`` without a file: earlier versions had it as a flag."""
    if words[:1] == ["log"] and "--project" in words:
        at = words.index("--project")
        if at + 1 == len(words) or words[at + 1].startswith("-"):
            echo(
                "warning: `nwbpipe log` without a session file shows the project; "
                "--project now takes an nwbpipe.toml, and its use as a flag will end",
                err=True,
            )
            return words[:at] + words[at + 1 :]
    return words


def _show_project(project: Project, as_json: bool, prov: bool) -> None:
    if prov:
        typer.echo(json.dumps(project.lineage(), indent=2))
        return
    runs = project.runs()
    if as_json:
        typer.echo(json.dumps([run.as_dict() for run in runs], indent=2))
        return
    for run in runs:
        cost = ", ".join([f"{run.seconds:.1f} s", *_format_costs(run.usage)])
        echo(f"{run.started[:19]}  {run.session} {run.step}  {run.outcome}  {cost}  {run.host}  run {run.run_id[:8]}")
        if run.error:
            echo(f"  {run.error.get('code', '')}: {run.error.get('text', '').partition(chr(10))[0]}")
        if run.outcome != "done" and run.log:
            echo(f"  log: {project.planner.state.location(run.log)}")
    if not runs:
        echo("no runs yet")
    _show_uploads(project)


def _show_uploads(project: Project) -> None:
    from nwbpipe.publish import read_receipts

    for receipt in read_receipts(project.planner.state):
        sent = sum(asset.state != "unchanged" for asset in receipt.assets)
        echo(
            f"{receipt.started[:19]}  upload to {receipt}  {receipt.outcome}  "
            f"{sent} files sent, {len(receipt.assets) - sent} were there"
        )
        for problem in receipt.problems:
            echo(f"  {problem.partition(chr(10))[0]}")


def _show(record: RunRecord) -> None:
    from nwbpipe.run import list_removed_media

    seconds = (record.ended - record.started).total_seconds()
    state = f"superseded by {record.superseded_by[:8]}" if record.superseded else record.exit_state
    echo(f"{record.ended:%Y-%m-%d %H:%M:%S} UTC  {record.step}  {state}")
    echo(f"  {record.processor} revision {record.revision}, {record.tool} {record.tool_version}, {seconds:.1f} s")
    echo(f"  run {record.run_id[:8]}, key {record.key[:12]}, parameters {record.parameters_hash[:12]}")
    for read in record.inputs:
        echo(f"  read  {read.name}: {read.path} ({read.identity[:12]})")
    for source in record.sources:
        echo(f"  read  {source.get('path', source.get('name', '?'))}")
    for output in record.outputs:
        echo(f"  wrote {output.path}")
    for name, due in list_removed_media(record).items():
        echo(f"  removed {name}, which was to be kept until {due[:16]} UTC; `nwbpipe process --force` makes it again")


def _format_costs(usage: Mapping[str, float]) -> list[str]:
    """Format the measured costs of a run."""
    units = {
        "cpu_seconds": (1.0, "1f", "CPU s"),
        "peak_memory_bytes": (1e9, "2f", "GB"),
        "gpu_seconds": (1.0, "1f", "GPU s"),
    }
    return [f"{usage[name] / by:.{form}} {unit}" for name, (by, form, unit) in units.items() if name in usage]
