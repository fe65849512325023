"""Guard for finished sortings whose reader drops spikes in silence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nwbpipe.errors import Problem, SourceError
from nwbpipe.nwb_builders import find_lost_clusters, list_phy_files


def guard_phy(args: Mapping[str, Any]) -> list[Problem]:
    """Check that each spike of a folder of Phy or Kilosort would reach the session file.

    SpikeInterface joins the tables of the folder, and drops the clusters that one of them leaves out (Phy leaves
    those out that nobody labelled).
    """
    folder = Path(str(args.get("folder_path", "")))
    if not folder.is_dir():
        return []
    excluded = args.get("exclude_cluster_groups") or ()
    try:
        list_phy_files(folder)
        lost = find_lost_clusters(folder, [excluded] if isinstance(excluded, str) else list(excluded))
    except SourceError as error:
        return [error.problem]
    if not lost:
        return []
    spikes = sum(lost.values())
    names = ", ".join(map(str, sorted(lost)[:10])) + (", …" if len(lost) > 10 else "")
    return [
        Problem(
            "spikes would be lost: their clusters are not in each table of the folder",
            str(folder),
            "each cluster with spikes in every cluster_*.tsv, or in cluster_info.tsv",
            f"{spikes} spikes of {len(lost)} clusters: {names}",
            "save the folder once in Phy (it writes cluster_info.tsv), or convert without it and load it: "
            f"nwbpipe load FILE.nwb spikesorting {folder}",
        )
    ]
