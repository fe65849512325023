"""Write a large array of a compute module block by block."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from hdmf.data_utils import GenericDataChunkIterator


class DatasetChunks(GenericDataChunkIterator):  # type: ignore[misc]
    """An HDF5 dataset as a source of chunks: memory does not grow with its length."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        super().__init__(buffer_gb=0.1)

    def __len__(self) -> int:  # a VectorIndex asks its column for it
        return int(self._dataset.shape[0])

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        data: np.ndarray[Any, Any] = self._dataset[selection]
        return data

    def _get_maxshape(self) -> tuple[int, ...]:
        return tuple(self._dataset.shape)

    def _get_dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._dataset.dtype
        return dtype
