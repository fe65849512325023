"""Ask a command of SLURM."""

from __future__ import annotations

import subprocess

_TIMEOUT_S = 20.0


def ask_slurm(program: str, *words: str) -> str:
    """Return what a command prints; "" if it is not there, fails, or does not answer."""
    try:
        answer = subprocess.run(  # without a shell
            [program, *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout if answer.returncode == 0 else ""
