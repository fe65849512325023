"""Read a folder that was exported for Phy, after a person worked on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import InputError, SourceError
from nwbpipe.nwb_builders import list_tables, read_spikes, read_table
from nwbpipe.review._unit_curation import CuratedUnit

#: Written by the export: see `nwbpipe.processors.ephys._unit_export_compute`.
MARK, SPIKES = "nwbpipe_export.json", "nwbpipe_spikes.npy"
_HINT = "export the step again (`nwbpipe export FILE STEP FOLDER`), or add another sorting with `nwbpipe load`"


@dataclass(frozen=True)
class PhyCuration:
    """The clusters of a folder of Phy, by the spikes of the table that was exported.

    Attributes
    ----------
    units : str
        Id of the table.
    names : tuple of str
        Names of its units.
    positions, clusters : ndarray, int64, shape (spikes,)
        Position of each spike in the table, and its cluster now.
    labels : dict of int to str
        Labels that Phy wrote, but ``unsorted``.
    """

    units: str
    names: tuple[str, ...]
    positions: NDArray[np.int64]
    clusters: NDArray[np.int64]
    labels: dict[int, str]

    def apply(self, ends: NDArray[np.int64]) -> list[CuratedUnit]:
        """Return the units after curation: each spike of the table is in exactly one of them.

        Parameters
        ----------
        ends : ndarray, int64
            Ends of the units' spikes in the table.
        """
        source = np.searchsorted(ends, self.positions, side="right")
        counts = np.diff(ends, prepend=0)
        units: list[CuratedUnit] = []
        for cluster in np.unique(self.clusters):
            inside = np.flatnonzero(self.clusters == cluster)
            rows = np.unique(source[inside])
            label = self.labels.get(int(cluster), "")
            unchanged = len(rows) == 1 and counts[rows[0]] == len(inside)
            name = self.names[rows[0]] if unchanged else f"phy_{cluster}"
            sources = tuple(int(row) for row in rows)
            units.append(CuratedUnit(name, label, sources, np.sort(self.positions[inside])))
        empty = [
            CuratedUnit(self.names[row], "", (int(row),), np.zeros(0, np.int64))
            for row in np.flatnonzero(counts == 0)
        ]
        return sorted([*units, *empty], key=lambda unit: unit.sources)

    def as_dict(self) -> dict[str, Any]:
        """Return the decisions as plain JSON, for the record: the labels, and the SHA-256 of which spike is whose."""
        spikes = np.stack([self.positions, self.clusters]).astype("<i8")
        labels = {str(cluster): label for cluster, label in sorted(self.labels.items())}
        return {"labels": labels, "sha256": hashlib.sha256(spikes.tobytes()).hexdigest(), "from": "phy"}


def list_curated_files(folder: Path) -> list[Path]:
    """Return the files of the folder that a curation is read from."""
    return [
        folder / MARK,
        folder / SPIKES,
        folder / "spike_times.npy",
        folder / "spike_clusters.npy",
        *list_tables(folder),
    ]


def read_phy_curation(folder: Path) -> PhyCuration:
    """Read a folder that `nwbpipe export --to phy` made.

    Raises
    ------
    InputError
        If it was made otherwise.
    SourceError
        If it is damaged.
    """
    if not (folder / MARK).is_file() or not (folder / SPIKES).is_file():
        msg = "the folder was not exported from a session file"
        raise InputError(msg, where=str(folder), expected=f"{MARK} and {SPIKES}", hint=_HINT)
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        positions = np.load(folder / SPIKES, allow_pickle=False).astype(np.int64)
        units, names = str(mark["units"]), tuple(map(str, mark["names"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = "the folder of the export is damaged"
        raise SourceError(msg, where=str(folder), found=str(error), hint=_HINT) from error
    _, clusters = read_spikes(folder)
    if len(clusters) != len(positions):
        msg = "the folder holds other spikes than were exported"
        raise InputError(
            msg, where=str(folder), expected=f"{len(positions)} spikes", found=str(len(clusters)), hint=_HINT
        )
    labels: dict[int, str] = {}
    for path in list_tables(folder):
        for cluster, row in (read_table(path) or {}).items():
            label = (row.get("group") or "").strip()
            if label and label != "unsorted":
                labels[cluster] = label
    present = set(np.unique(clusters).tolist())
    labels = {cluster: label for cluster, label in labels.items() if cluster in present}
    return PhyCuration(units, names, positions, clusters, labels)


def check_units(curation: PhyCuration, object_id: str, names: Sequence[str], spikes: int) -> None:
    """Refuse a folder that was exported from other units.

    Raises
    ------
    InputError
    """
    if curation.units != object_id or curation.names != tuple(names) or len(curation.positions) != spikes:
        msg = "the folder was exported from other units"
        expected, counted = (
            f"{len(names)} units, {spikes} spikes",
            f"{len(curation.names)} units, {len(curation.positions)} spikes",
        )
        raise InputError(msg, expected=f"{expected} of the step's present run", found=counted, hint=_HINT)
