"""suite2p's registration by itself (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable, Dict

import h5py

from . import _compute


def compute(request: Dict[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Register the movie, plane by plane, and look for no cells."""
    params = {**request["params"], "do_registration": True}
    summary: Dict[str, Any] = _compute.compute({**request, "params": params}, results, progress, detect=False)
    return summary
