"""suite2p's registration by itself (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable, Dict

import h5py

# suite2p's compute module beside this file is imported by its name: the package that it lies in is not there.
sys.path.append(str(Path(__file__).resolve().parent))
import _suite2p_compute


def compute(request: Dict[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Register the movie, plane by plane, and look for no cells."""
    params = {**request["params"], "do_registration": True}
    summary: Dict[str, Any] = _suite2p_compute.compute({**request, "params": params}, results, progress, detect=False)
    return summary
