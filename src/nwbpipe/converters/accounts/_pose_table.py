"""The columns and rows of a table of poses, as DeepLabCut writes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.errors import Problem


@dataclass(frozen=True)
class PoseTable:
    """The header and the index of a DeepLabCut-like table.

    Parameters
    ----------
    coordinates : tuple of str
        Of the first keypoint, in order.
    uniform : bool
        True if all keypoints have the same.
    index : list
        The frame numbers, or the paths of labelled images.
    levels : tuple of str
        Of the columns.
    individuals : tuple of str
        Animals of a file of several.
    keypoints : tuple of str
        Names of the body parts.
    """

    coordinates: tuple[str, ...]
    uniform: bool
    index: list[Any]
    levels: tuple[str, ...]
    individuals: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()

    @property
    def is_labels(self) -> bool:
        """True if the rows are labelled images."""
        return "likelihood" not in self.coordinates and not all(isinstance(row, int) for row in self.index)

    @property
    def starts_at_zero(self) -> bool:
        """True if the rows are the frames from the first on, none left out."""
        return self.index == list(range(len(self.index)))


def read_pose_table(path: Path) -> PoseTable | Problem:
    """Read the columns and the index of DeepLabCut's ``.h5`` or ``.csv``, or say what is wrong with it.

    A file that did not change is read once: a guard, a probe and an interface ask for the same table.
    """
    status = path.stat()
    table = _read_table(path, (status.st_size, status.st_mtime_ns, status.st_ino))
    if isinstance(table, Problem):
        _read_table.cache_clear()  # a moment later the same file may be trusted, or its disk back
    return table


@lru_cache(maxsize=8)
def _read_table(path: Path, version: tuple[int, ...]) -> PoseTable | Problem:  # noqa: ARG001  # a key of the cache
    import pandas as pd

    not_dlc = "scorer, bodyparts and coords above the columns, as DeepLabCut writes them"
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig") as stream:
                first = [stream.readline().split(",")[0].strip() for _ in range(4)]
            rows = 4 if first[1] == "individuals" else 3
            if first[:rows] != ["scorer", *(["individuals"] if rows == 4 else []), "bodyparts", "coords"]:
                return Problem("not a file of DeepLabCut", str(path), not_dlc, f"the lines begin {', '.join(first)}")
            table = pd.read_csv(path, header=list(range(rows)), index_col=0)
        elif h5py.is_hdf5(path):
            table = pd.read_hdf(path)
        else:
            return Problem("not a file of DeepLabCut", str(path), "HDF5 or .csv", "neither")
    except ImportError:
        raise
    except Exception as error:  # PyTables and pandas raise nearly anything on a file that is not theirs
        # HDF5 puts what went wrong into the last line, below a trace of calls.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        text = lines[-1] if "back trace" in lines[0] else lines[0]
        hint = "check that the file is whole: copy it again, or let DeepLabCut write it again"
        return Problem("the pose file can't be read", str(path), "DeepLabCut's .h5 or .csv", text, hint)
    levels = tuple(str(name) for name in table.columns.names)
    if not {"bodyparts", "coords"} <= set(levels):
        return Problem("not a file of DeepLabCut", str(path), not_dlc, f"columns by {', '.join(levels)}")
    keypoints = [name for name in levels if name != "coords"]
    groups: dict[Any, list[str]] = {}
    positions = [levels.index(name) for name in keypoints]
    for column in table.columns:
        groups.setdefault(tuple(column[i] for i in positions), []).append(str(column[levels.index("coords")]))
    coordinates = list(groups.values())
    index = [int(i) if hasattr(i, "__index__") else i for i in table.index]
    uniform = all(group == coordinates[0] for group in coordinates)
    animals = dict.fromkeys(table.columns.get_level_values("individuals")) if "individuals" in levels else ()
    individuals = tuple(str(name) for name in animals if name != "single")  # "single" holds unique body parts
    parts = tuple(str(name) for name in dict.fromkeys(table.columns.get_level_values("bodyparts")))
    return PoseTable(tuple(coordinates[0]), uniform, index, levels, individuals, parts)


def choose_individual(table: PoseTable, subject_name: str) -> str:
    """Return the animal to read: the only one of a file, whatever its name, or the named one."""
    return table.individuals[0] if len(table.individuals) == 1 else subject_name
