"""Choose the environment variables of child processes: a list of what they need, and no secrets."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

#: Names of further variables that tools get, with commas between them.
PASSED_ON = "NWBPIPE_PASS"
_TEXT = """
PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM COLUMNS TMPDIR TEMP TMP LD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR
MLM_LICENSE_FILE LM_LICENSE_FILE DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG DOCKER_CERT_PATH DOCKER_TLS_VERIFY
SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERPROFILE HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA PROGRAMDATA
PROGRAMFILES NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE OS
LC_* XDG_* DYLD_* CUDA_* NVIDIA_* OMP_* GOMP_* KMP_* MKL_* OPENBLAS_* NUMBA_* NUMEXPR_* VECLIB_* OPENCV_* HDF5_* TF_*
TORCH_* PYTORCH_* XLA_* JAX_* MPL* MATLAB* MCR_* OCTAVE_* APPTAINER_* SINGULARITY_* CONTAINER_*
"""
_NAMES = frozenset(name for name in _TEXT.split() if not name.endswith("*"))
_PREFIXES = tuple(name[:-1] for name in _TEXT.split() if name.endswith("*"))
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL|AUTH|COOKIE|DOCKER_(USER|PASS)", re.IGNORECASE)


def select_variables(extra: Iterable[str] = ()) -> dict[str, str]:
    """Return those of this process's environment variables that a child process may have.

    Parameters
    ----------
    extra : iterable of str
        Names of more variables, or patterns such as ``AWS_*``. They are passed on whatever their names are, as those
        of ``NWBPIPE_PASS``.
    """
    asked = [*extra, *filter(None, (name.strip() for name in os.environ.get(PASSED_ON, "").split(",")))]

    def may_have(name: str) -> bool:
        if any(fnmatchcase(name, pattern) for pattern in asked):
            return True
        return (name.upper() in _NAMES or name.startswith(_PREFIXES)) and not _SECRET.search(name)

    return {name: value for name, value in os.environ.items() if may_have(name)}


def child_python(*words: str) -> list[str]:
    """Return the command of this Python with `words`, which imports nothing from the current folder.

    An empty or relative entry of PYTHONPATH would mean the current folder as well: see `close_python_path`.
    """
    return [sys.executable, "-P", *words]


def close_python_path(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables for a process of this Python, without entries of PYTHONPATH that mean the current folder."""
    entries = [entry for entry in variables.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(entry)]  # noqa: PTH117
    rest = {name: value for name, value in variables.items() if name != "PYTHONPATH"}
    return {**rest, **({"PYTHONPATH": os.pathsep.join(entries)} if entries else {}), "PYTHONSAFEPATH": "1"}
