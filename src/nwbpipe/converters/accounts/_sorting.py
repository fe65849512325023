"""Finished sortings: every spike of the folder reaches a unit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nwbpipe.converters.accounts._account import Account, Spikes
from nwbpipe.converters.accounts._registry import account


@account("PhySortingInterface", "KiloSortSortingInterface")
def probe_phy(arguments: Mapping[str, Any]) -> Account | None:
    """Account for the spikes of a folder of Phy or Kilosort, without those of groups that are left out."""
    from nwbpipe.nwb_builders import list_phy_files

    folder = Path(arguments["folder_path"])
    files = tuple(list_phy_files(folder))
    if arguments.get("keep_good_only"):
        return Account("Phy", files)  # the reader chooses by a rule of its own
    groups = arguments.get("exclude_cluster_groups") or ()
    return Account(
        "Phy", files, find_spikes=partial(_count_spikes, folder, [groups] if isinstance(groups, str) else groups)
    )


def _count_spikes(folder: Path, excluded_groups: Collection[str]) -> Spikes:
    import numpy as np

    from nwbpipe.foreign import read_literals
    from nwbpipe.nwb_builders import read_excluded_clusters, read_spikes

    samples, clusters = read_spikes(folder)
    is_kept = ~np.isin(clusters, list(read_excluded_clusters(folder, excluded_groups)))
    samples, rate = samples[is_kept], read_literals(folder / "params.py").get("sample_rate")
    last = float(samples.max()) / float(rate) if rate and len(samples) else None
    return Spikes(len(samples), len(np.unique(clusters[is_kept])), last)
