"""One computation in a tool's process, whose result stays in scratch until it is committed."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from nwbpipe import environments
from nwbpipe.disk import explain_full_disk, remove_file, remove_folder
from nwbpipe.environments import ToolEnvironment
from nwbpipe.processors import BoundInput, Context, Processor, computes_same, hash_compute_code
from nwbpipe.provenance import ObjectRecord, RunRecord, digest, format_now, new_record
from nwbpipe.run._logs import log_folder
from nwbpipe.stores import scratch_folder


@dataclass(frozen=True)
class ComputedResult:
    """A computation that ended well: all that its commit needs, as JSON values."""

    run_id: str
    started: str
    ended: str
    tool: str
    tool_version: str
    python: str
    summary: dict[str, Any]
    log: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    compute_digest: str = digest(b"")
    usage: dict[str, Any] = field(default_factory=dict)
    # Of a loaded result: the parameters that its own files tell, and the identities of these files.
    parameters: dict[str, Any] | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)


_SCRATCH_HINT = "free space there, or set NWBPIPE_SCRATCH to a folder with more; the session file is as it was"

#: Folder of the scratch folder with what a computation had finished before it was ended, and the code and tool that
#: made it. A declared stage gets its name there once it is whole (`nwbpipe.environments._worker`).
STAGES, _MADE_BY, _PARTIAL = "stages", "made_by.json", ".partial"


@dataclass(frozen=True, kw_only=True)
class Computation(ABC):
    """One computation: of a run on a session file, or of an artefact of many."""

    method: Processor
    context: Context
    seed: int | None
    key: str
    devices: str | None = None

    @property
    @abstractmethod
    def log_name(self) -> str:
        """Name of the computed data in the name of the log."""

    @abstractmethod
    def serve_inputs(self) -> AbstractContextManager[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Yield the part of the request on the inputs, and the server of their ranges (see `environments.run`)."""

    @abstractmethod
    def record_inputs(self) -> tuple[ObjectRecord, ...]:
        """Return the inputs as the run's record holds them."""

    @property
    def scratch(self) -> Path:
        """Folder of the computation, by its key."""
        return scratch_folder() / self.key

    def discard(self) -> None:
        """Remove what the computation left in scratch."""
        remove_folder(self.scratch)

    @property
    def _resumable(self) -> bool:
        return self.method.resumable or bool(self.method.stages)

    def _computes_same(self, earlier: list[str], now: list[str]) -> bool:
        """Return True if a digest of compute code and a tool's version give the same results as those of `now`."""
        return computes_same(self.method.name, earlier[0], now[0]) and earlier[1:] == now[1:]

    def _begin_scratch(self, made_by: list[str]) -> None:
        """Make an empty scratch folder; finished stages of the same code and tool stay."""
        mark = self.scratch / _MADE_BY
        earlier = _read_made_by(mark)
        if self._resumable and earlier and self._computes_same(earlier, made_by):
            self._end_scratch()
        else:
            self.discard()
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        mark.write_text(json.dumps(made_by), encoding="utf-8")

    def _end_scratch(self) -> None:
        """Keep, of a computation that did not end, only the stages that it had finished."""
        stages = self.scratch / STAGES
        for partial in stages.glob("*" + _PARTIAL):
            remove_folder(partial)
        if not (self._resumable and stages.is_dir() and any(stages.iterdir())):
            self.discard()
            return
        for path in self.scratch.iterdir():
            if path == stages or path.name == _MADE_BY:
                continue
            if path.is_symlink():
                path.unlink(missing_ok=True)  # the link of a staged file, and not the file
            else:
                remove_folder(path) or remove_file(path)

    def compute(
        self,
        environment: ToolEnvironment,
        threads: int,
        timeout: float | None,
        progress: Callable[[float, str], None] | None,
    ) -> ComputedResult:
        """Run the tool, or take the result of an earlier run that could not be committed."""
        with explain_full_disk(self.scratch.parent, _SCRATCH_HINT):
            return self._compute(environment, threads, timeout, progress)

    def _compute(
        self,
        environment: ToolEnvironment,
        threads: int,
        timeout: float | None,
        progress: Callable[[float, str], None] | None,
    ) -> ComputedResult:
        path = self.scratch / "finished.json"
        source = hash_compute_code(self.method)
        if path.is_file():
            finished = ComputedResult(**json.loads(path.read_text()))
            if self._computes_same([finished.compute_digest, finished.tool_version], [source, environment.version]):
                return finished
        environments.end_earlier_container(environment, self.scratch)
        self._begin_scratch([source, environment.version])
        run_id, started = uuid.uuid4().hex, format_now()
        log = log_folder() / f"{self.log_name}_{self.context.step}_{run_id[:8]}.log"
        try:
            with self.serve_inputs() as (inputs, served):
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
            ended=format_now(),
            tool=environment.tool.name,
            tool_version=environment.version,
            python=environment.python_version,
            packages=environment.packages,
            compute_digest=source,
            summary=dict(outcome.summary),
            usage={**outcome.usage, "threads": threads, **_describe_container(environment)},
        )
        path.write_text(json.dumps(asdict(finished)))
        return finished

    def _build_request(self, inputs: dict[str, Any], threads: int) -> dict[str, Any]:
        return {
            **inputs,
            "params": self.context.params.model_dump(mode="json"),
            "seed": self.seed,
            "threads": threads,
            "scratch": str(self.scratch),
            "stages": list(self.method.stages),
        }

    def build_record(self, finished: ComputedResult, outputs: tuple[ObjectRecord, ...]) -> RunRecord:
        """Return the record of the run, with the containers that it added to a session file."""
        return new_record(
            key=self.key,
            run_id=finished.run_id,
            step=self.context.step,
            processor=self.method.name,
            revision=self.method.revision,
            tool=finished.tool,
            tool_version=finished.tool_version,
            parameters=finished.parameters or self.context.params.model_dump(mode="json"),
            inputs=self.record_inputs(),
            outputs=outputs,
            started=datetime.fromisoformat(finished.started),
            ended=datetime.fromisoformat(finished.ended),
            python=finished.python,
            packages=finished.packages,
            seed=self.seed,
            compute_digest=finished.compute_digest,
            resources={**finished.usage, **_keep_notes(finished.summary)},
            sources=tuple(finished.sources),
        )


def record_input(bound: BoundInput, path: str | None = None) -> ObjectRecord:
    """Return the record of an input, under another path where it is of one session among many."""
    return ObjectRecord(bound.name, path or bound.path, bound.object_id, bound.neurodata_type, bound.identity)


def _keep_notes(summary: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what a compute module says that it decided (`notes` of its summary), for the record."""
    notes = summary.get("notes")
    return {"notes": list(map(str, notes))} if isinstance(notes, list) and notes else {}


def _read_made_by(mark: Path) -> list[str]:
    """Return the code and tool of the stages beside a mark; empty if the mark is missing or of another form."""
    try:
        made_by = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return made_by if isinstance(made_by, list) and all(isinstance(text, str) for text in made_by) else []


def _describe_container(environment: ToolEnvironment) -> dict[str, dict[str, str]]:
    """Return engine and image of a container, for the record."""
    return {} if environment.container is None else {"container": environment.container.describe()}
