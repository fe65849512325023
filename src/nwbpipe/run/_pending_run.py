"""One run: its computation, whose result is kept until it is committed, and its commit."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py

from nwbpipe import __version__, environments
from nwbpipe import session as session_file
from nwbpipe.environments import ToolEnvironment
from nwbpipe.errors import InputError, ResultExistsError
from nwbpipe.processors import Context, Processor, Results, computes_same, hash_compute_code
from nwbpipe.provenance import (
    REMOVED,
    ObjectRecord,
    RunRecord,
    find_current_record,
    mark_superseded,
    parameters_hash,
    read_host_label,
    read_records,
)
from nwbpipe.run._bind import identify_input
from nwbpipe.run._logs import log_folder
from nwbpipe.run._serve import serve_inputs
from nwbpipe.session import commit_result, find_dependents, is_irreplaceable, remove_outputs
from nwbpipe.stores import scratch_folder


@dataclass(frozen=True)
class ComputedResult:
    """A computation that ended well: all that its commit needs, as JSON values."""

    run_id: str
    log: str
    started: str
    ended: str
    tool: str
    tool_version: str
    python: str
    packages: dict[str, str]
    compute_digest: str
    summary: dict[str, Any]
    usage: dict[str, float]
    # Of a result that was loaded: what its own files say that it was made with, and what they are.
    parameters: dict[str, Any] | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)


#: Folder of the scratch folder with what a computation had finished before it was ended, and the code and tool that
#: made it. A declared stage gets its name there once it is whole (`nwbpipe.environments._worker`).
STAGES, _MADE_BY, _PARTIAL = "stages", "made_by.json", ".partial"


class _DuplicateRunError(Exception):
    """The file got this very result meanwhile."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        super().__init__(record.key)


