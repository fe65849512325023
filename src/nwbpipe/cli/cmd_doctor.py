"""``nwbpipe doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from nwbpipe.cli._findings import show_findings
from nwbpipe.cli._options import Profile, ProjectFile


def doctor(
    project: ProjectFile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Look over all that nwbpipe needs: Python, packages, folders, disks, tools, and a project's stores.

    Exits with 1 if something is at fault. Outside of a project, the project is left out. Whether each tool can be
    imported, which takes seconds a tool, is asked by `nwbpipe tools doctor`.
    """
    from nwbpipe.environments import examine, examine_machine
    from nwbpipe.machine import Finding, Severity
    from nwbpipe.processors import list_tools
    from nwbpipe.project import examine_folders, examine_project, examine_python

    findings = [*examine_python(), *examine_folders(), *examine_machine()]
    tools = examine(list_tools().values(), imports=False)
    installed = {finding.about for finding in tools if finding.verdict is not Severity.NOTE}
    findings += [finding for finding in tools if finding.about in installed]
    if missing := sorted({finding.about for finding in tools} - installed):
        text = f"not installed: {', '.join(missing)}; `nwbpipe tools list` says how to get them"
        findings.append(Finding("tools", Severity.NOTE, text))
    findings += examine_project(project, profile=profile)
    show_findings(findings, as_json=as_json)
