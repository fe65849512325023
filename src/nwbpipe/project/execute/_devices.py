"""Reserve GPUs: each is used by one run at a time."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from nwbpipe.errors import RequestError
from nwbpipe.machine import make_private_folder, temporary_folder
from nwbpipe.project.execute._limits import identify_job


@cache
def list_gpus() -> tuple[str, ...]:
    """Return the GPUs of this machine that may be used: ``CUDA_VISIBLE_DEVICES`` if it is set, else all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() and name.strip() != "-1")
    try:
        answer = subprocess.run(  # a fixed command, without a shell
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],  # noqa: S607
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())


def _lock_folder() -> Path:
    """Return the folder of the locks, which all projects and workers of a machine share.

    The GPUs of a scheduler's job are its own, but may have the same numbers as those of another job.
    """
    job = re.sub(r"\W", "_", identify_job().get("job", ""))
    return make_private_folder(temporary_folder(f"nwbpipe-gpus-{job}" if job else "nwbpipe-gpus"), variable="TMPDIR")


@contextmanager
def reserve_gpus(count: int) -> Iterator[str]:
    """Reserve GPUs for the block; yield their names for ``CUDA_VISIBLE_DEVICES`` ("" for none).

    Parameters
    ----------
    count : int
        Number of GPUs. If other runs have them, wait.

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
                if len(names) < count:
                    try:
                        lock = FileLock(_lock_folder() / f"{name.replace('/', '_')}.lock")
                        locks.enter_context(lock.acquire(timeout=0))
                        names.append(name)
                    except Timeout:
                        continue
            if len(names) == count:
                yield ",".join(names)
                return
        time.sleep(0.2)
