"""Canonical JSON: a value has exactly one text, and so one hash."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np

from nwbpipe.errors import ParameterError

_RUN_KEY_FORMAT = 1


def canonical_json(obj: Any) -> str:
    """Return the canonical JSON text of a value.

    Keys sorted, no white space, ASCII only; floats as `repr` gives them (so ``1.0`` is not ``1``), integers
    and booleans as they are. Text is not normalised: "é" in one code point and in two differ.

    Parameters
    ----------
    obj : object
        None, bool, int, float, str, mappings with text keys, lists, tuples; enumerations give their value,
        paths their POSIX text, numpy scalars and arrays the Python values.

    Returns
    -------
    str

    Raises
    ------
    ParameterError
        NaN or infinity (JSON has none), a key that is not text, or another type. `where` is the path in `obj`.
    """
    return json.dumps(_to_plain(obj, "$"), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _to_plain(obj: Any, position: str) -> Any:
    """Reduce a value to types that the json module writes in one way only."""
    if type(obj) in (str, int, bool):  # nearly all, and what follows takes ten times as long
        return obj
    if isinstance(obj, Enum):
        return _to_plain(obj.value, position)
    if isinstance(obj, np.ndarray):
        return _to_plain(obj.tolist(), position)
    if isinstance(obj, np.generic):
        value = obj.item()
        if isinstance(value, np.generic):  # long double has no Python value
            raise _make_error(value, position)
        return _to_plain(value, position)
    if obj is None or isinstance(obj, bool):
        return obj
    # Subclasses may bring their own repr: reduce them to the plain type.
    if isinstance(obj, int):
        return int(obj)
    if isinstance(obj, str):
        return str.__str__(obj)
    if isinstance(obj, float):
        if not math.isfinite(obj):
            raise ParameterError(
                "a value is not a finite number",
                where=position,
                expected="a finite number, or null for 'none'",
                found=repr(obj),
            )
        return float(obj)
    if isinstance(obj, PurePath):
        return obj.as_posix()
    if isinstance(obj, Mapping):
        plain: dict[str, Any] = {}
        for key, value in obj.items():
            text = key.value if isinstance(key, Enum) else key
            if not isinstance(text, str):
                raise ParameterError("a key is not text", where=position, expected="text", found=repr(key))
            if text in plain:
                raise ParameterError("two keys have the same text", where=position, found=repr(text))
            plain[str.__str__(text)] = _to_plain(value, f"{position}.{text}")
        return plain
    if isinstance(obj, list | tuple):
        return [_to_plain(value, f"{position}[{index}]") for index, value in enumerate(obj)]
    raise _make_error(obj, position)


def _make_error(obj: Any, position: str) -> ParameterError:
    return ParameterError(
        "a value has no canonical JSON",
        where=position,
        expected="null, true/false, a number, text, a list or a mapping",
        found=f"{type(obj).__module__}.{type(obj).__qualname__}: {obj!r:.80}",
    )


def digest(data: str | bytes) -> str:
    """Return the SHA-256 of text (as UTF-8) or bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def parameters_hash(params: Mapping[str, Any]) -> str:
    """Return the hash of a parameter set: the SHA-256 of its canonical JSON."""
    return digest(canonical_json(params))


def run_key(
    processor: str,
    revision: int,
    params: Mapping[str, Any],
    seed: int | None,
    inputs: Mapping[str, Sequence[str] | str],
) -> str:
    """Return the key of a run: the hash of everything that decides its result.

    It is the SHA-256 of one canonical JSON document: names and values are never joined, so that two different
    sets of parts can't give the same text.

    Parameters
    ----------
    processor : str
        Name of the processor.
    revision : int
        Revision of its method.
    params : mapping
        Its parameters, defaults filled in.
    seed : int or None
        Seed of the run.
    inputs : mapping
        Name of each binding → identity of the bound object, or the identities of several in order. One
        identity and a list of one are the same.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return digest(
        canonical_json(
            {
                "format": _RUN_KEY_FORMAT,
                "processor": processor,
                "revision": revision,
                "parameters": params,
                "seed": seed,
                "inputs": {
                    name: [value] if isinstance(value, str) else list(value) for name, value in inputs.items()
                },
            }
        )
    )
