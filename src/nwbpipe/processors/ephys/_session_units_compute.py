"""Count units and spikes of several tables: the compute module. Standard library, numpy and h5py only."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

import h5py


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Return the number of units and spikes of each table; a table whose spikes contradict its units is refused.

    Raises
    ------
    ValueError
        If a table has spikes that belong to no unit.
    """
    counts = {}
    for number, (name, table) in enumerate(request["inputs"].items()):
        progress(number / len(request["inputs"]), "reading")
        if name.partition(":")[0] != "units":
            continue
        with h5py.File(table["file"], "r", locking=False) as file:
            units = file[table["path"]]
            spikes = len(units["spike_times"]) if "spike_times" in units else 0
            last = int(units["spike_times_index"][-1]) if spikes else 0
        if last != spikes:
            raise ValueError(f"{table['path']}: {spikes - last} of {spikes} spikes belong to no unit")
        counts[table["path"]] = spikes
    results["spikes"] = list(counts.values())
    return {"spikes": counts}
