"""The script of a job: a worker, which is a plain `nwbpipe run`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from nwbpipe.project.submit._workers import WorkerArray

IDLE_S = 150  # longer than a lease lives: what a dead job left is taken over before the worker ends

_SCRIPT = """\
#!/bin/sh
# A worker of the kind {kind}: `nwbpipe status` shows its jobs, `nwbpipe submit --cancel` ends them.
export PYTHONSAFEPATH=1
{prologue}for needed in {python} {project}; do
  if [ ! -r "$needed" ]; then
    echo "nwbpipe: this node ($(hostname)) can't read $needed: it must lie at the same path on all nodes" >&2
    exit 1
  fi
done
exec {command}
"""


def write_script(
    worker: WorkerArray,
    project: Path,
    profile: str,
    sessions: Sequence[str],
    where: str | None,
    steps: Sequence[str],
) -> str:
    """Return the script of the jobs of one kind; each value is quoted for the shell.

    Parameters
    ----------
    worker : WorkerArray
    project : Path
        The project file.
    profile : str
        "" for the default one.
    sessions, where, steps
        See `Project.run`.
    """
    words = [sys.executable, "-P", "-m", "nwbpipe"]
    words += list_worker_words(worker, project, profile, sessions, where, steps)
    return _SCRIPT.format(
        kind=worker.kind,
        prologue="".join(f"{line}\n" for line in worker.prologue),
        python=shlex.quote(sys.executable),
        project=shlex.quote(str(project)),
        command=shlex.join(words),
    )


def list_worker_words(
    worker: WorkerArray,
    project: Path,
    profile: str,
    sessions: Sequence[str],
    where: str | None,
    steps: Sequence[str],
) -> list[str]:
    """Return the arguments of `nwbpipe` in a worker of a kind; see `write_script`."""
    words = ["run", f"--project={project}", "--executor=local", "--workers=1"]
    words += [f"--kind={kind}" for kind in worker.takes]
    words += [f"--idle={IDLE_S}"]
    words += [f"--profile={profile}"] if profile else []
    words += [f"--session={pattern}" for pattern in sessions]
    words += [f"--where={where}"] if where else []
    words += [f"--step={name}" for name in steps]
    return words
