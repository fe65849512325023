"""Show the findings of an examination."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from nwbpipe.cli._echo import echo

if TYPE_CHECKING:
    from nwbpipe.machine import Finding


def show_findings(findings: Iterable[Finding], *, as_json: bool) -> None:
    """Show findings, a line each; exit with 1 if one is a fault."""
    from nwbpipe.machine import Severity

    findings = list(findings)
    if as_json:
        rows = [
            {"about": finding.about, "verdict": str(finding.verdict), "text": finding.text} for finding in findings
        ]
        typer.echo(json.dumps(rows, indent=2))
    else:
        width = max((len(finding.about) for finding in findings), default=0) + 2
        for finding in findings:
            echo(f"{finding.verdict:<7}{finding.about:<{width}}{finding.text}")
    if any(finding.verdict is Severity.FAULT for finding in findings):
        raise typer.Exit(1)
