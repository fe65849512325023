"""``nwbpipe edit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo

app = typer.Typer(
    help="Edit a session file: remove a step's results, rename a step, give space back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="FILE.nwb", help="The session file, or its address (s3://…).")]
Step = Annotated[str, typer.Argument(metavar="STEP", help="Name of the step; `nwbpipe log` shows them.")]
LockTimeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for another writer.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")]


@app.command("remove")
def remove(
    file: File,
    step: Step,
    cascade: Annotated[bool, typer.Option("--cascade", help="Also the results that depend on them.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also if another program or a person changed them.")] = False,
    lock_timeout: LockTimeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Remove a step's results; its record stays, marked as removed."""
    from nwbpipe.session import remove_step

    removal = remove_step(file, step, cascade=cascade, force=force, lock_timeout=lock_timeout)
    if as_json:
        typer.echo(json.dumps({"steps": removal.steps, "paths": removal.paths}, indent=2))
        return
    echo(f"removed {', '.join(removal.steps)}")
    for path in removal.paths:
        echo(f"  {path}")


@app.command("rename")
def rename(
    file: File,
    step: Step,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    lock_timeout: LockTimeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Give a step another name: its containers, the links to them, and its record."""
    from nwbpipe.session import rename_step

    renamed_paths = rename_step(file, step, new, lock_timeout=lock_timeout)
    if as_json:
        typer.echo(json.dumps({"step": new, "renamed": [list(pair) for pair in renamed_paths]}, indent=2))
        return
    echo(f"renamed {step} to {new}")
    for old, now in renamed_paths:
        echo(f"  {old} → {now}")


@app.command("repack")
def repack(file: File, lock_timeout: LockTimeout = 60.0, as_json: AsJson = False) -> None:
    """Write the file anew, to give back the space of what was removed."""
    from nwbpipe.session import repack as repack_file

    before, after = repack_file(file, lock_timeout=lock_timeout)
    if as_json:
        typer.echo(json.dumps({"bytes_before": before, "bytes_after": after}))
    else:
        echo(f"{before / 1e6:.1f} MB → {after / 1e6:.1f} MB")
