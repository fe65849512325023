"""A Dask cluster as on several machines: a scheduler and workers, each a process of its own, on 127.0.0.1."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.peers._measure import read_cpu
from nwbpipe.project.execute._dask_security import create_certificate

_WORKERS = 2
_START_S = 120
_END_S = 30
_COMMON = ("--protocol=tls", "--host=127.0.0.1", "--no-dashboard", "--dashboard-address=127.0.0.1:0")


class Cluster:
    """A scheduler and two workers, for as long as the block runs.

    Parameters
    ----------
    folder : Path
        For its logs and its certificate.
    variables : mapping of str to str
        Environment of the workers.

    Attributes
    ----------
    address : str
        Address of the scheduler.
    variables : dict of str to str
        Environment of whoever talks with it.
    scheduler : int
        Process id of the scheduler.
    scheduler_cpu : float
        CPU seconds of the scheduler; set at the end of the block.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder, self.address, self.scheduler, self.scheduler_cpu = folder, "", 0, 0.0
        folder.mkdir(parents=True)
        self.variables = {**variables, **_close_to_others(folder)}
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        file = self.folder / "scheduler.json"
        try:
            self.scheduler = self._start("scheduler", "--port=0", f"--scheduler-file={file}")
            self._wait_for(file, "}")
            self.address = json.loads(file.read_bytes())["address"]
            options = ("--nthreads=1", "--resources=slots=1 kind-standard=1", f"--local-directory={self.folder}")
            for number in range(1, _WORKERS + 1):
                self._start("worker", self.address, *options, f"--name={number}")
            for number in range(1, _WORKERS + 1):
                self._wait_for(self.folder / f"{number}.log", "Registered to")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _start(self, kind: str, *words: str) -> int:
        with (self.folder / f"{len(self._running)}.log").open("wb") as log:
            command = [sys.executable, "-m", "dask", kind, *words, *_COMMON]
            process = subprocess.Popen(command, cwd=self.folder, env=self.variables, stdout=log, stderr=log)
        self._running.append(process)
        return process.pid

    def _wait_for(self, path: Path, text: str) -> None:
        """Wait for a text in a file."""
        end = time.monotonic() + _START_S
        while not path.exists() or text not in path.read_text(errors="replace"):
            if time.monotonic() > end or any(process.poll() is not None for process in self._running):
                logs = "\n".join(log.read_text(errors="replace")[-1000:] for log in self.folder.glob("*.log"))
                raise RuntimeError(f"the Dask cluster did not start:\n{logs}")
            time.sleep(0.05)

    def _end(self) -> None:
        """End the workers, then the scheduler."""
        for process in reversed(self._running):
            if process.pid == self.scheduler:
                self.scheduler_cpu = read_cpu(process.pid)  # of its end, nothing: it is short
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _close_to_others(folder: Path) -> dict[str, str]:
    """Return settings of Dask with a certificate: whoever else reaches the ports can't talk with the cluster."""
    security = create_certificate()
    values = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": folder / "cert.pem"}
    for name, text in (("cert.pem", security.tls_worker_cert), ("key.pem", security.tls_worker_key)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        values[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = folder / "cert.pem"
        values[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = folder / "key.pem"
    pages = {f"DASK_DISTRIBUTED__{role}__HTTP__ROUTES": "[]" for role in ("SCHEDULER", "WORKER")}
    return {**{name: str(path) for name, path in values.items()}, **pages}
