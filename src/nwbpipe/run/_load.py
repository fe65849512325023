"""Load the finished output of a tool, as a lab has it from before, as the result of a step."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Mapping
from dataclasses import replace as with_fields
from datetime import UTC, datetime
from pathlib import Path

import h5py
from filelock import FileLock

from nwbpipe.disk import explain_full_disk
from nwbpipe.errors import RequestError, SourceError
from nwbpipe.processors import Context, Loaded, Processor, ProjectProcessor, validate_params
from nwbpipe.processors import processor as find_processor
from nwbpipe.provenance import check_step_name, identify_file, run_key
from nwbpipe.run._computation import ComputedResult
from nwbpipe.run._pending_run import PendingRun
from nwbpipe.run._prepare import prepare_run
from nwbpipe.run._process import Run
from nwbpipe.run._run_differences import explain_existing_result
from nwbpipe.session import SessionFile, explain_changed_result
from nwbpipe.stores import scratch_folder


def load(
    path: Path | str,
    processor: str | Processor,
    source: Path | str,
    *,
    step: str | None = None,
    inputs: Mapping[str, str] | None = None,
    replace: bool = False,
    lock_timeout: float = 60.0,
) -> Run:
    """Add the finished output of a tool to a session file, with a record of its origin.

    The record's `sources` name the files that were read, with their SHA-256; its `parameters` are those that the
    output itself tells, and ``loaded: true``. Nothing is computed, and the tool need not be installed.

    Parameters
    ----------
    path : path
        The session file (NWB 2).
    processor : str or Processor
        The method that made the output.
    source : path
        The output: a folder or file, as the processor's page says.
    step : str, optional
        Name of the step, which its results bear; the processor's name by default.
    inputs : mapping, optional
        Paths, names or patterns of the objects that the output was computed from.
    replace : bool
        Whether a result that the step has may be replaced.
    lock_timeout : float
        Seconds to wait for another writer of the file at the commit.

    Returns
    -------
    Run
        `computed` is False if the file holds this very output already.

    Raises
    ------
    RequestError
        If the processor takes no finished output, or the step has another result.
    InputError
        If the output is not of the input that is bound.
    SourceError
        If the output is incomplete, damaged, or contradicts itself.

    Examples
    --------
    >>> load("session.nwb", "suite2p", "old/suite2p", step="suite2p_2021")  # doctest: +SKIP
    """
    method = find_processor(processor) if isinstance(processor, str) else processor
    if isinstance(method, ProjectProcessor):
        msg = f"the processor {method.name!r} makes an artefact of a project, not a result of a session"
        bindings = ", ".join(f'inputs.{name} = "FOLDER"' for name in method.inputs)
        hint = (
            f"name the project in the session's place: nwbpipe load nwbpipe.toml {method.name} FOLDER; or declare "
            f'a step in nwbpipe.toml: processor = "{method.name}", scope = "project", {bindings}'
        )
        raise RequestError(msg, hint=hint)
    if method.loader is None:
        msg = f"the processor {method.name!r} takes no finished output"
        raise RequestError(msg, hint="run it instead: `nwbpipe process`")
    source = Path(source)
    if not source.exists():
        msg = "no such file or folder"
        raise SourceError(msg, where=str(source), expected=method.loader.takes, hint="check the path")
    session = SessionFile.at(path)
    session.require_changeable()
    values = validate_params(method, {})
    context = Context(check_step_name(method.name if step is None else step), values, {})
    prepared = prepare_run(session, method, context, inputs or {}, writes=True)
    sources = _hash_files(source, method.loader.files(source))
    content = {f"output:{item['path']}": f"{item['sha256']}:{item['size']}" for item in sources}
    key = run_key(method.name, method.revision, {"loaded": True}, None, {**prepared.identities, **content})
    existing = prepared.existing
    if prepared.faults:
        raise explain_changed_result(context.step, prepared.faults, str(session))
    if existing is not None and existing.key == key:
        return Run(existing, computed=False)
    if existing is not None and not replace:
        raise explain_existing_result(existing, method, prepared.context, None, session)
    job = PendingRun(
        method=method,
        session=session,
        context=prepared.context,
        descriptions={},
        seed=None,
        key=key,
        may_replace=replace,
    )
    started = datetime.now(UTC).isoformat()
    with FileLock(scratch_folder() / f"{key}.lock"), explain_full_disk(scratch_folder()):
        job.discard()
        job.scratch.mkdir(mode=0o700)
        try:
            with h5py.File(job.scratch / "results.h5", "w") as arrays:
                loaded = _load_output(method, source, arrays, job.context)
            job = with_fields(job, context=with_fields(job.context, params=loaded.params))
            finished = ComputedResult(
                run_id=uuid.uuid4().hex,
                started=started,
                ended=datetime.now(UTC).isoformat(),
                tool=method.tool_for(values).name,
                tool_version=loaded.tool_version,
                python=platform.python_version(),
                summary=dict(loaded.summary),
                parameters=dict(loaded.parameters),
                sources=sources,
            )
            record, fresh = job.commit(finished, lock_timeout)
        finally:
            job.discard()
    return Run(record, computed=fresh)


def _hash_files(source: Path, files: list[Path]) -> list[dict[str, object]]:
    """Return name, size and SHA-256 of each file; names begin with the source's, without the folders above it."""
    top = source.resolve().name
    hashed: list[dict[str, object]] = []
    for file in files:
        identity = identify_file(file)
        name = Path(top, file.relative_to(source)).as_posix() if file != source else top
        hashed.append({"source": top, "path": name, "size": identity.size, "sha256": identity.sha256})
    return hashed


def _load_output(method: Processor, source: Path, arrays: h5py.File, context: Context) -> Loaded:
    """Call a processor's loader; values of odd types and shapes in the files are an error that names the folder."""
    assert method.loader is not None
    try:
        return method.loader.load(source, arrays, context)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        msg = f"the output is not as {method.name} leaves it"
        found = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]}"
        hint = "run the tool again; nothing was written"
        raise SourceError(msg, where=str(source), found=found, hint=hint) from error
