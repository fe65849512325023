"""Movies in HDF5 files of any order of axes; NeuroConv's interface takes the first channel of one order alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from neuroconv.datainterfaces import Hdf5ImagingInterface as _NeuroConvInterface
from pydantic import FilePath

from nwbpipe.converters.accounts._hdf5_movie import read_layout
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.errors import SourceError


def _extractor_class() -> type[Any]:
    from roiextractors.imagingextractor import ImagingExtractor

    class Extractor(ImagingExtractor):  # type: ignore[misc]  # roiextractors is untyped
        """Reads frames of a dataset, of one channel."""

        def __init__(
            self,
            file_path: Path,
            mov_field: str,
            sampling_frequency: float | None = None,
            axes: str | None = None,
            channel_index: int | None = None,
            plane_index: int | None = None,
        ) -> None:
            import h5py

            super().__init__()
            self._layout = read_layout(Path(file_path), mov_field, axes)
            rate = sampling_frequency or self._layout.rate
            if rate is None:
                raise SourceError(
                    "the movie does not say its frame rate",
                    where=f"{file_path}: {mov_field}",
                    expected="the attribute `fr` of the dataset, or the argument sampling_frequency",
                    hint="add sampling_frequency (Hz) to args",
                )
            self._rate, self._channel, self._plane = float(rate), channel_index or 0, plane_index
            self.is_volumetric = self._layout.size("Z") > 1 and plane_index is None
            self._file = h5py.File(file_path, "r")
            self._dataset = self._file[mov_field]

        def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> npt.NDArray[Any]:
            chosen = {"T": slice(start_sample, end_sample), "C": self._channel}
            if not self.is_volumetric:
                chosen["Z"] = self._plane or 0
            data = self._dataset[tuple(chosen.get(axis, slice(None)) for axis in self._layout.axes)]
            axes = [axis for axis in self._layout.axes if not isinstance(chosen.get(axis), int)]
            return np.asarray(data).transpose([axes.index(axis) for axis in "TYXZ" if axis in axes])

        def get_image_shape(self) -> tuple[int, int]:
            return self._layout.size("Y"), self._layout.size("X")

        def get_num_samples(self) -> int:
            return self._layout.size("T")

        def get_num_planes(self) -> int:
            return self._layout.size("Z") if self.is_volumetric else 1

        def get_sampling_frequency(self) -> float:
            return self._rate

        def get_dtype(self) -> Any:
            return self._dataset.dtype

        def get_native_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> None:
            return None

    return Extractor


@interface(extra="imaging")
class Hdf5ImagingInterface(_NeuroConvInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """A movie in an HDF5 file; it stands in the place of NeuroConv's.

    roiextractors 0.10.0 takes the first of four axes for channels and reads channel 0, whatever the others hold; it
    fails on three axes. Upstream: neither reported as of 2026-11.

    Parameters
    ----------
    file_path : Path
        The HDF5 file.
    mov_field : str
        Path of the dataset in the file.
    sampling_frequency : float, optional
        Frames, or volumes, in a second (Hz); without it, the attribute ``fr`` of the dataset.
    axes : str, optional
        A letter for each axis of the dataset, that which changes slowest first: T (time), C (channel), Z (plane),
        Y (row), X (column). ``CTYX`` for four axes, if it is not given.
    channel_index : int, optional
        Needed where the dataset holds several channels: the channel to take, from 0.
    plane_index : int, optional
        Of volumes: the plane to take, from 0.
    verbose : bool
        Not used.
    metadata_key : str, optional
        Name of what is written.
    """

    @classmethod
    def get_extractor_class(cls) -> type[Any]:
        """Return the reader of a movie."""
        return _extractor_class()

    def __init__(
        self,
        file_path: FilePath,
        *,
        mov_field: str = "mov",
        sampling_frequency: float | None = None,
        axes: str | None = None,
        channel_index: int | None = None,
        plane_index: int | None = None,
        verbose: bool = False,
        metadata_key: str | None = None,
    ) -> None:
        # NeuroConv's own constructor knows neither axes nor channels.
        super(_NeuroConvInterface, self).__init__(
            file_path=file_path,
            mov_field=mov_field,
            sampling_frequency=sampling_frequency,
            axes=axes,
            channel_index=channel_index,
            plane_index=plane_index,
            verbose=verbose,
            metadata_key=metadata_key or "hdf5_imaging",
        )
