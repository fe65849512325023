"""Bruker's movies by NeuroConv's reader, which fails on unfinished volumes and mixes up planes scanned in reverse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from neuroconv.datainterfaces import BrukerTiffImagingInterface as _NeuroConvInterface
from pydantic import DirectoryPath

from nwbpipe.converters.accounts._bruker import VOLUMES, read_sequences, read_times
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.neuroconv_fixes._tiff_pages import drop_pages_after


def _extractor_class() -> type[Any]:
    from roiextractors import BrukerTiffImagingExtractor

    class Extractor(BrukerTiffImagingExtractor):  # type: ignore[misc]  # roiextractors is untyped
        """Leaves out a volume that was not finished, and puts planes that were scanned back in their order."""

        _frames_to_ifd_table: Any

        def __init__(self, folder_path: Path, channel_name: str | None = None) -> None:
            self._sequences = read_sequences(Path(folder_path) / f"{Path(folder_path).name}.xml")
            super().__init__(folder_path=folder_path, channel_name=channel_name)
            first = self._sequences[0]
            if first.kind == VOLUMES and first.is_bidirectional:
                table = self._frames_to_ifd_table.reshape(self._num_samples, self._num_planes).copy()
                table[1::2] = table[1::2, ::-1]
                self._frames_to_ifd_table = table.ravel()

        def get_native_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> Any:
            times = read_times(self._sequences)
            times = times[: len(times) // self._num_planes * self._num_planes : self._num_planes]
            if not hasattr(self, "_frames_to_ifd_table") and len(times) > 1:
                # While it is built, for a rate: roiextractors finds none if the times differ by a microsecond.
                times = np.arange(len(times)) * np.median(np.diff(times))
            return times[start_sample:end_sample]

        def set_times(self, times: Any) -> None:
            # Called at the end of the construction, with a time for each volume that was finished.
            drop_pages_after(self, self._get_ifds_per_file())
            super().set_times(self.get_native_timestamps())

    return Extractor


@interface(extra="imaging")
class BrukerTiffImagingInterface(_NeuroConvInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """A movie of Bruker's Prairie View; it stands in the place of NeuroConv's.

    Prairie View scans every second volume from the last plane to the first, if it is told to (``bidirectionalZ``).
    roiextractors 0.10.0 takes the frames of such a volume for planes in the usual order, and fails on a recording
    that was stopped within a volume. NeuroConv 0.10.2 gives the size of pixels and of the field of view with y before
    x, and the latter with rows and columns in each other's place. Upstream: none reported as of 2026-11.

    Parameters
    ----------
    folder_path : Path
        Folder of the ``.ome.tif`` files and the ``.xml`` file of the same name as the folder.
    channel_name : str, optional
        Needed where several were recorded: ``Ch2``.
    plane_index : int, optional
        Of volumes: the plane to take.
    metadata_key : str, optional
        Name of what is written.
    verbose : bool
        Not used.
    """

    @classmethod
    def get_extractor_class(cls) -> type[Any]:
        """Return the reader of a recording."""
        return _extractor_class()

    def __init__(
        self,
        folder_path: DirectoryPath,
        *,
        channel_name: str | None = None,
        plane_index: int | None = None,
        metadata_key: str | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            folder_path=folder_path,
            channel_name=channel_name,
            plane_index=plane_index,
            metadata_key=metadata_key,
            verbose=verbose,
        )

    def _extract_spatial_metadata(self, frame_shape: tuple[int, int], is_volumetric: bool) -> tuple[Any, Any, Any]:
        """Give the size of a pixel, the origin and the field of view in NWB's order: x, y and z."""
        spacing, origin, field = super()._extract_spatial_metadata(
            frame_shape=frame_shape, is_volumetric=is_volumetric
        )
        (size_y, size_x), (rows, columns) = spacing[:2], frame_shape
        field = (size_x * columns, size_y * rows, *field[2:])
        return (size_x, size_y, *spacing[2:]), (origin[1], origin[0], *origin[2:]), field
