"""Control groups: what the kernel allows and counts for a group of processes (Linux)."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")


def list_control_groups(root: Path = _ROOT) -> list[Path]:
    """Return the folders of the control groups that hold this process, each before those around it."""
    folders = []
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and not {"memory", "cpu"} & set(controllers.split(",")):
            continue
        base = root / "sys/fs/cgroup" / controllers
        folder = base / path.lstrip("/")
        while folder != base and base in folder.parents:
            folders.append(folder)
            folder = folder.parent
        folders.append(base)
    return folders


def count_memory_kills(root: Path = _ROOT) -> int:
    """Return how many processes of this one's control group the kernel has killed for lack of memory.

    Parameters
    ----------
    root : Path
        Root of the file system with ``/proc`` and ``/sys``.
    """
    for folder in list_control_groups(root):
        for name in ("memory.events", "memory.oom_control"):  # of versions 2 and 1
            with suppress(OSError):
                if match := re.search(r"^oom_kill (\d+)$", (folder / name).read_text(), re.MULTILINE):
                    return int(match[1])
    return 0


def count_machine_memory_kills(root: Path = _ROOT) -> int:
    """Return how many processes the kernel has killed for lack of memory, in any control group of the machine.

    Parameters
    ----------
    root : Path
        Root of the file system with ``/proc``.
    """
    with suppress(OSError):
        if match := re.search(r"^oom_kill (\d+)$", (root / "proc/vmstat").read_text(), re.MULTILINE):
            return int(match[1])
    return 0
