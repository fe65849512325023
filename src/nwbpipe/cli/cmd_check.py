"""``nwbpipe check``."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.errors import RequestError
from nwbpipe.machine import preload

if TYPE_CHECKING:
    from nwbpipe.session import CheckReport


def check(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.nwb", help="The session file, or its address; with --dandi, a spec, too."),
    ],
    repair: Annotated[
        bool, typer.Option("--repair", help="Finish or take back an interrupted commit; remove leftovers.")
    ] = False,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read the inputs of all results, and the results, again.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Do the same, and read every chunk: which datasets are damaged?")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which a reader counts as hung.")] = 120.0,
    lock_timeout: Annotated[float, typer.Option(min=0, help="With --repair: seconds to wait for a writer.")] = 60.0,
    abandoned_after: Annotated[
        float, typer.Option(min=0, help="With --repair: hours after which an unfinished upload to S3 is aborted.")
    ] = 24.0,
    dandi: Annotated[
        bool, typer.Option("--dandi", help="Find all that DANDI would refuse; of a SESSION.yaml, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say whether a file is whole, valid, true to its records, and ready for DANDI.

    Ends with 0 if it is whole and valid, 1 otherwise.
    """
    if dandi:
        if repair or rehash or deep:
            msg = "--dandi is a check of its own"
            raise RequestError(msg, hint="leave out --repair, --rehash and --deep, or --dandi")
        _check_for_dandi(file, as_json)
        return
    preload("nwbpipe.extensions", "nwbinspector")
    from nwbpipe.session import check as check_file

    report = check_file(
        file,
        repair=repair,
        rehash=rehash,
        deep=deep,
        timeout=timeout,
        lock_timeout=lock_timeout,
        abandoned_after=timedelta(hours=abandoned_after),
    )
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        _show(report, file)
    if not report.in_order:
        raise typer.Exit(1)


def _check_for_dandi(file: Path, as_json: bool) -> None:
    from nwbpipe.publish import check_readiness

    report = check_readiness(file)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        location = f" as {report.assets[0]}" if report.assets else ""
        echo(f"{file}: DANDI would {'take' if report.is_ready else 'refuse'} it{location}")
        for asset in report.assets[1:]:
            echo(f"  with {asset}")
        for note in report.notes:
            echo(f"  note: {note}", lines=True)
        for problem in report.problems:
            echo("  " + str(problem).replace("\n", "\n  "), lines=True)
    if not report.is_ready:
        raise typer.Exit(1)


def _show(report: CheckReport, file: Path) -> None:
    for text in report.repaired:
        echo(f"repaired: {text}")
    echo(f"{file}: {report.verdict}" + (f" ({report.file.reason})" if report.file.reason else ""))
    if report.summary is not None:
        for line in report.summary.lines():
            echo(f"  {line}")
    for finding in report.findings:
        echo(f"  {'error' if finding.error else 'note '} {finding.kind}: {finding.what}")
        if finding.where:
            echo(f"        {finding.where}")
        if finding.hint:
            echo(f"        {finding.hint}")
    if report.nwb:
        ready = not any(finding.error or finding.kind == "dandi" for finding in report.findings)
        echo(f"  ready for DANDI, by nwbinspector's rules: {'yes' if ready else 'no'}")
    if report.file.reclaimable is not None:
        echo(f"  {report.file.size / 1e6:.1f} MB; repack gives back {report.file.reclaimable / 1e6:.1f} MB at most")
    if report.file.state == "interrupted":
        echo("  `nwbpipe check FILE.nwb --repair` finishes or takes back the commit")
