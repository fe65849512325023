"""Encode values as bytes and hash them.

The hash is a Merkle tree of SHA-256. Values are a stream of bytes in C order, cut into fixed logical blocks, so
that the digest does not depend on chunks, filters, storage layout or byte order. Every node begins with a tag, and
every part is preceded by its length: two different trees never give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import InputError

FORMAT = "nwbpipe-identity-1"
BLOCK_BYTES = 16 * 2**20
_PIECE = 2**20  # elements encoded at a time

Resolve = Callable[[Any], bytes]
"""Returns the digest of the target of an object or region reference."""


def hash_node(tag: str, *parts: bytes | str | int) -> bytes:
    """Return the digest of a node: its tag and parts, each preceded by its length."""
    sha = hashlib.sha256()
    for part in (FORMAT, tag, *parts):
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.digest()


class BlockHasher:
    """Hash a stream of bytes in blocks of `BLOCK_BYTES`, regardless of the pieces it arrives in."""

    def __init__(self) -> None:
        self._leaves: list[bytes] = []
        self._sha = hashlib.sha256()
        self._filled = 0
        self._size = 0

    def update(self, data: bytes | np.ndarray) -> None:
        """Add the next bytes, or the bytes of a C-contiguous array."""
        if isinstance(data, np.ndarray):
            if not data.size:
                return
            view = data.reshape(-1).view(np.uint8).data
        else:
            view = memoryview(data)
        self._size += view.nbytes
        while view.nbytes:
            part = view[: BLOCK_BYTES - self._filled]
            self._sha.update(part)
            self._filled += part.nbytes
            view = view[part.nbytes :]
            if self._filled == BLOCK_BYTES:
                self._close()

    def _close(self) -> None:
        self._leaves.append(self._sha.digest())
        self._sha = hashlib.sha256()
        self._filled = 0

    def digest(self) -> bytes:
        """Return the digest of the whole stream."""
        if self._filled:
            self._close()
        return hash_node("blocks", self._size, *self._leaves)


def format_type(dtype: np.dtype[Any]) -> str:
    """Return the canonical name of a type, which does not depend on byte order or padding.

    Text is one type: of fixed or variable length, ASCII or UTF-8.
    """
    if h5py.check_ref_dtype(dtype) is not None:
        return "region reference" if h5py.check_ref_dtype(dtype) is h5py.RegionReference else "reference"
    if dtype.kind in "SU" or h5py.check_string_dtype(dtype) is not None:
        return "text"
    if (base := h5py.check_vlen_dtype(dtype)) is not None:
        return f"vlen<{format_type(np.dtype(base))}>"
    if dtype.subdtype is not None:
        return f"{list(dtype.subdtype[1])}{format_type(dtype.subdtype[0])}"
    if dtype.names is not None and dtype.fields is not None:
        fields = dtype.fields
        return json.dumps({"compound": [[name, format_type(fields[name][0])] for name in dtype.names]})
    if dtype.kind == "b":
        return "bool"
    if (members := h5py.check_enum_dtype(dtype)) is not None:
        values = sorted((int(value), name) for name, value in members.items())
        return json.dumps({"enum": values, "base": f"{dtype.kind}{dtype.itemsize}"})
    if dtype.kind in "iufcV":
        return f"{dtype.kind}{dtype.itemsize}"
    if dtype.kind in "mM":
        return dtype.newbyteorder("<").str
    raise InputError("the identity of values of this type is not defined", found=str(dtype))


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Return True if an element's bytes are its value: it holds no text, reference or variable length."""
    if dtype.hasobject or dtype.kind in "SU":
        return False
    if dtype.subdtype is not None:
        return is_plain(dtype.subdtype[0])
    if dtype.fields is not None:
        return all(is_plain(field[0]) for field in dtype.fields.values())
    return True


def _pack_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the little-endian type without padding."""
    if dtype.subdtype is not None:
        return np.dtype((_pack_dtype(dtype.subdtype[0]), dtype.subdtype[1]))
    if dtype.names is not None and dtype.fields is not None:
        fields = dtype.fields
        return np.dtype([(name, _pack_dtype(fields[name][0])) for name in dtype.names])
    return dtype.newbyteorder("<")


def _encode_plain(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    packed = np.ascontiguousarray(values, dtype=_pack_dtype(dtype))
    if dtype.kind == "f" and dtype.itemsize == 16 and np.finfo(dtype).nmant == 63:
        packed = packed.copy()  # x87: 6 of the 16 bytes are padding of any content
        packed.reshape(-1).view(np.uint8).reshape(-1, 16)[:, 10:] = 0
    return packed


def _encode_text(value: Any, strip: bytes) -> bytes:
    if value is None:
        data = b""
    else:
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
    data = data.split(b"\0", 1)[0].rstrip(strip)  # HDF5 text ends at its first null
    return len(data).to_bytes(8, "little") + data


def _make_encoder(dtype: np.dtype[Any], resolve: Resolve, strip: bytes) -> Callable[[Any], bytes]:
    """Return a function that encodes one element."""
    if h5py.check_ref_dtype(dtype) is not None:
        return lambda value: resolve(value) if value else bytes(32)
    if dtype.kind in "SU" or h5py.check_string_dtype(dtype) is not None:
        return lambda value: _encode_text(value, strip)
    if (base := h5py.check_vlen_dtype(dtype)) is not None:
        inner = np.dtype(base)

        def encode_vlen(value: Any) -> bytes:
            items = np.asarray(() if value is None else value, dtype=inner)
            return len(items).to_bytes(8, "little") + b"".join(encode(items, inner, resolve, strip))

        return encode_vlen
    if dtype.subdtype is not None:
        encode_item = _make_encoder(dtype.subdtype[0], resolve, strip)
        return lambda value: b"".join(encode_item(item) for item in np.asarray(value).flat)
    if dtype.names is not None and dtype.fields is not None:
        parts = [(name, _make_encoder(dtype.fields[name][0], resolve, strip)) for name in dtype.names]
        return lambda value: b"".join(encode_item(value[name]) for name, encode_item in parts)
    return lambda value: _encode_plain(np.asarray(value, dtype=dtype), dtype).tobytes()


def encode(values: Any, dtype: np.dtype[Any], resolve: Resolve, strip: bytes = b"") -> Iterable[Any]:
    """Yield the bytes of values in C order, piece by piece.

    Parameters
    ----------
    values : array or scalar
        As h5py reads them.
    dtype : numpy.dtype
        Their type, with h5py's metadata.
    resolve : callable
        Returns the digest of a reference's target.
    strip : bytes
        Padding to strip from the end of text.

    Yields
    ------
    bytes or numpy.ndarray
    """
    plain = is_plain(dtype)
    if not isinstance(values, np.ndarray) or (
        dtype.hasobject and values.dtype != object and values.dtype.fields is None
    ):
        # One element; where the type says "object", numpy must not look into it.
        yield _make_encoder(dtype, resolve, strip)(values)
        return
    flat = values.reshape(-1)
    if plain and dtype.subdtype is not None:
        dtype = dtype.subdtype[0]
    encode_item = None if plain else _make_encoder(dtype, resolve, strip)
    for start in range(0, len(flat), _PIECE):
        piece = flat[start : start + _PIECE]
        if encode_item is None:
            yield _encode_plain(piece, dtype)
        else:
            yield b"".join(map(encode_item, piece.tolist() if piece.dtype.kind == "S" else piece))
