"""Store an immutable object per run, also for failed ones, and its log, in the store ``state://``.

``runs/<outcome>/<subject>/<session>/<step>/<time>-<run id>.json``: the outcome is in the path, so that failed runs
are found without reading the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from nwbpipe.errors import DamagedFileError, NwbpipeError
from nwbpipe.stores import Store

Outcome = Literal["done", "failed", "interrupted"]
_FORMAT = 1
_MAX_BYTES = 2**22


@dataclass(frozen=True)
class RunObject:
    """The outcome of one run of a project.

    Attributes
    ----------
    run_id, key : str
        Id and key of the record in the file.
    session, step : str
        Key of the session (``subject/session``); name of the run's results.
    outcome : {"done", "failed", "interrupted"}
        Interrupted: a process was killed; the run may be started again at once.
    started, ended : str
        ISO 8601, UTC.
    host : str
        Name of the profile.
    error : mapping or None
        Code and text of the error.
    usage : mapping
        ``cpu_seconds``, ``peak_memory_bytes``, ``gpu_seconds``.
    log : str
        Path of its log in the store; "" if it has none.
    """

    run_id: str
    key: str
    session: str
    step: str
    outcome: Outcome
    started: str
    ended: str
    host: str
    error: Mapping[str, str] | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    log: str = ""
    format: int = _FORMAT

    @property
    def path(self) -> str:
        """Its path in the store."""
        stamp = "".join(letter for letter in self.started[:19] if letter.isdigit())
        return f"runs/{self.outcome}/{self.session}/{self.step}/{stamp}-{self.run_id}.json"

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.started)).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        return asdict(self)


class RunStore:
    """The run objects of a project.

    Parameters
    ----------
    store : Store
        ``state://``.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, run: RunObject, log: Path | None = None) -> RunObject:
        """Write a run's log, then its object; an existing object stays as it is."""
        if log is not None and log.is_file():
            log_path = f"logs/{run.session}/{run.step}-{run.run_id}.log"
            self.store.put_file(log, log_path)
            run = replace(run, log=log_path)
        if not self.store.exists(run.path):
            self.store.write_bytes(run.path, json.dumps(run.as_dict(), indent=1).encode())
        return run

    def list_failures(self, session: str = "") -> dict[tuple[str, str], list[str]]:
        """Return the paths of failed runs, oldest first, by session and step; of all sessions, or of one."""
        failures: dict[tuple[str, str], list[str]] = {}
        for entry in self.store.list(f"runs/failed/{session}".rstrip("/")):
            parts = entry.path.split("/")
            if len(parts) == 6 and parts[5].endswith(".json"):
                failures.setdefault((f"{parts[2]}/{parts[3]}", parts[4]), []).append(entry.path)
        return {key: sorted(paths) for key, paths in failures.items()}

    def read(self, path: str) -> RunObject:
        """Read one object.

        Raises
        ------
        DamagedFileError
            The object can't be read, or a later nwbpipe wrote it.
        """
        try:
            if self.store.stat(path).size > _MAX_BYTES:
                raise ValueError(f"it has more than {_MAX_BYTES} bytes")
            data = self.store.read_bytes(path)
            values = json.loads(data)
            if values["format"] > _FORMAT:
                raise ValueError(f"format {values['format']}: written by a later nwbpipe")
            run = TypeAdapter(RunObject).validate_json(data, strict=True)
            if not math.isfinite(run.seconds) or not all(map(math.isfinite, run.usage.values())):
                raise ValueError("a number is not finite")
            return run
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            msg = "a run object can't be read"
            raise DamagedFileError(
                msg, where=self.store.location(path), found=str(error), hint="remove it"
            ) from error

    def iter_runs(self) -> Iterator[RunObject]:
        """Yield all runs, oldest first; skip objects that can't be read."""
        paths = [entry.path for entry in self.store.list("runs") if entry.path.endswith(".json")]
        for path in sorted(paths, key=lambda path: path.rsplit("/", 1)[-1]):
            with suppress(NwbpipeError):
                yield self.read(path)
