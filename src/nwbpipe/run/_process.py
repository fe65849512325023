"""Run a processor on a session file: prepare, look for an existing result, compute, commit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from nwbpipe import environments
from nwbpipe.errors import RequestError
from nwbpipe.machine import preload_beside
from nwbpipe.processors import Context, Processor, ProjectProcessor, validate_params
from nwbpipe.processors import processor as find_processor
from nwbpipe.provenance import RunRecord, check_step_name, run_key
from nwbpipe.run._pending_run import PendingRun
from nwbpipe.run._prepare import prepare_run
from nwbpipe.run._run_differences import explain_existing_result
from nwbpipe.session import SessionFile, explain_changed_result
from nwbpipe.stores import scratch_folder


@dataclass(frozen=True)
class Run:
    """The result of `process`.

    Attributes
    ----------
    record : RunRecord
        The record in the file.
    computed : bool
        False if the file held the result already.
    log : Path or None
        The tool's output, if it ran.
    """

    record: RunRecord
    computed: bool
    log: Path | None = None


def process(
    path: Path | str,
    processor: str | Processor,
    *,
    step: str | None = None,
    params: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    seed: int = 0,
    primary: bool = False,
    replace: bool = False,
    force: bool = False,
    cascade: bool = False,
    outdated: Callable[[RunRecord], bool] | None = None,
    devices: str | None = None,
    timeout: float | None = None,
    threads: int | None = None,
    lock_timeout: float = 60.0,
    unsafe_no_cas: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Run:
    """Run a processor on a session file, and add its results and their record.

    Parameters
    ----------
    path : path
        The session file (NWB 2), or its address in S3 (``s3://bucket/key``): then the tool reads ranges of it that
        this process serves.
    processor : str or Processor
        The method.
    step : str, optional
        Name of the step, which its results bear; the processor's name by default.
    params : mapping, optional
        Parameters that differ from the defaults.
    inputs : mapping, optional
        Paths, names or patterns of objects in the file, by input; needed where several objects would serve.
    seed : int
        Seed of the tool's random numbers.
    primary : bool
        Whether the results are the session's main ones (the units of a sorting go to ``nwbfile.units``).
    replace : bool
        Whether a result of this step with other parameters or inputs may be replaced.
    force : bool
        Compute again, and replace, even if nothing changed.
    cascade : bool
        With `replace` or `force`: whether results of other steps that link into the replaced one go with it.
    outdated : callable, optional
        Takes the record of a result with the same key, and returns True if it is to be computed again all the same.
    devices : str, optional
        GPUs that the tool may use (``CUDA_VISIBLE_DEVICES``; "" is none); as they are by default.
    timeout : float, optional
        Seconds after which the tool is stopped.
    threads : int, optional
        Threads for the tool; all cores by default.
    lock_timeout : float
        Seconds to wait for another writer of the file at the commit. In S3 the commit is done again on the newer
        state instead.
    unsafe_no_cas : bool
        Whether to go on where an S3 server can't tell that another writer came first, and its work would be lost.
    progress : callable, optional
        Called with a fraction (0 to 1) and a text.

    Returns
    -------
    Run

    Raises
    ------
    RequestError
        If the request can't be carried out: unknown processor, parameter or input, or a result in the way.
    ChangedResultError
        If another program or a person changed the step's result, or its record; `force` replaces it.
    ToolError
        If the tool is missing, fails, crashes, is killed or takes too long; the file is as it was.

    Examples
    --------
    >>> run = process("session.nwb", "suite2p", params={"tau": 0.7})  # doctest: +SKIP
    >>> run.record.tool_version  # doctest: +SKIP
    '1.1.0'
    """
    method = find_processor(processor) if isinstance(processor, str) else processor
    if isinstance(method, ProjectProcessor):
        msg = f"the processor {method.name!r} makes an artefact of a whole project"
        raise RequestError(msg, hint='declare a step of it in nwbpipe.toml, with scope = "project"')
    session = SessionFile.at(path)
    session.require_changeable()
    name, values = check_step_name(method.name if step is None else step), validate_params(method, params or {})
    prepared = prepare_run(session, method, Context(name, values, {}, primary=primary), inputs or {}, writes=True)
    values = prepared.context.params
    job = PendingRun(
        method=method,
        session=session,
        context=prepared.context,
        descriptions=prepared.descriptions,
        seed=seed,
        key=compute_key(method, values, primary, seed, prepared.identities),
        may_replace=replace or force,
        renew=force,
        cascade=cascade,
        outdated=outdated,
        devices=devices,
    )
    existing = prepared.existing
    if prepared.faults and not force:
        raise explain_changed_result(name, prepared.faults, str(session))
    if existing is not None and job.is_done_by(existing):
        return Run(existing, computed=False)
    if existing is not None and not job.may_replace:
        raise explain_existing_result(existing, method, prepared.context, seed, session)
    environment = environments.find(method.tool_for(values))
    with FileLock(scratch_folder() / f"{job.key}.lock"):  # the same run, asked for twice at once, is computed once
        if session.version() != prepared.version:
            existing = job.read_existing()
            if existing is not None and job.is_done_by(existing):
                return Run(existing, computed=False)
        if force:
            job.discard()
        with preload_beside("nwbpipe.extensions"):  # pynwb, which the commit needs
            finished = job.compute(environment, threads or os.cpu_count() or 1, timeout, progress)
        record, fresh = job.commit(finished, lock_timeout, unsafe_no_cas=unsafe_no_cas)
        job.discard()
    return Run(record, computed=fresh, log=Path(finished.log))


def compute_key(method: Processor, params: Any, primary: bool, seed: int, identities: Mapping[str, str]) -> str:
    """Return the key of a run: of the method, its parameters, its seed and the content of its inputs."""
    values = params.model_dump(mode="json")
    if primary:  # where the result goes is part of what was asked for
        values["primary"] = True
    return run_key(method.name, method.revision, values, seed, identities)
