"""Leases: reserve a run, so that no other runner computes it at the same time.

A lease is a small file in the store. It is created exclusively, and written again (a heartbeat) while its owner
lives. The runner takes it; the worker that computes adopts it: then it lives as long as that worker, whatever
becomes of the runner. A lease of this machine is void as soon as its process has ended; a lease of another machine,
once it has not changed for its time to live *as seen from here*: clocks of machines are never compared. Leases only
save work: the session file itself prevents that a result is committed twice.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError
from nwbpipe.machine import identify_machine
from nwbpipe.stores import Store

TTL = 60.0  # seconds
_MAX_TTL = 86400.0
_MAX_BYTES = 2**16
_ADOPT_TRIES = 10
_PROCESS = ("machine", "pid", "pid_since")
_TEXTS = ("owner", "machine", "runner_machine", "session", "step", "run", "scheduler", "job", "waits")


@dataclass
class Lease:
    """A lease that this process holds; `previous` is the content of the void lease that it replaced."""

    path: str
    content: dict[str, Any]
    tag: str
    lost: bool = False
    previous: Mapping[str, Any] | None = None


class Leases:
    """The leases of a project.

    Parameters
    ----------
    store : Store
        ``state://``.
    ttl : float
        Seconds after which a lease that does not change is void.
    """

    def __init__(self, store: Store, *, ttl: float = TTL) -> None:
        self.store = store
        self.ttl = ttl
        self.owner = uuid.uuid4().hex
        self._held: dict[str, Lease] = {}
        self._seen: dict[str, tuple[str, float]] = {}
        self._removed: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self, key: str, **about: str) -> Lease | None:
        """Take the lease of a run; None if another living process holds it.

        Parameters
        ----------
        key : str
            The run's key, or another name of the work.
        **about : str
            Information for others: session, step.
        """
        path = f"leases/{key}.json"
        content = {
            "owner": self.owner,
            **_describe_process(),
            "ttl_s": self.ttl,
            "beat": 0,
            "since": time.time(),
            **about,
        }
        for _ in range(3):
            try:
                tag = self.store.write_bytes(path, json.dumps(content).encode(), if_absent=True)
            except ConflictError:
                if not self._remove_void(path):
                    return None
                continue
            lease = Lease(path, content, tag, previous=self._removed.pop(path, None))
            with self._lock:
                self._held[path] = lease
                self._start_heartbeat()
            return lease
        return None

    def adopt(self, path: str, owner: str, **about: str) -> Lease | None:
        """Take over the lease that a runner took for work that begins in this process.

        Parameters
        ----------
        path : str
            Path of the lease.
        owner : str
            The runner's `owner`, which stays in it.
        **about : str
            Information for others: scheduler, job.

        Returns
        -------
        Lease or None
            None if the runner has lost it: perhaps another runner has the work.
        """
        for _ in range(_ADOPT_TRIES):
            content, tag = self._read(path)
            if content is None or tag is None or content.get("owner") != owner:
                return None
            self.ttl = float(content.get("ttl_s", self.ttl))
            # The job of the runner is not that of the worker.
            content = {name: value for name, value in content.items() if name not in ("waits", "scheduler", "job")}
            runner = {f"runner_{name}": value for name, value in find_runner(content).items()}
            content |= {**runner, **_describe_process(), **about}
            try:
                tag = self.store.write_bytes(path, json.dumps(content).encode(), if_tag=tag)
            except ConflictError:  # the runner renewed it
                continue
            lease = Lease(path, content, tag)
            with self._lock:
                self._held[path] = lease
                self._start_heartbeat()
            return lease
        return None

    def release(self, lease: Lease, *, adopted: bool = False) -> None:
        """Release a lease; with `adopted` also one that a worker adopted, which has ended."""
        with self._lock:
            self._held.pop(lease.path, None)
            with suppress(NwbpipeError):
                if not lease.lost:
                    try:
                        self.store.remove(lease.path, if_tag=lease.tag)
                    except ConflictError:
                        lease.lost = True
                if lease.lost and adopted:
                    content, tag = self._read(lease.path)
                    if content is not None and content.get("owner") == self.owner:
                        self.store.remove(lease.path, if_tag=tag)

    def close(self) -> None:
        """Release all leases, and stop the heartbeat."""
        self._stop.set()
        for lease in list(self._held.values()):
            self.release(lease)
        if self._beating is not None:
            self._beating.join()

    def list_active(self) -> list[dict[str, Any]]:
        """Return the contents of the leases that are not void."""
        contents = []
        for entry in self.store.list("leases"):
            content, _ = self._read(entry.path)
            if content is not None and not _has_owner_ended(content) and self._may_be_alive(content, entry.modified):
                contents.append(content)
        return contents

    def _may_be_alive(self, content: Mapping[str, Any], modified: Any) -> bool:
        """Return True if a lease may be alive, judged by its time, with room for clocks that differ."""
        ttl = float(content.get("ttl_s", self.ttl))
        return modified is None or time.time() - modified.timestamp() < max(10 * ttl, 600)

    def _remove_void(self, path: str) -> bool:
        """Remove a lease if it is void; return True if it is gone."""
        content, tag = self._read(path)
        if tag is None:
            return True  # released meanwhile
        if content is not None and not _has_owner_ended(content):
            seen_tag, since = self._seen.setdefault(path, (tag, time.monotonic()))
            if seen_tag != tag:
                self._seen[path] = (tag, time.monotonic())
                return False
            if time.monotonic() - since < float(content.get("ttl_s", self.ttl)):
                return False
        try:
            self.store.remove(path, if_tag=tag)
        except ConflictError:
            return False
        self._seen.pop(path, None)
        if content is not None:
            self._removed[path] = content
        return True

    def _read(self, path: str) -> tuple[dict[str, Any] | None, str | None]:
        """Return content and tag; the content is None if it can't be read, the tag if the lease is missing."""
        try:
            status = self.store.stat(path)
            tag = status.tag
            if status.size > _MAX_BYTES:
                return None, tag
            content = json.loads(self.store.read_bytes(path))
        except FileAccessError:
            return None, None
        except (ValueError, RecursionError):
            return None, tag
        return (content, tag) if _is_lease(content) else (None, tag)

    def _start_heartbeat(self) -> None:
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, daemon=True, name="nwbpipe-leases")
            self._beating.start()

    def _beat(self) -> None:
        while not self._stop.wait(self.ttl / 4):
            with self._lock:
                for lease in self._held.values():
                    self._write(lease)

    def change(self, lease: Lease, **about: str) -> None:
        """Change what a lease tells others; an empty text takes it away."""
        with self._lock:
            content = {name: value for name, value in lease.content.items() if name not in about}
            lease.content = content | {name: text for name, text in about.items() if text}
            if lease.path in self._held:
                self._write(lease)

    def _write(self, lease: Lease) -> None:
        lease.content["beat"] += 1
        try:
            lease.tag = self.store.write_bytes(lease.path, json.dumps(lease.content).encode(), if_tag=lease.tag)
        except ConflictError:
            lease.lost = True
        except NwbpipeError:
            pass  # the store can't be reached: the next beat tries again


