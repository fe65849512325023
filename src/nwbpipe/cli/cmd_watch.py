"""``nwbpipe watch``."""

from __future__ import annotations

import platform
import signal
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile
from nwbpipe.cli._run_progress import LineReporter, keep_reports
from nwbpipe.cli._trust import ensure_trust

if TYPE_CHECKING:
    from nwbpipe.project import Health


def watch(
    settle: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a change after which files count as arrived.")
    ] = 60.0,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.")] = 30.0,
    executor: Annotated[str | None, typer.Option(help="As of `nwbpipe run`.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at once.")] = None,
    write_unit: Annotated[
        Path | None, typer.Option("--write-unit", metavar="FILE", help="Write a systemd unit, and end.")
    ] = None,
    write_dockerfile: Annotated[
        Path | None, typer.Option("--write-dockerfile", metavar="FILE", help="Write a Dockerfile, and end.")
    ] = None,
    extras: Annotated[
        str, typer.Option(metavar="A,B,…", help="Of nwbpipe, in the Dockerfile.")
    ] = "ephys,imaging,behavior,photometry,s3,watch,dask",
    project: ProjectFile = None,
    profile: Profile = None,
) -> None:
    """Convert and process sessions as their files arrive, until it is stopped."""
    from nwbpipe import __version__
    from nwbpipe.machine import child_python
    from nwbpipe.project import Project, Watcher, render_systemd_unit, render_watch_dockerfile

    opened = Project(project, profile=profile)
    opened.executor_spec(kind=executor, workers=workers)  # said now, and not at each look
    if write_unit is not None:
        words = ["-m", "nwbpipe", "watch", "--project", str(opened.spec.path)]
        words += ["--settle", f"{settle:g}", "--interval", f"{interval:g}"]
        for name, value in (("profile", profile), ("executor", executor), ("workers", workers)):
            words += [f"--{name}", str(value)] if value else []
        _write(write_unit, render_systemd_unit(child_python(*words), opened.spec.folder, opened.spec.name))
    if write_dockerfile is not None:
        python = ".".join(platform.python_version_tuple()[:2])
        _write(write_dockerfile, render_watch_dockerfile(__version__, python, extras))
    if write_unit is not None or write_dockerfile is not None:
        return
    ensure_trust(opened)
    with keep_reports(opened, LineReporter()) as reporter:
        watcher = Watcher(
            opened, settle_s=settle, interval_s=interval, reporter=reporter, executor=executor, workers=workers
        )

        def stop(_number: int, _frame: Any) -> None:
            watcher.stop.set()

        def tell(health: Health) -> None:
            finish = getattr(reporter, "finish", None)
            if finish is not None:
                finish()
            _tell(health)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        watcher.watch(tell)
    echo("stopped", err=True)


def _tell(health: Health) -> None:
    echo(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {health.line}", err=True)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    echo(f"wrote {path}")
