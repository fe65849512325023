"""Read the folder of a finished spike sorting, as Kilosort and Phy leave it; nothing of it is run.

Readers elsewhere join the tables of a folder, and drop each cluster, with its spikes, that one of them leaves out.
Phy itself leaves clusters out of ``cluster_group.tsv`` that nobody labelled. Here each spike belongs to a unit.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import SourceError
from nwbpipe.foreign import load_array, read_literals

Integers = NDArray[np.int64]
_NEEDED = ("params.py", "spike_times.npy")
_OPTIONAL = (
    "spike_clusters.npy", "spike_templates.npy", "templates.npy", "templates_ind.npy", "whitening_mat_inv.npy",
    "channel_map.npy", "channel_shanks.npy", "channel_positions.npy",
)  # fmt: skip
_COPY = "copy the folder again, whole, or have Phy or Kilosort write it again"


@dataclass(frozen=True)
class PhySorting:
    """A finished sorting.

    Attributes
    ----------
    samples, clusters : ndarray, int64, shape (spikes,)
        Sample and cluster of each spike, in the order of the samples.
    ids : tuple of int
        The clusters that have spikes, in ascending order.
    properties : mapping of str to mapping of int to str
        For each column of the folder's tables, the values by cluster; clusters without an entry are left out.
    channels : ndarray, int64, or None
        For each channel of the templates, its column in the recording.
    shanks : ndarray, int64, or None
        Shank of each of `channels`.
    peak : mapping of int to int
        Column in the recording on which the cluster's template is largest.
    settings : mapping
        Values in ``params.py``.
    """

    samples: Integers
    clusters: Integers
    ids: tuple[int, ...]
    properties: Mapping[str, Mapping[int, str]]
    channels: Integers | None
    shanks: Integers | None
    peak: Mapping[int, int]
    settings: Mapping[str, Any]


def list_phy_files(folder: Path) -> list[Path]:
    """Return the files of a folder that `read_phy` reads.

    Raises
    ------
    SourceError
        The folder is not a finished output of Phy or Kilosort.
    """
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if not missing and not any((folder / f"spike_{name}.npy").is_file() for name in ("clusters", "templates")):
        missing = ["spike_clusters.npy"]
    if missing:
        msg = "this is not a finished output of Phy or Kilosort"
        raise SourceError(
            msg,
            where=str(folder),
            expected=", ".join((*_NEEDED, "spike_clusters.npy")),
            found=f"no {', no '.join(missing)}",
            hint="name the folder with these files",
        )
    names = [name for name in (*_NEEDED, *_OPTIONAL) if (folder / name).is_file()]
    return [*(folder / name for name in names), *list_tables(folder)]


def list_tables(folder: Path) -> list[Path]:
    """Return the tables of clusters: ``cluster_*.tsv`` and ``cluster_*.csv``, by name."""
    return sorted(path for path in folder.glob("cluster_*") if path.suffix in (".tsv", ".csv") and path.is_file())


def read_phy(folder: Path) -> PhySorting:
    """Read a folder of Phy or Kilosort.

    Raises
    ------
    SourceError
        The folder is incomplete, damaged, or contradicts itself.
    """
    list_phy_files(folder)
    samples, clusters = read_spikes(folder)
    order = np.argsort(samples, kind="stable")
    samples, clusters = samples[order], clusters[order]
    ids = tuple(int(cluster) for cluster in np.unique(clusters))
    properties: dict[str, dict[int, str]] = {}
    for path in list_tables(folder):
        for cluster, row in (read_table(path) or {}).items():
            for column, value in row.items():
                if value.strip():
                    properties.setdefault(column, {})[cluster] = value.strip()
    channels = _load_optional(folder, "channel_map.npy")
    settings = read_literals(folder / "params.py")
    shanks = _load_optional(folder, "channel_shanks.npy")
    return PhySorting(
        samples, clusters, ids, properties, channels, shanks, _find_peaks(folder, clusters, order, channels), settings
    )


def read_spikes(folder: Path) -> tuple[Integers, Integers]:
    """Return sample and cluster of each spike."""
    path = folder / "spike_clusters.npy"
    path = path if path.is_file() else folder / "spike_templates.npy"
    samples, clusters = _load_integers(folder / "spike_times.npy"), _load_integers(path)
    if len(samples) != len(clusters):
        msg = "spikes and clusters differ in number"
        expected = f"{len(samples)} clusters, one for each spike in spike_times.npy"
        raise SourceError(msg, where=str(path), expected=expected, found=str(len(clusters)), hint=_COPY)
    if len(samples) and (samples.min() < 0 or clusters.min() < 0):
        msg = "a spike has a negative sample or cluster"
        raise SourceError(msg, where=str(folder), expected="0 or more", found=str(min(samples.min(), clusters.min())))
    return samples, clusters


def read_table(path: Path) -> dict[int, dict[str, str]] | None:
    """Return the rows of a table of clusters by cluster, or None if it has no column of clusters.

    Raises
    ------
    SourceError
        A row has a blank cluster, one that is not a whole number, or one that another row has too.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        rows, fields = list(reader), reader.fieldnames or ()
    key = next((name for name in ("cluster_id", "id") if name in fields), None)
    if key is None:
        return None
    table: dict[int, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        text = (row.pop(key) or "").strip()
        try:
            cluster = int(float(text))
            valid = float(text) == cluster and cluster not in table
        except ValueError:
            valid = False
        if not valid:
            msg = "a row of the table does not name its own cluster"
            raise SourceError(
                msg,
                where=f"{path}:{number}",
                expected=f"a whole number in the column {key}, once",
                found=repr(text),
                hint="correct the row; Phy writes the table anew when it saves",
            )
        table[cluster] = {name: value or "" for name, value in row.items() if name}
    return table


def find_lost_clusters(folder: Path, exclude: Collection[str] = ()) -> dict[int, int]:
    """Return the clusters, with their number of spikes, that SpikeInterface's reader drops.

    It joins all tables of the folder, unless there is a single ``cluster_info``: a cluster that is not in each of
    them is dropped with its spikes.

    Parameters
    ----------
    folder : Path
    exclude : collection of str
        Values of the column ``group`` whose clusters are left out on purpose.
    """
    _, clusters = read_spikes(folder)
    ids, counts = np.unique(clusters, return_counts=True)
    spikes = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    rows = _read_joined_tables(folder)
    if not rows:
        return {}
    common = set(rows[0]).intersection(*rows[1:])
    excluded = read_excluded_clusters(folder, exclude)
    return {cluster: count for cluster, count in spikes.items() if cluster not in common | excluded}


def read_excluded_clusters(folder: Path, exclude: Collection[str]) -> set[int]:
    """Return the clusters whose ``group``, in a table that SpikeInterface's reader joins, is one of `exclude`."""
    tables = _read_joined_tables(folder) if exclude else []
    return {cluster for table in tables for cluster, row in table.items() if row.get("group") in exclude}


def _read_joined_tables(folder: Path) -> list[dict[int, dict[str, str]]]:
    """Return the tables that SpikeInterface's reader joins: ``cluster_info``, or all that there are."""
    tables = [path for path in folder.iterdir() if path.suffix in (".tsv", ".csv")]
    info = [path for path in tables if "cluster_info" in path.name]
    chosen = sorted(info if len(info) == 1 else tables)
    return [table for table in map(read_table, chosen) if table is not None]


def _load_integers(path: Path) -> Integers:
    values = np.asarray(load_array(path)).reshape(-1)
    integers = values.astype("int64")
    if values.dtype.kind not in "iuf" or not np.array_equal(integers, values):
        msg = "the array does not hold whole numbers"
        raise SourceError(msg, where=str(path), expected="integers", found=str(values.dtype), hint=_COPY)
    return integers


def _load_optional(folder: Path, name: str) -> Integers | None:
    return _load_integers(folder / name) if (folder / name).is_file() else None


def _find_peaks(folder: Path, clusters: Integers, order: Integers, channels: Integers | None) -> dict[int, int]:
    """Return for each cluster the column of the recording on which its spikes' commonest template is largest."""
    if not (folder / "templates.npy").is_file() or not (folder / "spike_templates.npy").is_file():
        return {}
    templates = np.asarray(load_array(folder / "templates.npy"))
    if templates.ndim != 3:
        return {}
    if (folder / "whitening_mat_inv.npy").is_file():
        inverse = np.asarray(load_array(folder / "whitening_mat_inv.npy"))
        if inverse.shape == (templates.shape[2],) * 2:
            templates = templates @ inverse
    largest = np.argmax(np.ptp(templates, axis=1), axis=1)
    if (folder / "templates_ind.npy").is_file():
        indices = np.asarray(load_array(folder / "templates_ind.npy"))
        if indices.shape == (templates.shape[0], templates.shape[2]):
            largest = indices[np.arange(len(largest)), largest].astype("int64")
    columns = largest if channels is None else channels[np.clip(largest, 0, len(channels) - 1)]
    used = _load_integers(folder / "spike_templates.npy")[order]
    peaks: dict[int, int] = {}
    for cluster in np.unique(clusters):
        template = int(np.bincount(used[clusters == cluster]).argmax())
        if template < len(columns):
            peaks[int(cluster)] = int(columns[template])
    return peaks
