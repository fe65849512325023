"""Tell this machine from others, as long as it runs."""

from __future__ import annotations

import hashlib
import sys
import uuid
from contextlib import suppress
from pathlib import Path


def identify_machine() -> str:
    """Return a text that identifies this machine since it was booted, but discloses nothing about it."""
    if sys.platform == "linux":  # containers of one machine see different processes
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text()
            return _digest(boot, str(Path("/proc/self/ns/pid").readlink()))
    import psutil

    # The number of the network card is random in each process where there is none.
    return _digest(hex(uuid.getnode()), str(int(psutil.boot_time())))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