@dataclass(frozen=True)
class PendingRun:
    """One run that is to be computed and committed."""

    method: Processor
    session: Path | str
    context: Context
    seed: int | None
    key: str
    may_replace: bool
    renew: bool = False
    outdated: Callable[[RunRecord], bool] | None = None
    cascade: bool = False
    devices: str | None = None

    @property
    def scratch(self) -> Path:
        """Folder of the computation, by its key."""
        return scratch_folder() / self.key

    def read_existing(self) -> RunRecord | None:
        """Return the step's current record, if all its outputs are still in the file."""
        return session_file.read_between_commits(self.session, self._find_existing)

    def _find_existing(self, file: h5py.File) -> RunRecord | None:
        record = find_current_record(read_records(file), self.context.step)
        if record is None or not all(output.path in file for output in record.outputs):
            return None
        return record

    def must_recompute(self, existing: RunRecord) -> bool:
        """Whether a result with the same key is to be computed again."""
        return self.renew or (self.outdated is not None and self.outdated(existing))

    def discard(self) -> None:
        """Remove what the computation left in scratch."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def _resumable(self) -> bool:
        return self.method.resumable or bool(self.method.stages)

    def _computes_same(self, earlier: list[str], now: list[str]) -> bool:
        """Return True if a digest of compute code and a tool's version give the same results as those of `now`."""
        return computes_same(self.method.name, earlier[0], now[0]) and earlier[1:] == now[1:]

    def _begin_scratch(self, made_by: list[str]) -> None:
        """Make an empty scratch folder, but for stages that had ended and were made by the same code and tool."""
        mark = self.scratch / _MADE_BY
        if self._resumable and mark.is_file() and self._computes_same(json.loads(mark.read_text()), made_by):
            self._end_scratch()
        else:
            self.discard()
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        mark.write_text(json.dumps(made_by))

    def _end_scratch(self) -> None:
        """Keep, of a computation that did not end, only the stages that it had finished."""
        stages = self.scratch / STAGES
        for one in stages.glob("*" + _PARTIAL):
            shutil.rmtree(one, ignore_errors=True)
        if not (self._resumable and stages.is_dir() and any(stages.iterdir())):
            self.discard()
            return
        for one in self.scratch.iterdir():
            if one.is_dir() and not one.is_symlink():
                if one != stages:
                    shutil.rmtree(one, ignore_errors=True)
            elif one.name != _MADE_BY:
                one.unlink(missing_ok=True)

    def compute(
        self,
        environment: ToolEnvironment,
        threads: int,
        timeout: float | None,
        progress: Callable[[float, str], None] | None,
    ) -> ComputedResult:
        """Run the tool, or take the result of an earlier run that could not be committed."""
        kept = self.scratch / "finished.json"
        source = hash_compute_code(self.method)
        if kept.is_file():
            finished = ComputedResult(**json.loads(kept.read_text()))
            if self._computes_same([finished.compute_digest, finished.tool_version], [source, environment.version]):
                return finished
        self._begin_scratch([source, environment.version])
        run_id, started = uuid.uuid4().hex, _now()
        log = log_folder() / f"{Path(str(self.session).rpartition('/')[2]).stem}_{self.context.step}_{run_id[:8]}.log"
        try:
            with self._serve_inputs() as (inputs, served):
                outcome = environments.run(
                    environment,
                    self.method.compute,
                    self._build_request(inputs, threads),
                    scratch=self.scratch,
                    log=log,
                    timeout=timeout,
                    progress=progress,
                    served=served,
                    devices=self.devices,
                )
        except BaseException:
            self._end_scratch()
            raise
        finished = ComputedResult(
            run_id=run_id,
            log=str(log),
            started=started,
            ended=_now(),
            tool=environment.tool.name,
            tool_version=environment.version,
            python=environment.python_version,
            packages=environment.packages,
            compute_digest=source,
            summary=dict(outcome.summary),
            usage=dict(outcome.usage),
        )
        kept.write_text(json.dumps(asdict(finished)))
        return finished

    @contextmanager
    def _serve_inputs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Say where the inputs are and what is known of them, and serve them while the block lasts."""
        with serve_inputs(self.session, self.context.inputs, self.scratch) as (inputs, served):
            yield {"inputs": inputs, "facts": dict(self.context.facts)}, served

    def _build_request(self, inputs: dict[str, Any], threads: int) -> dict[str, Any]:
        return {
            **inputs,
            "params": self.context.params.model_dump(mode="json"),
            "seed": self.seed,
            "threads": threads,
            "scratch": str(self.scratch),
            "stages": list(self.method.stages),
        }

    def commit(
        self, finished: ComputedResult, lock_timeout: float, *, unsafe_no_cas: bool = False
    ) -> tuple[RunRecord, bool]:
        """Write the results and their record in one transaction; in S3, again on a newer state after a conflict.

        Returns
        -------
        RunRecord
            The record in the file.
        bool
            False if another process had committed the same run meanwhile.
        """

        def once() -> tuple[RunRecord, bool]:
            return self._commit(finished, lock_timeout, unsafe_no_cas)

        return session_file.retry_after_conflicts(once)

    def _commit(self, finished: ComputedResult, lock_timeout: float, unsafe_no_cas: bool) -> tuple[RunRecord, bool]:
        self._refuse_changed_inputs()
        try:
            with h5py.File(self.scratch / "results.h5", "r") as arrays:
                record = commit_result(
                    self.session,
                    lambda file: self.remove_replaced(file, finished.run_id),
                    lambda nwbfile: self.method.write(nwbfile, Results(arrays, finished.summary), self.context),
                    lambda outputs: self._build_record(finished, outputs),
                    lock_timeout=lock_timeout,
                    unsafe_no_cas=unsafe_no_cas,
                )
        except _DuplicateRunError as duplicate:
            return duplicate.record, False
        return record, True

    def _refuse_changed_inputs(self) -> None:
        for bound in self.context.inputs.values():
            if identify_input(self.session, bound) != bound.identity:
                msg = f"the input {bound.name!r} changed while the tool ran"
                raise InputError(msg, where=f"{self.session}:{bound.path}", hint="nothing was written: run it again")

    def remove_replaced(self, file: h5py.File, run_id: str) -> list[str]:
        """Within the transaction: look again at what the step has, and take it away if it is to be replaced.

        Returns the paths of what was taken away.
        """
        step = self.context.step
        existing = self._find_existing(file)
        if existing is not None and existing.key == self.key and not self.must_recompute(existing):
            raise _DuplicateRunError(existing)
        if existing is not None and not self.may_replace:
            msg = f"the step {step!r} got another result meanwhile"
            raise ResultExistsError(msg, where=str(self.session), hint="choose another name, or pass --replace")
        broken = find_current_record(read_records(file), step)  # a record whose outputs are partly gone counts too
        if broken is None:
            return []
        gone = [broken]
        if self.cascade:
            # What can't be made again is not taken away: it refuses the replacement, below.
            linked = find_dependents(file, broken, read_records(file), links_only=True)
            gone += [one for one in linked if not is_irreplaceable(one)]
        remove_outputs(file, *gone)
        for record in gone:
            mark_superseded(file, record.step, run_id if record is broken else REMOVED)
        return [output.path for record in gone for output in record.outputs]

    def _describe_inputs(self) -> tuple[ObjectRecord, ...]:
        return tuple(
            ObjectRecord(one.name, one.path, one.object_id, one.neurodata_type, one.identity)
            for one in self.context.inputs.values()
        )

    def _build_record(self, finished: ComputedResult, outputs: tuple[ObjectRecord, ...]) -> RunRecord:
        values = finished.parameters or self.context.params.model_dump(mode="json")
        return RunRecord(
            key=self.key,
            run_id=finished.run_id,
            step=self.context.step,
            processor=self.method.name,
            revision=self.method.revision,
            tool=finished.tool,
            tool_version=finished.tool_version,
            parameters=values,
            parameters_hash=parameters_hash(values),
            inputs=self._describe_inputs(),
            outputs=outputs,
            started=datetime.fromisoformat(finished.started),
            ended=datetime.fromisoformat(finished.ended),
            host=read_host_label(),
            python=finished.python,
            packages=finished.packages,
            seed=self.seed,
            compute_digest=finished.compute_digest,
            software=f"nwbpipe {__version__}",
            resources=finished.usage,
            sources=tuple(finished.sources),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat()
