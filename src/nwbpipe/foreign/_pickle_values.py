"""Plain values that a pickle describes: arrays from their bytes, times, texts, containers; nothing is called."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

#: Values that a pickle may hold, each shared one counted wherever it stands; four times its bytes where that is more.
MAX_VALUES = 10**6
MAX_DEPTH = 64
# kind and size in bytes of the numbers that an array may hold
_NUMBERS = frozenset(
    {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "f16", "c8", "c16", "c32"}
)
_TEXTS = {"U": 4, "S": 1}  # bytes per character
_MAX_CHARACTERS = 2**20
_CORES = ("numpy.core", "numpy._core")  # the name differs between numpy 1 and 2
_NUMPY_NUMBERS = (
    *("Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
    *("Float16", "Float32", "Float64", "Complex64", "Complex128"),
)


class ForbiddenPickleError(Exception):
    """The pickle wants more than data: it would call, import or forge something."""


class DamagedPickleError(Exception):
    """The pickle is truncated, or its opcodes make no sense."""


class Name(NamedTuple):
    """Global name in a pickle: a module and an attribute. Never looked up."""

    module: str
    attribute: str


class Slot:
    """An array or a dtype whose state (BUILD) comes later; `value` is the finished one."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind = kind
        self.value = value


MARK = object()


def check_key(key: Any) -> Any:
    """Return a dictionary's key; tuples within tuples could take for ever to hash."""
    flat = key if isinstance(key, tuple) else (key,)
    if not all(item is None or isinstance(item, str | bytes | int | float) for item in flat):
        raise ForbiddenPickleError("a dictionary has a key that is neither text nor a number")
    return key


# Values that a pickle describes by a call --------------------------------------------------------------------


def build_value(called: Any, arguments: Any) -> Any:
    if not isinstance(called, Name) or not isinstance(arguments, tuple):
        raise ForbiddenPickleError("it calls something that it made itself")
    build = _BUILDERS.get(called)
    if build is None:
        raise ForbiddenPickleError(f"it names {called.module}.{called.attribute}")
    return build(*arguments)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    # Pickles of protocol 2 and below write bytes as text and this call.
    if encoding not in ("latin1", "utf-8", "ascii") or not isinstance(text, str):
        raise ForbiddenPickleError(f"it uses the codec {encoding!r}")
    return text.encode(encoding)


def _make_datetime(*arguments: Any) -> datetime.datetime:
    first = arguments[0] if arguments else None
    if isinstance(first, str):  # protocol 2 and below, as Python 3 reads it
        first = first.encode("latin1")
    if isinstance(first, bytes):
        if len(arguments) != 1 or len(first) != 10:
            raise ForbiddenPickleError("a time with a zone of its own")
        year, month, day, hour, minute, second, *micro = first[0] * 256 + first[1], *first[2:]
        return datetime.datetime(year, month & 0x7F, day, hour, minute, second, int.from_bytes(bytes(micro), "big"))
    if not all(isinstance(item, int) for item in arguments):
        raise ForbiddenPickleError("a time that is not made of numbers")
    return datetime.datetime(*arguments)


def _start_array(kind: Any, *_: Any) -> Slot:
    if kind != Name("numpy", "ndarray"):
        raise ForbiddenPickleError(f"an array of the class {kind}")
    return Slot("array")


def _start_dtype(code: Any, *_: Any) -> Slot:
    if isinstance(code, Name):
        raise ForbiddenPickleError(f"a dtype made from {code.module}.{code.attribute}")
    if isinstance(code, bytes):
        code = code.decode("latin1")
    if not isinstance(code, str):
        raise ForbiddenPickleError("a dtype that is not named by text")
    return Slot("dtype", _parse_dtype(code))


