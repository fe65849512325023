"""Finished sortings: every spike of the folder reaches a unit."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Spikes
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import SourceError

_NEV_HEAD = struct.Struct("<8s2BHIIII")
_LAST_ELECTRODE = 2048  # packets of higher numbers, and of 0, are events


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
    from nwbpipe.nwb_builders import read_excluded_clusters, read_spikes

    samples, clusters = read_spikes(folder)
    is_kept = ~np.isin(clusters, list(read_excluded_clusters(folder, excluded_groups)))
    samples, rate = samples[is_kept], _read_rate(folder)
    last = float(samples.max()) / float(rate) if rate and len(samples) else None
    return Spikes(len(samples), len(np.unique(clusters[is_kept])), last)


def _read_rate(folder: Path) -> Any:
    """Return the rate of a folder's settings; None if they hold code, which its reader runs where it is trusted."""
    from nwbpipe.foreign import read_literals

    try:
        return read_literals(folder / "params.py").get("sample_rate")
    except SourceError:
        return None


@account("SpikeInterfaceSortingInterface")
def probe_spikeinterface(arguments: Mapping[str, Any]) -> Account | None:
    """Account for the spikes of a sorting or an analyzer that SpikeInterface saved."""
    from nwbpipe.nwb_builders import list_spikeinterface_files

    folder = Path(arguments["folder_path"])
    files = tuple(list_spikeinterface_files(folder))
    return Account("SpikeInterface", files, find_spikes=partial(_count_saved, folder))


def _count_saved(folder: Path) -> Spikes:
    from nwbpipe.nwb_builders import read_spikeinterface

    sorting = read_spikeinterface(folder)
    last = float(sorting.samples.max()) / sorting.rate if len(sorting.samples) else None
    return Spikes(len(sorting.samples), len(np.unique(sorting.units)), last)


@account("BlackrockSortingInterface")
def probe_nev(arguments: Mapping[str, Any]) -> Account | None:
    """Account for the spikes of a .nev: a unit for each electrode and class, those of class 0 and 255 too."""
    path = Path(arguments["file_path"])
    path = path if path.suffix.lower() == ".nev" else path.with_suffix(".nev")
    return Account("Blackrock", (path,), find_spikes=partial(_count_packets, path)) if path.is_file() else None


def _count_packets(path: Path) -> Spikes:
    """Count the spikes by electrode and class (https://blackrockneurotech.com, file specification 3.0)."""
    with path.open("rb") as file:
        kind, major, _, _, offset, size, _, _ = _NEV_HEAD.unpack(file.read(_NEV_HEAD.size))
    if kind not in (b"NEURALEV", b"BREVENTS"):
        raise ValueError("not a .nev file")
    stamp = "<u8" if major >= 3 else "<u4"
    fields = [("stamp", stamp), ("electrode", "<u2"), ("unit", "u1")]
    layout = np.dtype({"names": [name for name, _ in fields], "formats": [code for _, code in fields],
                       "offsets": [0, int(stamp[2]), int(stamp[2]) + 2], "itemsize": size})  # fmt: skip
    packets = np.memmap(path, layout, "r", offset=offset, shape=((path.stat().st_size - offset) // size,))
    spikes = packets[(packets["electrode"] > 0) & (packets["electrode"] <= _LAST_ELECTRODE)]
    units = np.unique(spikes["electrode"].astype(np.int64) * 256 + spikes["unit"])
    return Spikes(len(spikes), len(units))
