"""Run a computation on a session file whose result goes elsewhere: the file stays as it is."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nwbpipe.environments import ToolEnvironment
from nwbpipe.processors import Context, Processor
from nwbpipe.run._pending_run import PendingRun
from nwbpipe.run._prepare import prepare_run
from nwbpipe.session import SessionFile


def run_aside(
    session: SessionFile,
    method: Processor,
    context: Context,
    bindings: Mapping[str, str],
    keep: Callable[[Path, Mapping[str, Any]], None],
    *,
    environment: ToolEnvironment,
    seed: int,
    threads: int | None = None,
    timeout: float | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> None:
    """Compute, hand the scratch folder and the summary to `keep`, and remove the folder.

    Parameters
    ----------
    session : SessionFile
    method : Processor
    context : Context
        Name (for the log) and parameters.
    bindings : mapping of str to str
        Paths of the inputs in the file.
    keep : callable
        Takes the result out of the scratch folder.
    environment : ToolEnvironment
    seed : int
    threads : int, optional
    timeout : float, optional
    progress : callable, optional
    """
    prepared = prepare_run(session, method, context, bindings)
    job = PendingRun(
        method=method,
        session=session,
        context=prepared.context,
        descriptions=prepared.descriptions,
        seed=seed,
        key=f"aside-{uuid.uuid4().hex}",
        may_replace=False,
    )
    try:
        finished = job.compute(environment, threads or os.cpu_count() or 1, timeout, progress)
        keep(job.scratch, finished.summary)
    finally:
        job.discard()
