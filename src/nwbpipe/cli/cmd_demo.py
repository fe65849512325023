"""``nwbpipe demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._run_progress import show_run_progress
from nwbpipe.cli._signals import stop_on_signal

if TYPE_CHECKING:
    from nwbpipe.demo import DemoReport, ProjectDemoReport


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Where to put it.  [default: demo, demo-project or demo-pose]", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another session.")] = 0,
    project: Annotated[
        bool, typer.Option("--project", help="A project of three short sessions, and two methods for each.")
    ] = False,
    pose: Annotated[
        bool, typer.Option("--pose", help="A project that trains a tiny DeepLabCut network and tracks a mouse.")
    ] = False,
    executor: Annotated[
        str | None, typer.Option(help="Of the project: local or dask.  [default: local]", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of the project: runs at once.  [default: 2]", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Simulate sessions with known truth, convert and process them, and hold the results to the truth.

    On a folder of an earlier call it goes on where that stopped.
    """
    import json

    from nwbpipe.demo import run_demo, run_pose_demo, run_project_demo
    from nwbpipe.errors import RequestError

    def say(text: str) -> None:
        echo(text, err=as_json, lines=True)

    if project and pose:
        raise RequestError("two demos were asked for", found="--project, --pose", hint="leave one of them out")
    if not project and (executor or workers):
        msg = "a single session has neither executor nor workers"
        raise RequestError(msg, hint="nwbpipe demo --project --executor …")
    if not project and not pose:
        report: DemoReport | ProjectDemoReport = run_demo(folder or "demo", seed=seed, say=say)
    elif pose:
        if seed:
            raise RequestError("the demo of pose has its own seeds", hint="leave --seed out")
        with show_run_progress() as reporter, stop_on_signal() as stopped:
            report = run_pose_demo(folder or "demo-pose", reporter=reporter, stopped=stopped, say=say)
    else:
        if seed:
            msg = "the sessions of the project have their own seeds"
            raise RequestError(msg, hint="leave --seed out")
        with show_run_progress() as reporter, stop_on_signal() as stopped:
            report = run_project_demo(
                folder or "demo-project",
                executor=executor,
                workers=workers,
                reporter=reporter,
                stopped=stopped,
                say=say,
            )
    echo(json.dumps(report.as_dict(), indent=2) if as_json else report.format_table(), lines=True)
    if not report.passed:
        raise typer.Exit(1)
