"""Run a processor of project scope: compute from many sessions, and keep the artefact with its record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
from filelock import FileLock

from nwbpipe import environments
from nwbpipe import session as session_file
from nwbpipe.errors import InputError
from nwbpipe.processors import Context, ProjectProcessor, Results
from nwbpipe.provenance import ObjectRecord, RunRecord, canonical_json
from nwbpipe.run._artefacts import PROJECT, StoredArtefact, keep_artefact, list_artefacts
from nwbpipe.run._bind import identify_input
from nwbpipe.run._pending_run import ComputedResult, PendingRun
from nwbpipe.run._process import Run, compute_key, identify_inputs, prepare_context
from nwbpipe.run._serve import serve_inputs
from nwbpipe.stores import is_remote, scratch_folder


@dataclass(frozen=True)
class SessionInputs:
    """What a session offers to a step of project scope.

    Attributes
    ----------
    session : str
        Key of the session.
    file : Path
        Its NWB file.
    inputs : mapping of str to str
        HDF5 paths, by input.
    """

    session: str
    file: Path | str
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class _PreparedSession:
    session: str
    file: Path | str
    context: Context

    @property
    def identities(self) -> dict[str, str]:
        return {name: one.identity for name, one in self.context.inputs.items()}


def compute_project_key(
    method: ProjectProcessor, params: Any, seed: int, sessions: Sequence[Mapping[str, str]]
) -> str:
    """Key of a run on the content of many sessions: on the identities of their inputs, in whatever order."""
    ordered = sorted(canonical_json(one) for one in sessions)
    return compute_key(method, params, False, seed, {f"session {number}": one for number, one in enumerate(ordered)})


def make_artefact(
    method: ProjectProcessor,
    step: str,
    params: Any,
    seed: int,
    offered: Sequence[SessionInputs],
    models: Path,
    *,
    outdated: Callable[[RunRecord], bool],
    devices: str | None = None,
    timeout: float | None = None,
    threads: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Run:
    """Compute an artefact, unless it is there.

    Parameters
    ----------
    method : ProjectProcessor
    step : str
        Name of the step.
    params : Params
        Validated.
    seed : int
        Seed of the tool's random numbers.
    offered : sequence of Offered
        The sessions' inputs.
    models : Path
        Folder of the store ``models://``.
    outdated : callable
        Told the record of an artefact with the same key, returns whether it is to be made again all the same.
    devices, timeout, threads, progress
        As of `process`.

    Raises
    ------
    InputError
        If a session's input can't be used, or changed while the tool ran.
    ToolError
        If the tool is missing, fails, crashes, is killed or takes too long.
    """
    parts = [_prepare_session(method, step, params, one) for one in offered]
    parts.sort(key=lambda one: canonical_json(one.identities))
    method.check([one.context.facts for one in parts])
    key = compute_project_key(method, params, seed, [one.identities for one in parts])
    context = Context(step, params, {})
    job = _PendingArtefact(method, PROJECT, context, seed, key, may_replace=True, devices=devices, parts=parts)

    def there() -> StoredArtefact | None:
        return next((one for one in list_artefacts(models, step)[::-1] if one.record.key == job.key), None)

    environment = environments.find(method.tool_for(params))
    with FileLock(scratch_folder() / f"{job.key}.lock"):
        if (found := there()) is not None and not outdated(found.record):
            return Run(found.record, computed=False)
        finished = job.compute(environment, threads or os.cpu_count() or 1, timeout, progress)
        record = job.keep(finished, models)
        job.discard()
    return Run(record, computed=True, log=Path(finished.log))


def _prepare_session(method: ProjectProcessor, step: str, params: Any, one: SessionInputs) -> _PreparedSession:
    if is_remote(one.file):
        msg = "a step of project scope reads session files on this machine only"
        raise InputError(msg, where=str(one.file), hint="name a folder for their store in a profile")
    session = session_file.check_readable(one.file)
    context = prepare_context(session, method, Context(step, params, {}), one.inputs)
    return _PreparedSession(one.session, session, identify_inputs(session, context))


@dataclass(frozen=True)
class _PendingArtefact(PendingRun):
    """The computation of an artefact."""

    method: ProjectProcessor
    parts: Sequence[_PreparedSession] = field(default=())

    @contextmanager
    def _serve_inputs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        sessions = []
        for part in self.parts:
            with serve_inputs(part.file, part.context.inputs, self.scratch) as (inputs, _):
                sessions.append({"inputs": inputs, "facts": dict(part.context.facts)})
        yield {"sessions": sessions}, None

    def _describe_inputs(self) -> tuple[ObjectRecord, ...]:
        return tuple(
            ObjectRecord(one.name, f"{part.session}:{one.path}", one.object_id, one.neurodata_type, one.identity)
            for part in self.parts
            for one in part.context.inputs.values()
        )

    def keep(self, finished: ComputedResult, models: Path) -> RunRecord:
        """Let the processor write the artefact, and move it to its place."""
        for part in self.parts:
            for one in part.context.inputs.values():
                if identify_input(part.file, one) != one.identity:
                    msg = f"the input {one.name!r} of a session changed while the tool ran"
                    raise InputError(msg, where=f"{part.session}:{one.path}", hint="nothing was kept: run it again")
        folder = self.scratch / "artefact"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with h5py.File(self.scratch / "results.h5", "r") as arrays:
            self.method.make(folder, Results(arrays, finished.summary), self.context)
        return keep_artefact(models, folder, self._build_record(finished, ())).record