def _is_lease(content: Any) -> bool:
    """Return True if the content of a file is that of a lease: anybody who may write the store may write others."""
    return (
        isinstance(content, dict)
        and all(isinstance(content.get(name, ""), str) for name in _TEXTS)
        and all(isinstance(content.get(name, 0), int) for name in ("pid", "runner_pid", "beat"))
        and all(_is_number(content.get(name, 1.0)) for name in ("pid_since", "runner_pid_since", "since"))
        and _is_number(content.get("ttl_s", 1.0))
        and 0 < content.get("ttl_s", 1.0) < _MAX_TTL
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _describe_process() -> dict[str, Any]:
    import psutil

    return {"machine": identify_machine(), "pid": os.getpid(), "pid_since": psutil.Process().create_time()}


def find_runner(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return machine, pid and pid_since of the runner that took a lease: a worker may have adopted it since."""
    start = "runner_" if "runner_pid" in content else ""
    return {name: content[start + name] for name in _PROCESS if start + name in content}


def _has_owner_ended(content: Mapping[str, Any]) -> bool:
    """Return True if the owner was a process of this machine, and has ended."""
    import psutil

    if content.get("machine") != identify_machine():
        return False
    try:
        process = psutil.Process(int(content["pid"]))
        return bool(
            process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - content["pid_since"]) > 1.0
        )
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
