"""Scanbox: an interface of our own, with the planes, channels and rate that NeuroConv's lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from neuroconv.datainterfaces import SbxImagingInterface as _NeuroConvInterface
from pydantic import FilePath

from nwbpipe.converters.accounts._scanbox import read_layout
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.errors import SourceError


def _extractor_class() -> type[Any]:
    from roiextractors.imagingextractor import ImagingExtractor

    class Extractor(ImagingExtractor):  # type: ignore[misc]  # roiextractors is untyped
        """Reads a channel of a Scanbox recording, picture by picture."""

        def __init__(
            self,
            file_path: Path,
            sampling_frequency: float | None = None,
            channel_name: str | None = None,
            plane_index: int | None = None,
        ) -> None:
            super().__init__()
            self._layout = layout = read_layout(Path(file_path))
            rate = layout.frame_rate if sampling_frequency is None else float(sampling_frequency) * layout.planes
            if rate is None:
                raise SourceError(
                    "the recording does not say its frame rate",
                    where=str(layout.path.with_suffix(".mat")),
                    hint="add sampling_frequency (Hz, of volumes) to args",
                )
            if plane_index is not None and not 0 <= plane_index < layout.planes:
                planes = f"0 to {layout.planes - 1}"
                raise SourceError(
                    "there is no such plane", where=str(layout.path), expected=planes, found=str(plane_index)
                )
            self._rate = rate / layout.planes
            self._channel = layout.channels.index(channel_name) if channel_name in layout.channels else 0
            self._plane = plane_index
            self.is_volumetric = layout.planes > 1 and plane_index is None
            shape = (layout.pages, layout.rows, layout.columns, len(layout.channels))
            self._pictures = np.memmap(layout.path, dtype="<u2", mode="r", shape=shape)

        def get_series(
            self, start_sample: int | None = None, end_sample: int | None = None
        ) -> npt.NDArray[np.uint16]:
            first, stop, _ = slice(start_sample, end_sample).indices(self._layout.samples)
            planes = self._layout.planes
            part = self._pictures[first * planes : stop * planes, :, :, self._channel]
            volumes = part.reshape(stop - first, planes, *part.shape[1:])
            counts: npt.NDArray[np.uint16] = np.iinfo(np.uint16).max - np.moveaxis(volumes, 1, -1)
            return counts if self.is_volumetric else counts[..., self._plane or 0]

        def get_image_shape(self) -> tuple[int, int]:
            return self._layout.rows, self._layout.columns

        def get_num_samples(self) -> int:
            return self._layout.samples

        def get_num_planes(self) -> int:
            return self._layout.planes if self.is_volumetric else 1

        def get_sampling_frequency(self) -> float:
            return self._rate

        def get_dtype(self) -> Any:
            return np.dtype(np.uint16)

        def get_native_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> None:
            return None

    return Extractor


@interface(extra="imaging")
class SbxImagingInterface(_NeuroConvInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """A movie of Scanbox; it stands in the place of NeuroConv's.

    roiextractors 0.10.0 cuts the frame rate to whole Hz (15.49 to 15), reads the first plane of a volume alone, and
    can't read two channels. Upstream: none reported as of 2026-11.

    Parameters
    ----------
    file_path : Path
        The .sbx or the .mat file; the other lies beside it.
    sampling_frequency : float, optional
        Frames, or volumes, in a second (Hz), where the .mat file does not say it.
    channel_name : str, optional
        Needed where both were recorded: ``green`` (PMT 0) or ``red`` (PMT 1).
    plane_index : int, optional
        Of volumes: the plane to take.
    verbose : bool
        Not used.
    metadata_key : str, optional
        Name of what is written.
    """

    @classmethod
    def get_extractor_class(cls) -> type[Any]:
        """Return the reader of a recording."""
        return _extractor_class()

    def __init__(
        self,
        file_path: FilePath,
        *,
        sampling_frequency: float | None = None,
        channel_name: str | None = None,
        plane_index: int | None = None,
        verbose: bool = False,
        metadata_key: str | None = None,
    ) -> None:
        # NeuroConv's own constructor knows neither channels nor planes.
        super(_NeuroConvInterface, self).__init__(
            file_path=file_path,
            sampling_frequency=sampling_frequency,
            channel_name=channel_name,
            plane_index=plane_index,
            verbose=verbose,
            metadata_key=metadata_key or "sbx_imaging",
        )
