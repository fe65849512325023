"""Reads a pickled ``.npy`` without running what a pickle can carry.

``numpy.load(allow_pickle=True)`` runs any code that a file names. Facemap and suite2p have no other format, and their
files are shared, so they are read by an unpickler that builds numpy arrays and Python's plain containers and refuses
all else. Nothing that it hands out can be changed: a pickle may set attributes (BUILD), and a class or a function
that is changed is changed for the whole process.
"""

from __future__ import annotations

import codecs
import datetime
import pickle
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO, ClassVar, NamedTuple

import numpy as np

from nwbpipe.errors import SourceError

_CORES = ("numpy.core", "numpy._core")  # the name differs between numpy 1 and 2


class _Function(NamedTuple):
    """Calls a function; unlike that, it has no attribute that a pickle could set."""

    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    # Pickles of protocol 2 and below write bytes as text and this call; other codecs have no business here.
    if encoding not in ("latin1", "utf-8", "ascii"):
        raise pickle.UnpicklingError(f"codec {encoding!r}")
    return codecs.encode(text, encoding)


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> Any:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _posix_path(*parts: str) -> str:
    return str(PurePosixPath(*parts))


def _windows_path(*parts: str) -> str:
    return str(PureWindowsPath(*parts))


def _allowed_globals() -> dict[tuple[str, str], Any]:
    multiarray: Any = np.zeros(0).__reduce__()[0]  # numpy's own `_reconstruct`, wherever this version keeps it
    scalar: Any = np.float64(0).__reduce__()[0]
    found: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _Function(_encode),
        ("datetime", "datetime"): datetime.datetime,
        ("pathlib", "PosixPath"): _Function(_posix_path),
        ("pathlib", "PurePosixPath"): _Function(_posix_path),
        ("pathlib", "WindowsPath"): _Function(_windows_path),
        ("pathlib", "PureWindowsPath"): _Function(_windows_path),
    }
    for core in _CORES:
        found[f"{core}.multiarray", "_reconstruct"] = _Function(multiarray)
        found[f"{core}.multiarray", "scalar"] = _Function(scalar)
        found[f"{core}.numeric", "_frombuffer"] = _Function(_frombuffer)  # protocol 5
    for kind in (
        "Bool",
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "UInt8",
        "UInt16",
        "UInt32",
        "UInt64",
        "Float32",
        "Float64",
    ):
        found["numpy.dtypes", f"{kind}DType"] = getattr(np.dtypes, f"{kind}DType")
    return found


class _Unpickler(pickle._Unpickler):
    """The unpickler in its Python form: the C form does not let BUILD be overridden."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.allowed = _allowed_globals()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self.allowed[module, name]

    def _build(self: Any) -> None:
        target = self.stack[-2]
        if not isinstance(target, np.ndarray | np.dtype):
            raise pickle.UnpicklingError("it changes the attributes of something that is not an array")
        pickle._Unpickler.dispatch[pickle.BUILD[0]](self)

    dispatch: ClassVar = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: _build}


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
        It is not such a file, it is truncated, or its pickle names anything that could run.
    """
    content = _load(path, dimensions=0)
    found = content.item() if isinstance(content, np.ndarray) and content.shape == () else content
    if not isinstance(found, dict):
        raise SourceError(
            "the file holds no dictionary", where=str(path), expected="a dictionary", found=type(found).__name__
        )
    return found


def load_pickled_dicts(path: Path) -> list[dict[str, Any]]:
    """Read a row of dictionaries that was saved with ``numpy.save``: suite2p's ``stat.npy``.

    Raises
    ------
    SourceError
        As `load_pickled_dict`.
    """
    content = _load(path, dimensions=1)
    found = content.tolist() if isinstance(content, np.ndarray) else list(content)
    if not all(isinstance(one, dict) for one in found):
        raise SourceError("the file holds other things than dictionaries", where=str(path))
    return found


def _load(path: Path, dimensions: int) -> Any:
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
            if not dtype.hasobject or len(shape) != dimensions:
                raise SourceError(
                    f"the file holds an array, not {'dictionaries' if dimensions else 'a dictionary'}",
                    where=str(path),
                    expected="a row of pickled dictionaries" if dimensions else "one pickled dictionary",
                    found=f"{dtype} array of shape {shape}",
                )
            return _Unpickler(stream).load()
    except OSError as error:
        raise SourceError("the file can't be read", where=str(path), found=str(error)) from error
    except pickle.UnpicklingError as error:
        if str(error).startswith(("it names", "it changes", "codec")):
            raise SourceError(
                "the file's pickle would run code; nothing of it was run",
                where=str(path),
                expected="numpy arrays, numbers, text, lists and dictionaries only",
                found=str(error),
                hint="don't open it by other means unless you know where it comes from; write it again with the tool",
            ) from error
        raise _damaged_error(path, error) from error
    except SourceError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise _damaged_error(path, error) from error


def _damaged_error(path: Path, error: Exception) -> SourceError:
    return SourceError(
        "the file is damaged, truncated or no .npy file",
        where=str(path),
        expected="an .npy file with one pickled dictionary",
        found=f"{type(error).__name__}: {error}",
        hint="copy it again from its origin, or run the tool again",
    )
