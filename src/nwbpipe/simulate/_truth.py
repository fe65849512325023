"""Save the truth of a stream as a .npz file, and load it into the stream's class."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
#: Key suffix of the lengths of a tuple of arrays, which is stored concatenated.
_LENGTHS = "__lengths"


def save_truth(path: Path, truth: Any) -> None:
    """Write a truth dataclass: arrays, numbers, tuples of text and tuples of arrays."""
    arrays: dict[str, NDArray[Any]] = {}
    for field in fields(truth):
        value = getattr(truth, field.name)
        if isinstance(value, tuple) and all(isinstance(item, np.ndarray) for item in value):
            arrays[field.name] = np.concatenate(value)
            arrays[field.name + _LENGTHS] = np.array([len(item) for item in value])
        else:
            arrays[field.name] = np.asarray(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_truth(path: Path, kind: type[T]) -> T:
    """Read a truth dataclass that :func:`save_truth` wrote."""
    values: dict[str, Any] = {}
    with np.load(path, allow_pickle=False) as file:
        for field in fields(kind):  # type: ignore[arg-type]
            array = file[field.name]
            if field.name + _LENGTHS in file:
                ends = np.cumsum(file[field.name + _LENGTHS])
                values[field.name] = tuple(np.split(array, ends[:-1]))
            elif array.ndim == 0:
                values[field.name] = array.item()
            elif array.dtype.kind == "U":
                values[field.name] = tuple(str(item) for item in array)
            else:
                values[field.name] = array
    return kind(**values)
