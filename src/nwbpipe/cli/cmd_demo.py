"""``nwbpipe demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to put the session.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed is another session.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Simulate a session with known truth, convert and process it, and hold the result to the truth."""
    import json

    from nwbpipe.demo import run_demo

    report = run_demo(folder, seed=seed, say=lambda text: typer.echo(text, err=as_json))
    typer.echo(json.dumps(report.as_dict(), indent=2) if as_json else report.table())
    if not report.passed:
        raise typer.Exit(1)
