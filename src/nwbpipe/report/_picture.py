"""Pictures of arrays, as URLs that hold the picture itself."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray


def encode_picture(values: NDArray[np.number], *, low: float | None = None, high: float | None = None) -> str:
    """Return an array as a ``data:`` URL of a grey WebP picture.

    Parameters
    ----------
    values : ndarray, shape (height, width)
        Its first row is the upper edge. What is not finite is black.
    low, high : float, optional
        Values of black and white; by default the percentiles 1 and 99.7.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(scale_to_bytes(values, low, high))).save(
        buffer, "WEBP", quality=88, method=4
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def scale_to_bytes(
    values: NDArray[np.number], low: float | None = None, high: float | None = None
) -> NDArray[np.uint8]:
    """Return values as 0 (`low` and below) to 255 (`high` and above)."""
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    if not finite.size:
        return np.zeros(array.shape, dtype=np.uint8)
    black = float(np.percentile(finite, 1)) if low is None else low
    white = float(np.percentile(finite, 99.7)) if high is None else high
    if white <= black:
        black, white = float(finite.min()), float(finite.max())
    share = (array - black) / (white - black) if white > black else np.zeros(array.shape)
    return np.asarray(np.round(np.clip(np.nan_to_num(share, nan=0.0), 0.0, 1.0) * 255), dtype=np.uint8)


def outline_mask(mask: NDArray[np.bool_], left: float, top: float, scale: float) -> str:
    """Return the edges of a mask's pixels as an SVG path.

    Parameters
    ----------
    mask : ndarray, bool, shape (height, width)
    left, top : float
        Place of its corner in the drawing.
    scale : float
        Size of a pixel in the drawing.
    """
    padded = np.pad(mask, 1)
    parts: list[str] = []
    # an upright edge stands where two neighbours in a row differ; edges that follow each other are one line
    for row in range(1, padded.shape[0] - 1):
        parts += _join_edges(np.flatnonzero(padded[row, 1:] != padded[row, :-1]), row, left, top, scale)
    upright = "".join(parts)
    flat: list[str] = []
    changes = padded[1:, :] != padded[:-1, :]
    for row in range(changes.shape[0]):
        columns = np.flatnonzero(changes[row])
        for run in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1) if columns.size else ():
            start, length = left + (run[0] - 1) * scale, len(run) * scale
            flat.append(f"M{start:.1f} {top + row * scale:.1f}h{length:.1f}")
    return upright + "".join(flat)


def _join_edges(columns: NDArray[np.intp], row: int, left: float, top: float, scale: float) -> list[str]:
    return [f"M{left + column * scale:.1f} {top + (row - 1) * scale:.1f}v{scale:.1f}" for column in columns]
