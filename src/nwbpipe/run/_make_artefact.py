"""Run a processor of project scope: compute from many sessions, and keep the artefact with its record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
from filelock import FileLock

from nwbpipe import environments
from nwbpipe.disk import remove_folder
from nwbpipe.errors import InputError
from nwbpipe.processors import BoundInput, Context, ProjectProcessor, Results
from nwbpipe.provenance import ObjectRecord, RunRecord, canonical_json
from nwbpipe.run._artefacts import MODELS, keep_artefact, list_artefacts
from nwbpipe.run._bind import identify_inputs
from nwbpipe.run._computation import Computation, ComputedResult, record_input
from nwbpipe.run._prepare import PreparedRun, prepare_run
from nwbpipe.run._process import Run, compute_key
from nwbpipe.run._serve import serve_inputs
from nwbpipe.session import SessionFile
from nwbpipe.stores import scratch_folder


@dataclass(frozen=True)
class SessionInputs:
    """A session's inputs to a step of project scope.

    Attributes
    ----------
    session : str
        Key of the session.
    file : SessionFile
        Its NWB file.
    inputs : mapping of str to str
        HDF5 paths, by input.
    """

    session: str
    file: SessionFile
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class _PreparedSession:
    key: str
    file: SessionFile
    prepared: PreparedRun


def compute_project_key(
    method: ProjectProcessor, params: Any, seed: int, sessions: Sequence[Mapping[str, str]]
) -> str:
    """Return the key of a run on many sessions: of the identities of their inputs, in whatever order."""
    ordered = sorted(canonical_json(identities) for identities in sessions)
    numbered = {f"session {number}": identities for number, identities in enumerate(ordered)}
    return compute_key(method, params, False, seed, numbered)


def make_artefact(
    method: ProjectProcessor,
    step: str,
    params: Any,
    seed: int,
    offered: Sequence[SessionInputs],
    models: Path,
    *,
    folders: Mapping[str, tuple[str, Path]] | None = None,
    outdated: Callable[[RunRecord], bool],
    devices: str | None = None,
    timeout: float | None = None,
    threads: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Run:
    """Compute an artefact, unless the store holds it.

    Parameters
    ----------
    method : ProjectProcessor
    step : str
        Name of the step.
    params : Params
        Validated.
    seed : int
        Seed of the tool's random numbers.
    offered : sequence of SessionInputs
        The sessions' inputs.
    models : Path
        Folder of the store ``models://``.
    folders : mapping of str to (str, Path), optional
        Address and place of the inputs that are folders, by input.
    outdated : callable
        Takes the record of an artefact with the same key, and returns True if it is to be made again all the same.
    devices, timeout, threads, progress
        As of `process`.

    Raises
    ------
    InputError
        If a session's input can't be used, or changed while the tool ran.
    ToolError
        If the tool is missing, fails, crashes, is killed or takes too long.
    """
    sessions = [_prepare_session(method, step, params, inputs) for inputs in offered]
    sessions.sort(key=lambda session: canonical_json(session.prepared.identities))
    method.check([session.prepared.context.facts for session in sessions])
    context = Context(step, params, _bind_folders(method, folders or {}))
    if context.inputs:
        context = replace(context, facts=method.prepare_folders(context))
    identities = [session.prepared.identities for session in sessions]
    identities += [{name: bound.identity for name, bound in context.inputs.items()}] if context.inputs else []
    key = compute_project_key(method, params, seed, identities)
    job = _PendingArtefact(method=method, context=context, seed=seed, key=key, devices=devices, sessions=sessions)
    environment = environments.find(method.tool_for(params))
    with FileLock(scratch_folder() / f"{key}.lock"):
        artefact = next((item for item in list_artefacts(models, step)[::-1] if item.record.key == key), None)
        if artefact is not None and not outdated(artefact.record):
            return Run(artefact.record, computed=False)
        finished = job.compute(environment, threads or os.cpu_count() or 1, timeout, progress)
        record = job.keep(finished, models)
        job.discard()
    return Run(record, computed=True, log=Path(finished.log))


def _bind_folders(method: ProjectProcessor, folders: Mapping[str, tuple[str, Path]]) -> dict[str, BoundInput]:
    return {
        name: BoundInput(name, address, "", "", method.identify_folder(name, folder), str(folder))
        for name, (address, folder) in folders.items()
    }


def _prepare_session(method: ProjectProcessor, step: str, params: Any, inputs: SessionInputs) -> _PreparedSession:
    if not inputs.file.is_local:
        msg = "a step of project scope reads session files on this machine only"
        raise InputError(msg, where=str(inputs.file), hint="name a folder for their store in a profile")
    prepared = prepare_run(inputs.file, method, Context(step, params, {}), inputs.inputs)
    return _PreparedSession(inputs.session, inputs.file, prepared)


@dataclass(frozen=True, kw_only=True)
class _PendingArtefact(Computation):
    """The computation of an artefact."""

    method: ProjectProcessor
    sessions: Sequence[_PreparedSession]

    @property
    def log_name(self) -> str:
        return MODELS

    @contextmanager
    def serve_inputs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        requests = []
        for session in self.sessions:
            with serve_inputs(session.file, session.prepared.descriptions, self.scratch) as (inputs, _):
                requests.append({"inputs": inputs, "facts": dict(session.prepared.context.facts)})
        inputs = {name: {"folder": bound.folder} for name, bound in self.context.inputs.items()}
        yield {"sessions": requests, "inputs": inputs, "facts": dict(self.context.facts)}, None

    def record_inputs(self) -> tuple[ObjectRecord, ...]:
        return tuple(
            record_input(bound, f"{session.key}:{bound.path}")
            for session in self.sessions
            for bound in session.prepared.context.inputs.values()
        ) + tuple(map(record_input, self.context.inputs.values()))

    def keep(self, finished: ComputedResult, models: Path) -> RunRecord:
        """Let the processor write the artefact, and move it to its place."""
        for name, bound in self.context.inputs.items():
            if self.method.identify_folder(name, Path(bound.folder)) != bound.identity:
                msg = f"the input {name!r} changed while the tool ran"
                raise InputError(msg, where=bound.path, hint="nothing was kept: run it again")
        for session in self.sessions:
            inputs = session.prepared.context.inputs
            for name, bound in identify_inputs(session.file, inputs).items():
                if bound.identity != inputs[name].identity:
                    msg = f"the input {name!r} of a session changed while the tool ran"
                    hint = "nothing was kept: run it again"
                    raise InputError(msg, where=f"{session.key}:{bound.path}", hint=hint)
        folder = self.scratch / "artefact"
        remove_folder(folder)
        folder.mkdir()
        with h5py.File(self.scratch / "results.h5", "r") as arrays:
            self.method.make(folder, Results(arrays, finished.summary), self.context)
        return keep_artefact(models, folder, self.build_record(finished, ())).record