def _parse_dtype(code: str) -> str | np.dtype[Any]:
    """Return the dtype of a short code such as ``f8``; "O" stands for objects, "V" waits for its fields."""
    order, plain = (code[0], code[1:]) if code[:1] in "<>=|" else ("=", code)
    if plain in ("O", "O8", "O4"):
        return "O"
    if plain == "?":
        plain = "b1"
    if plain in _NUMBERS:
        return np.dtype(order + plain)
    kind, size = plain[:1], plain[1:]
    if kind in (*_TEXTS, "V") and size.isdecimal() and int(size) <= _MAX_CHARACTERS:
        return f"V{int(size)}" if kind == "V" else np.dtype(f"{order}{kind}{int(size)}")
    raise ForbiddenPickleError(f"it holds an array of the type {code[:40]!r}")


def set_dtype_state(slot: Slot, state: tuple[Any, ...]) -> None:
    """Take the byte order, and the fields of a row, out of a dtype's state; nothing else of it is believed."""
    order, sub, names, fields, size = state[1], state[2], state[3], state[4], state[5]
    if order not in ("<", ">", "=", "|") or sub is not None:
        raise ForbiddenPickleError("a dtype of an unknown form")
    if isinstance(slot.value, np.dtype) and names is None:
        slot.value = slot.value.newbyteorder(order if order in "<>" else "|")
    elif isinstance(slot.value, str) and slot.value.startswith("V") and isinstance(names, tuple):
        columns = []
        for name in names:
            dtype, offset = fields[name][:2]
            column = dtype.value if isinstance(dtype, Slot) else None
            if not isinstance(name, str) or not isinstance(column, np.dtype) or not isinstance(offset, int):
                raise ForbiddenPickleError("a column of a table is neither numbers nor text")
            columns.append((name, column, offset))
        if not isinstance(size, int) or size != int(slot.value[1:]):
            raise ForbiddenPickleError("the size of a table's row contradicts itself")
        if any(offset < 0 or offset + column.itemsize > size for _, column, offset in columns):
            raise ForbiddenPickleError("a column of a table lies outside of its row")
        slot.value = np.dtype(
            {
                "names": [name for name, _, _ in columns],
                "formats": [column for _, column, _ in columns],
                "offsets": [offset for _, _, offset in columns],
                "itemsize": size,
            }
        )
    elif slot.value != "O" or names is not None:
        raise ForbiddenPickleError("a dtype of an unknown form")


def make_array(content: Any, dtype: Any, shape: Any, order: str) -> Any:
    kind = dtype.value if isinstance(dtype, Slot) and dtype.kind == "dtype" else None
    if not isinstance(shape, tuple) or not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ForbiddenPickleError("an array without a shape")
    size = math.prod(shape)
    if kind == "O":
        if not isinstance(content, list) or len(content) != size:
            raise ForbiddenPickleError("an array of objects that does not hold its objects")
        array = np.empty(size, dtype=object)
        array[:] = content if size != 1 else [content[0]]
        for number, item in enumerate(content):  # a list of equal lists would be taken for a table
            array[number] = item
        return array.reshape(shape, order="F" if order == "F" else "C")
    if isinstance(content, str):
        content = content.encode("latin1")
    if not isinstance(kind, np.dtype) or not isinstance(content, bytes) or len(content) != size * kind.itemsize:
        raise ForbiddenPickleError("an array whose bytes are not those of its shape and type")
    return _copy_values(content, kind).reshape(shape, order="F" if order == "F" else "C")


def _copy_values(content: bytes, dtype: np.dtype[Any]) -> Any:
    if dtype.itemsize == 0:
        return np.zeros(0, dtype)
    values = np.frombuffer(content, dtype=dtype).copy()
    for part in [values[name] for name in dtype.names] if dtype.names else [values]:
        if part.dtype.kind == "b":
            part[...] = part.view(np.uint8) != 0  # any other byte is no truth value
        elif part.dtype.kind == "U" and part.size:
            points = np.ascontiguousarray(part).view(part.dtype.byteorder.replace("|", "=") + "u4")
            if points.max(initial=0) > 0x10FFFF:
                raise ForbiddenPickleError("text of characters that do not exist")
    return values


def _make_scalar(dtype: Any, content: Any = b"") -> Any:
    return make_array(content, dtype, (1,), "C")[0]


