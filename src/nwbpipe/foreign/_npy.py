"""Read ``.npy`` files of strangers: arrays, and the pickled dictionaries of suite2p and Facemap.

``numpy.load(allow_pickle=True)`` runs any code that a file names. Facemap and suite2p have no other format, and their
files are shared, so their pickles are read by `read_pickle`, which builds plain values and nothing else.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nwbpipe.errors import SourceError
from nwbpipe.foreign._pickle_values import ForbiddenPickleError
from nwbpipe.foreign._pickles import read_pickle


def load_pickled_dict(path: Path) -> dict[str, Any]:
    """Read a dictionary that was saved with ``numpy.save``: Facemap's ``_proc.npy``, suite2p's ``ops.npy``.

    Parameters
    ----------
    path : Path
        An ``.npy`` file that holds one pickled dictionary of arrays, numbers, text and lists.

    Returns
    -------
    dict
        Paths in it are given as text.

    Raises
    ------
    SourceError
        It is not such a file, it is truncated, or its pickle holds more than data.
    """
    content = _load(path, dimensions=0)
    value = content.item() if isinstance(content, np.ndarray) and content.shape == () else content
    if not isinstance(value, dict):
        raise SourceError(
            "the file holds no dictionary", where=str(path), expected="a dictionary", found=type(value).__name__
        )
    return value


def load_pickled_dicts(path: Path) -> list[dict[str, Any]]:
    """Read a row of dictionaries that was saved with ``numpy.save``: suite2p's ``stat.npy``.

    Raises
    ------
    SourceError
        As `load_pickled_dict`.
    """
    content = _load(path, dimensions=1)
    items = content.tolist() if isinstance(content, np.ndarray) else content
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SourceError("the file holds other things than dictionaries", where=str(path))
    return items


def load_array(path: Path) -> np.ndarray[Any, Any]:
    """Read an array of numbers or text; the size that its header states is compared with the file's first.

    Raises
    ------
    SourceError
        It is no ``.npy`` file of numbers or text, or its size contradicts its header.
    """
    try:
        with path.open("rb") as stream:
            shape, fortran, dtype = _read_header(stream)
            if dtype.hasobject:
                raise SourceError(
                    "the file holds pickled objects, not numbers",
                    where=str(path),
                    expected="an array of numbers",
                    found=f"{dtype} array of shape {shape}",
                )
            size = os.fstat(stream.fileno()).st_size - stream.tell()
            if math.prod(shape) * dtype.itemsize > size:
                raise _damaged_error(path, f"its header states {shape} values of {dtype}; {size} bytes follow")
            values = np.fromfile(stream, dtype=dtype, count=math.prod(shape))
            return values.reshape(shape, order="F" if fortran else "C")
    except OSError as error:
        raise SourceError("the file can't be read", where=str(path), found=str(error)) from error
    except SourceError:
        raise
    except Exception as error:  # numpy's header parser raises nearly anything
        raise _damaged_error(path, f"{type(error).__name__}: {error}") from error


def read_shape(path: Path) -> tuple[int, ...] | None:
    """Return the shape of an array by its header, whatever it holds; None if the file has no such header."""
    try:
        with path.open("rb") as stream:
            return _read_header(stream)[0]
    except (OSError, ValueError):
        return None


def _read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if any(length < 0 for length in shape):
        raise ValueError(f"the header states the shape {shape}")
    return shape, fortran, dtype


def _load(path: Path, dimensions: int) -> Any:
    try:
        with path.open("rb") as stream:
            shape, _, dtype = _read_header(stream)
            if not dtype.hasobject or len(shape) != dimensions:
                raise SourceError(
                    f"the file holds an array, not {'dictionaries' if dimensions else 'a dictionary'}",
                    where=str(path),
                    expected="a row of pickled dictionaries" if dimensions else "one pickled dictionary",
                    found=f"{dtype} array of shape {shape}",
                )
            return read_pickle(stream.read())
    except OSError as error:
        raise SourceError("the file can't be read", where=str(path), found=str(error)) from error
    except ForbiddenPickleError as error:
        raise SourceError(
            "the file's pickle holds more than data; nothing of it was run",
            where=str(path),
            expected="numpy arrays, numbers, text, lists and dictionaries only",
            found=str(error),
            hint="don't open it by other means unless you know where it comes from; write it again with the tool",
        ) from error
    except SourceError:
        raise
    except Exception as error:  # numpy's header parser raises nearly anything
        raise _damaged_error(path, f"{type(error).__name__}: {error}") from error


def _damaged_error(path: Path, found: str) -> SourceError:
    return SourceError(
        "the file is damaged, truncated or not an .npy file",
        where=str(path),
        expected="an .npy file as numpy.save writes it",
        found=found,
        hint="copy it again from its origin, or run the tool again",
    )
