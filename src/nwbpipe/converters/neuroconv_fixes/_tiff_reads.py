"""A TIFF movie stays open while it is read, and its pages are read where they belong.

roiextractors opens the file again for each part of a movie, and follows the chain of pages from the first one: the
last part of an hour's movie costs a hundred times what the first one does. Each page is decoded into an array of its
own, and copied.

Upstream: not reported as of 2026-11; seen in roiextractors 0.10.0.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np


def keep_tiff_open(interface: Any) -> None:
    """Let a movie of TIFF pages be read in time that grows with its length, and no faster."""
    extractor: Any = getattr(interface, "imaging_extractor", None)
    if extractor is None:
        return
    from roiextractors.extractors.tiffimagingextractors.multitiffmultipageextractor import MultiTIFFMultiPageExtractor

    if getattr(type(extractor), "get_series", None) is MultiTIFFMultiPageExtractor.get_series:
        extractor.get_series = PageReader(extractor).get_series


class PageReader:
    """Reads the pages of a movie, as roiextractors has found them.

    Parameters
    ----------
    extractor : roiextractors.MultiTIFFMultiPageExtractor
    """

    def __init__(self, extractor: Any) -> None:
        self._extractor = weakref.proxy(extractor)  # which holds this: a circle would keep the file open
        self._file: Any = None
        self._path: Path | None = None

    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> np.ndarray:
        """Return the samples from `start_sample` on, before `end_sample`.

        Returns
        -------
        numpy.ndarray
            Samples × rows × columns, and × planes for volumes.
        """
        extractor = self._extractor
        start = max(0, int(start_sample or 0))
        count = extractor.get_num_samples()
        stop = count if end_sample is None else min(int(end_sample), count)
        planes = extractor.get_num_planes()
        samples = np.empty((stop - start, planes, *extractor.get_frame_shape()), extractor.get_dtype())
        pages = extractor._frames_to_ifd_table[start * planes : stop * planes]
        for frame, page in zip(samples.reshape(-1, *samples.shape[2:]), pages, strict=True):
            read_page(self._open(extractor._file_paths[page["file_index"]]).pages[page["IFD_index"]], frame)
        return np.moveaxis(samples, 1, 3) if extractor.is_volumetric else samples[:, 0]

    def _open(self, path: Path) -> Any:
        """Return a file; one is open at a time."""
        if path != self._path:
            from tifffile import TiffFile

            self._close()
            self._file, self._path = TiffFile(path), path
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._path = None

    def __del__(self) -> None:
        self._close()


def read_page(page: Any, frame: np.ndarray) -> None:
    """Read a page of a TIFF file into an array, without a copy between where it has the array's type and shape."""
    if page.dtype == frame.dtype and page.shape == frame.shape:
        page.asarray(out=frame)
    else:
        frame[...] = page.asarray()