def _make_from_buffer(content: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> Any:
    return make_array(content, dtype, shape, str(order))


def _join_posix(*parts: str) -> str:
    return str(PurePosixPath(*map(str, parts)))


def _join_windows(*parts: str) -> str:
    return str(PureWindowsPath(*map(str, parts)))


def _make_dict(*items: Any) -> dict[Any, Any]:
    if items:
        raise ForbiddenPickleError("a dictionary made from something else")
    return {}


_BUILDERS: dict[Name, Callable[..., Any]] = {
    Name("numpy", "dtype"): _start_dtype,
    Name("_codecs", "encode"): _encode,
    Name("datetime", "datetime"): _make_datetime,
    Name("collections", "OrderedDict"): _make_dict,
    Name("hdmf_zarr.utils", "ZarrReference"): _make_dict,
    Name("__builtin__", "bytes"): lambda: b"",  # how protocols below 3 write empty bytes
    Name("builtins", "bytes"): lambda: b"",
    Name("builtins", "complex"): lambda real, imaginary: complex(float(real), float(imaginary)),
    Name("__builtin__", "complex"): lambda real, imaginary: complex(float(real), float(imaginary)),
    **{Name(f"{core}.multiarray", "_reconstruct"): _start_array for core in _CORES},
    **{Name(f"{core}.multiarray", "scalar"): _make_scalar for core in _CORES},
    **{Name(f"{core}.numeric", "_frombuffer"): _make_from_buffer for core in _CORES},
    **{
        Name(module, name): _join_posix
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "PurePosixPath")
    },
    **{
        Name(module, name): _join_windows
        for module in ("pathlib", "pathlib._local")
        for name in ("WindowsPath", "PureWindowsPath")
    },
}
_CLASSES = {Name("numpy.dtypes", f"{kind}DType"): kind.lower() for kind in _NUMPY_NUMBERS}


class Finisher:
    """Put finished arrays in place of their slots, and count what is shared wherever it stands."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._done: dict[int, tuple[Any, Any, int]] = {}  # the value itself is kept, so that its id stays its own
        self._open: set[int] = set()

    def finish(self, value: Any) -> Any:
        """Return the value with its arrays."""
        return self._finish(value, 0)[0]

    def _finish(self, value: Any, depth: int) -> tuple[Any, int]:
        if depth > MAX_DEPTH:
            raise ForbiddenPickleError(f"values lie more than {MAX_DEPTH} deep in each other")
        if isinstance(value, Name):
            if value not in _CLASSES:
                raise ForbiddenPickleError(f"it names {value.module}.{value.attribute}")
            return _CLASSES[value], 1
        if value is MARK:
            raise DamagedPickleError("a value is not finished")
        if isinstance(value, Slot):
            if value.value is None or isinstance(value.value, str):
                raise DamagedPickleError("an array is not finished")
            value = str(value.value) if value.kind == "dtype" else value.value
        container = isinstance(value, list | tuple | dict | set | frozenset) or (
            isinstance(value, np.ndarray) and value.dtype.hasobject
        )
        if not container:
            return value, value.size if isinstance(value, np.ndarray) else 1
        if id(value) in self._done:
            _, finished, count = self._done[id(value)]
            return finished, count
        if id(value) in self._open:
            raise ForbiddenPickleError("a value lies in itself")
        self._open.add(id(value))
        finished, count = self._finish_container(value, depth + 1)
        self._open.discard(id(value))
        if count > self._limit:
            raise ForbiddenPickleError(f"it holds more than {self._limit} values")
        self._done[id(value)] = (value, finished, count)
        return finished, count

    def _finish_container(self, value: Any, depth: int) -> tuple[Any, int]:
        items = value.values() if isinstance(value, dict) else value
        if isinstance(value, np.ndarray):
            items = value.ravel()
        pairs = [self._finish(item, depth) for item in items]
        finished = [item for item, _ in pairs]
        count = 1 + sum(number for _, number in pairs)
        if isinstance(value, dict):
            return dict(zip(value, finished, strict=True)), count
        if isinstance(value, np.ndarray):
            array = np.empty(len(finished), dtype=object)
            for number, item in enumerate(finished):
                array[number] = item
            return array.reshape(value.shape), count
        return type(value)(finished), count
