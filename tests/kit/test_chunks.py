"""Each library that inflates chunks gives the same values, and the same errors."""

from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest

from nwbpipe_kit import chunks

VALUES = np.random.default_rng(0).integers(0, 900, (4, 64, 64)).astype(np.int16)
PIPELINE = chunks.FilterPipeline(VALUES.shape, VALUES.dtype, shuffle=False, deflate=True)
LIBRARIES = {"deflate": (), "imagecodecs": ("deflate",), "zlib": ("deflate", "imagecodecs")}


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A library that stands for the others, which are hidden."""
    if request.param != "zlib":
        pytest.importorskip(request.param)
    for hidden in LIBRARIES[request.param]:
        monkeypatch.setitem(sys.modules, hidden, None)
    monkeypatch.setattr(chunks, "_inflate", chunks.find_inflate())
    return str(request.param)


def test_the_quickest_is_chosen(library: str) -> None:
    """`find_inflate` returns a function of the first library that is there."""
    module = {"deflate": "deflate._deflate", "imagecodecs": chunks.__name__, "zlib": chunks.__name__}[library]
    function = chunks._inflate
    assert function.__module__ in (module, library)
    assert (function is chunks._inflate_by_zlib) == (library == "zlib")


def test_values(library: str) -> None:
    np.testing.assert_array_equal(PIPELINE.decode(zlib.compress(VALUES.tobytes())), VALUES)


def test_into_an_array(library: str) -> None:
    out = np.empty_like(VALUES)
    assert PIPELINE.decode(zlib.compress(VALUES.tobytes()), 0, out) is out
    np.testing.assert_array_equal(out, VALUES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-5],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),  # the sum at its end
        lambda data: data[:500] + b"damage" + data[506:],
        lambda data: b"",
        lambda data: zlib.compress(VALUES.tobytes()[:-2]),
        lambda data: zlib.compress(VALUES.tobytes() + b"xx"),
        lambda data: zlib.compress(bytes(100 * VALUES.nbytes)),
    ],
    ids=["short", "sum", "inside", "empty", "too few values", "too many values", "far too many values"],
)
def test_damage(library: str, damage: object) -> None:
    assert callable(damage)
    with pytest.raises(ValueError, match="damaged chunk"):
        PIPELINE.decode(damage(zlib.compress(VALUES.tobytes())))
