"""Values in C order, by eight bytes at a time where that can be done."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.files import make_contiguous


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "f4", ">f4", "f8", "c16", "?"])
@pytest.mark.parametrize("shape", [(3, 16, 24), (3, 24, 16), (3, 15, 22), (0, 16, 24), (1, 1, 8), (2, 8, 1)])
def test_frames_with_rows_and_columns_exchanged(shape: tuple[int, int, int], dtype: str) -> None:
    frames = np.random.default_rng(0).integers(0, 2**7, shape).astype(dtype)
    expected = frames.transpose(0, 2, 1)
    values = make_contiguous(expected)
    assert values.flags.c_contiguous
    assert values.dtype == frames.dtype
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(960, dtype=np.int16).reshape(4, 10, 24)[::2, 1:9].transpose(0, 2, 1),
        np.arange(960, dtype=np.int16).reshape(4, 10, 24)[..., 1:17].transpose(0, 2, 1),
        np.arange(960, dtype=np.int16).reshape(4, 10, 24)[..., ::-1].transpose(0, 2, 1),
        np.arange(960, dtype=np.int16).reshape(4, 10, 24)[..., ::3].transpose(0, 2, 1),
        np.arange(960, dtype=np.int16).reshape(4, 10, 24).transpose(2, 1, 0),
        np.arange(960, dtype=np.int16).reshape(2, 2, 10, 24).transpose(0, 3, 2, 1),
        np.arange(48, dtype=np.int16).reshape(6, 8).T,
        np.arange(48, dtype=np.int16)[::2],
        np.array([["a", None]], dtype=object).T,
        np.arange(960, dtype=np.int16).reshape(4, 10, 24),
    ],
)
def test_other_layouts(values: np.ndarray) -> None:
    ordered = make_contiguous(values)
    assert ordered.flags.c_contiguous
    np.testing.assert_array_equal(ordered, values)


def test_bits_of_floats_stay() -> None:
    """Also those that are no numbers: nothing is computed with them."""
    bits = np.arange(0x7F800000, 0x7F800000 + 128, dtype=np.uint32).reshape(1, 8, 16)
    ordered = make_contiguous(bits.view(np.float32).transpose(0, 2, 1))
    np.testing.assert_array_equal(ordered.view(np.uint32), bits.transpose(0, 2, 1))
