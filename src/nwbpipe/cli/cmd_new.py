"""``nwbpipe new``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo


def new(
    folder: Annotated[Path, typer.Argument(help="Raw data of one session; with --project, of many.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="The file to write.  [default: session.yaml in FOLDER, or nwbpipe.toml]",
        ),
    ] = None,
    project: Annotated[
        bool, typer.Option("--project", help="Propose an nwbpipe.toml for a tree of sessions instead.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON, and write nothing.")] = False,
) -> None:
    """Propose a session.yaml for a folder of raw data: what was recognised, and marks for what only you know.

    Files are only read, and nothing in them is run.
    """
    from nwbpipe.proposals import propose, propose_project

    if project:
        tree_proposal = propose_project(folder, output)
        if as_json:
            typer.echo(json.dumps(tree_proposal.as_dict(), indent=2))
            return
        path = tree_proposal.write(overwrite=overwrite)
        for session in tree_proposal.sessions[:20]:
            echo(f"  {session.subject_id or '?'}/{session.session_id or '?'}: {session.folder}")
        if len(tree_proposal.sessions) > 20:
            echo(f"  and {len(tree_proposal.sessions) - 20} more")
        echo(f"{path}: {len(tree_proposal.sessions)} sessions; propose a spec for each with `nwbpipe new FOLDER`")
        return
    proposal = propose(folder, output)
    if as_json:
        typer.echo(json.dumps(proposal.as_dict(), indent=2))
        return
    path = proposal.write(overwrite=overwrite)
    width = max(len(source.name) for source in proposal.sources)
    for source in proposal.sources:
        echo(
            f"  {source.name:<{width}}  {source.interface or '?'}  {source.notes[0] if source.notes else ''}".rstrip()
        )
    for entry in proposal.unrecognized:
        echo(f"  not recognised: {entry}")
    for entry in proposal.unreadable:
        echo(f"  can't be read: {entry}")
    echo(f"{path}: {len(proposal.sources)} sources; fill in {proposal.marks} values that are marked FILL IN, then")
    echo(f"  nwbpipe convert {path} names each mark that is left")
