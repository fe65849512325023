"""Reserve GPUs: each is used by one run at a time, or by several that say how much of its memory they need."""

from __future__ import annotations

import math
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from nwbpipe.errors import RequestError
from nwbpipe.machine import make_private_folder, temporary_folder
from nwbpipe.project.execute._limits import identify_job

try:
    import fcntl
except ImportError:  # Windows: GPUs are not shared there
    fcntl = None  # type: ignore[assignment]


@cache
def list_gpus() -> tuple[str, ...]:
    """Return the GPUs of this machine that may be used: ``CUDA_VISIBLE_DEVICES`` if it is set, else all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() and name.strip() != "-1")
    return tuple(index for index, _, _ in _ask_nvidia())


def read_gpu_memory() -> dict[str, float]:
    """Return the memory in GB of the GPUs, by index and by UUID; empty where nvidia-smi can't tell."""
    return {
        name: int(size) * 2**20 / 1e9  # from MiB; "[N/A]" where the driver does not say
        for *names, size in _ask_nvidia()
        if size.isdigit()
        for name in names
    }


@cache
def _ask_nvidia() -> tuple[tuple[str, str, str], ...]:
    """Return index, UUID and memory of each GPU as nvidia-smi prints them; none if it is not there, or fails."""
    try:
        answer = subprocess.run(  # a fixed command, without a shell
            ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"],  # noqa: S607
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = ([*map(str.strip, line.split(",")), "", ""] for line in answer.stdout.splitlines() if line.strip())
    return tuple((index, uuid, size) for index, uuid, size, *_ in rows)


def _lock_folder() -> Path:
    """Return the folder of the locks, which all projects and workers of a machine share.

    The GPUs of a scheduler's job are its own, but may have the same numbers as those of another job.
    """
    job = re.sub(r"\W", "_", identify_job().get("job", ""))
    return make_private_folder(temporary_folder(f"nwbpipe-gpus-{job}" if job else "nwbpipe-gpus"), variable="TMPDIR")


def _take(name: str, memory_gb: float) -> ExitStack | None:
    """Take a GPU, or part of its memory; return the locks that hold it, None if others have too much of it.

    A run that shares it holds the GPU's lock together with others, and a lock for each GB that it needs: the system
    frees them when the process ends, however it does.
    """
    path = _lock_folder() / f"{name.replace('/', '_')}.lock"
    size = int(read_gpu_memory().get(name, 0.0))
    if not memory_gb or not size or fcntl is None:
        with suppress(Timeout), ExitStack() as locks:
            locks.enter_context(FileLock(path).acquire(timeout=0))
            return locks.pop_all()
        return None
    parts = min(math.ceil(memory_gb), size)  # of a card of 11.8 GB, 11.5 is all
    with ExitStack() as locks:
        file = locks.enter_context(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb"))
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if not os.fstat(file.fileno()).st_nlink:  # some releases of filelock remove it when it is let go
            return None
        with FileLock(path.with_suffix(".counting")):  # two that count at once could stop each other
            for part in range(size):
                if parts:
                    with suppress(Timeout):
                        locks.enter_context(FileLock(path.with_suffix(f".gb{part}")).acquire(timeout=0))
                        parts -= 1
        return locks.pop_all() if not parts else None


@contextmanager
def reserve_gpus(count: int, memory_gb: float = 0.0) -> Iterator[str]:
    """Reserve GPUs for the block; yield their names for ``CUDA_VISIBLE_DEVICES`` ("" for none).

    Parameters
    ----------
    count : int
        Number of GPUs. If other runs have them, wait.
    memory_gb : float
        Memory that is needed of each: other runs may have the rest; 0: each for this run alone. What the tool takes
        is not limited. A GPU whose memory is not known is not shared.

    Raises
    ------
    RequestError
        The machine has fewer GPUs.
    """
    if count == 0:
        yield ""
        return
    gpus = list_gpus()
    if len(gpus) < count:
        msg = "the step needs more GPUs than the machine has"
        raise RequestError(msg, expected=f"{count} GPU{'s' if count > 1 else ''}", found=str(len(gpus)))
    while True:
        with ExitStack() as locks:
            names: list[str] = []
            for name in gpus:
                if len(names) < count and (card := _take(name, memory_gb)):
                    locks.enter_context(card)
                    names.append(name)
            if len(names) == count:
                yield ",".join(names)
                return
        time.sleep(0.2)
