"""The local executor: a few worker processes on this machine."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from nwbpipe.errors import WorkError
from nwbpipe.machine import child_python, close_python_path, is_own_process, may_fork
from nwbpipe.processors import Resources
from nwbpipe.project._model import ExecutorSpec
from nwbpipe.project.execute._devices import list_gpus, read_gpu_memory
from nwbpipe.project.execute._executor import Capacity, Event
from nwbpipe.project.execute._limits import read_worker_limits
from nwbpipe.project.execute._run_job import Job, JobOutcome
from nwbpipe.project.execute._worker_template import ForkedWorker, WorkerTemplate, can_fork

_GRACE = 20.0  # seconds for workers to end their tools
_STARTS = 3  # failed starts of workers in a row


class _Worker:
    """A worker process, which runs one job at a time."""

    def __init__(
        self,
        happened: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]],
        template: WorkerTemplate | None = None,
    ) -> None:
        self.token: int | None = None
        self.ready = False
        self.process: subprocess.Popen[str] | ForkedWorker = (
            template.fork()
            if template
            else subprocess.Popen(
                child_python("-m", "nwbpipe.project.execute._worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=close_python_path(os.environ),
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends them in order
            )
        )
        threading.Thread(target=self._read, args=(self.process.stdout, happened), daemon=True).start()

    def _read(self, lines: IO[str], happened: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]]) -> None:
        with lines:
            for line in lines:
                with suppress(json.JSONDecodeError):
                    happened.put((self, json.loads(line)))
        happened.put((self, None))

    def give(self, job: Job, token: int) -> None:
        """Send the worker a job."""
        assert self.process.stdin is not None
        self.token = token
        with suppress(BrokenPipeError):  # it has died: the thread that reads its output reports it
            self.process.stdin.write(json.dumps(asdict(job)) + "\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """End the worker, which has no job, by closing its input."""
        with suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()


class LocalExecutor:
    """Compute jobs in worker processes on this machine.

    Parameters
    ----------
    spec : ExecutorSpec
        Number of workers, and the memory and GPUs that they may use together. In a job of a scheduler or a
        container they use no more cores, memory and time than that has.
    """

    def __init__(self, spec: ExecutorSpec) -> None:
        import psutil

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._limits = read_worker_limits()
        cores = min(cores, self._limits.cores or cores)
        slots = spec.workers or max(1, min(4, cores))
        memory = spec.memory_gb or psutil.virtual_memory().total / 1e9
        memory = min(memory, self._limits.memory_gb or memory)
        count = len(list_gpus()) if spec.gpus is None else spec.gpus
        self._share = max(1, cores // slots)
        memory_of = read_gpu_memory()
        gpu_memory = tuple(memory_of.get(name, 0.0) for name in list_gpus()[:count])
        self.capacity = Capacity(slots, max(cores, slots), memory, count, gpu_memory_gb=gpu_memory)
        self._happened: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        # Before anything starts a thread: after that this process can't be forked.
        self._template = WorkerTemplate() if is_own_process() and may_fork() and can_fork() else None
        self._tokens = 0
        self._failed_starts = 0

    @property
    def about(self) -> str:
        """See `Executor.about`."""
        return f"{self.capacity.slots} workers on this machine"

    def explain_refusal(self, resources: Resources) -> str:
        """See `Executor.explain_refusal`."""
        return self.capacity.explain_refusal(resources) or self._limits.explain_time(resources.time_limit_s)

    @property
    def is_out_of_time(self) -> bool:
        """True if the time of the job that this process runs in is, or is about to be, over."""
        return self._limits.is_near_end

    def fits(self, resources: Resources) -> bool:
        """See `Executor.fits`."""
        return self.capacity.fits(resources)

    def choose_threads(self, resources: Resources) -> int:
        """See `Executor.choose_threads`."""
        return resources.cpu or self._share

    def submit(self, job: Job, resources: Resources) -> int:
        """See `Executor.submit`."""
        self._tokens += 1
        worker = next((candidate for candidate in self._workers if candidate.token is None), None)
        if worker is None:
            worker = _Worker(self._happened, self._find_template())
            self._workers.append(worker)
        self.capacity.in_use[self._tokens] = resources
        worker.give(job, self._tokens)
        return self._tokens

    def _find_template(self) -> WorkerTemplate | None:
        """Return the Python that workers are forked from; None where none can be forked, or would serve one alone."""
        if self._template is not None and not self._template.is_alive:
            self._template.end()
            self._template = None
        if self._template is None and self.capacity.slots > 1 and can_fork():
            self._template = WorkerTemplate()
        return self._template

    def wait(self, timeout: float) -> list[Event]:
        """See `Executor.wait`."""
        events = []
        with suppress(queue.Empty):
            events.append(self._make_event(*self._happened.get(timeout=timeout)))
            while True:
                events.append(self._make_event(*self._happened.get_nowait()))
        return [event for event in events if event is not None]

    def _make_event(self, worker: _Worker, message: dict[str, Any] | None) -> Event | None:
        if message is None:
            worker.process.wait()
            worker.end()
            if worker in self._workers:
                self._workers.remove(worker)
            self._failed_starts = 0 if worker.ready else self._failed_starts + 1
            if self._failed_starts >= _STARTS:
                msg = "workers end as soon as they are started"
                code = worker.process.returncode  # None of a fork: its parent alone may read it
                exit_code = None if code is None else f"exit code {code}"
                raise WorkError(msg, found=exit_code, hint="see their messages above")
            return self._finish_job(worker, None)
        if "ready" in message:
            worker.ready = True
            return None
        if "progress" in message and worker.token is not None:
            return Event(worker.token, fraction=message["progress"], text=message["text"])
        return self._finish_job(worker, JobOutcome(**message["ended"])) if "ended" in message else None

    def _finish_job(self, worker: _Worker, ended: JobOutcome | None) -> Event | None:
        token, worker.token = worker.token, None
        if token is None:
            return None
        self.capacity.in_use.pop(token, None)
        return Event(token, ended, lost=ended is None)

    def close(self) -> None:
        """See `Executor.close`."""
        for worker in self._workers:
            if worker.token is None:
                worker.end()
            else:
                with suppress(ProcessLookupError):
                    worker.process.send_signal(signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.end()
        self._workers.clear()
        if self._template is not None:
            self._template.end()
            self._template = None
