"""ScanImage's movies by NeuroConv's reader, which fails on several channels that are written as a column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuroconv.datainterfaces import ScanImageImagingInterface as _NeuroConvInterface
from pydantic import FilePath

from nwbpipe.converters.accounts._fields import FieldOfView, choose_field
from nwbpipe.converters.accounts._scanimage import find_parts, flatten
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._guards_files import guard_tiff

_VECTORS = ("SI.hChannels.channelSave", "SI.hChannels.channelsActive")


@interface(extra="imaging", guard=guard_tiff)
class ScanImageImagingInterface(_NeuroConvInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """A movie of ScanImage; it stands in the place of NeuroConv's.

    ScanImage writes the numbers of its channels as a row (``[1 2]``) or as a column (``[1;2]``). tifffile makes a
    list of lists of a column, on which roiextractors 0.10.0 fails; the numbers are handed on as a list. NeuroConv
    0.10.2 reads the named file alone; here, all files of its acquisition. It takes degrees of the scan angle for
    micrometers, in the size of pixels and the origin; here, they are scaled by the objective's resolution. Upstream:
    none reported as of 2026-11.

    Parameters
    ----------
    file_path : Path, optional
        The first file; the others of its acquisition are found.
    channel_name : str, optional
        Needed where several were saved: ``Channel 1``.
    slice_sample : int, optional
        Of volumes with several frames a slice: the frame to take.
    plane_index : int, optional
        Of volumes: the plane to take.
    file_paths : list of Path, optional
        All files, in order.
    interleave_slice_samples : bool, optional
        Of volumes with several frames a slice: write all of them, one after the other.
    field : str, optional
        Needed where the multi-ROI mode recorded several fields of view: the name of the field to read, or its
        number (from 1) if its ROI has no name. Each field is a source of its own.
    verbose : bool
        Not used.
    metadata_key : str, optional
        Name of what is written.
    """

    imaging_extractor: Any

    @classmethod
    def get_source_schema(cls) -> dict[str, Any]:
        """Describe the arguments; none is required by itself, as a file or files are given."""
        schema: dict[str, Any] = super().get_source_schema()
        schema.setdefault("required", [])
        return schema

    def __init__(
        self,
        file_path: FilePath | None = None,
        *,
        channel_name: str | None = None,
        slice_sample: int | None = None,
        plane_index: int | None = None,
        file_paths: list[FilePath] | None = None,
        interleave_slice_samples: bool | None = None,
        field: str | None = None,
        verbose: bool = False,
        metadata_key: str | None = None,
    ) -> None:
        if file_path is not None and file_paths is None:
            file_paths = _find_files(file_path)
            file_path = None
        with _flat_channels():
            super().__init__(
                file_path,
                channel_name=channel_name,
                slice_sample=slice_sample,
                plane_index=plane_index,
                file_paths=file_paths,
                interleave_slice_samples=interleave_slice_samples,
                verbose=verbose,
                metadata_key=metadata_key,
            )
        self._field = None if field is None else self._take_field(str(field))

    def _take_field(self, name: str) -> FieldOfView:
        """Narrow the frames to the rows of a field of view."""
        extractor = self.imaging_extractor
        field = choose_field(
            extractor._general_metadata, extractor.get_frame_shape(), name, str(extractor.file_paths[0])
        )
        self.imaging_extractor = extractor.slice_field_of_view(
            row_start=field.first_row, row_end=field.first_row + field.rows
        )
        return field

    def get_metadata(self, **arguments: Any) -> Any:
        """Read the metadata; those of a field of view have its place."""
        metadata = super().get_metadata(**arguments)
        plane = metadata["Ophys"].get("ImagingPlanes", {}).get(self.metadata_key)
        if plane is None:
            return metadata
        if self._field is not None:
            plane["description"] = f"Field of view {self._field.name}"
            for key, values in (("grid_spacing", self._field.spacing_um), ("origin_coords", self._field.center_um)):
                if values is not None:
                    plane[key] = [1e-6 * value for value in values]
                    plane[f"{key}_unit"] = "meters"
        elif scale := self.imaging_extractor._general_metadata["FrameData"].get("SI.objectiveResolution"):
            for key in ("grid_spacing", "origin_coords"):
                if key in plane:
                    plane[key] = [float(scale) * float(value) for value in plane[key]]
        return metadata


def _find_files(path: Path) -> list[Path]:
    from tifffile import TiffFile

    with TiffFile(path) as tiff:
        metadata = tiff.scanimage_metadata
    return find_parts(Path(path), metadata["FrameData"]) if metadata else [Path(path)]


@contextmanager
def _flat_channels() -> Iterator[None]:
    """Let tifffile give the numbers of channels as a list while the reader is built."""
    from tifffile import tifffile

    original = tifffile.matlabstr2py

    def read(text: str, *args: Any, **options: Any) -> Any:
        values = original(text, *args, **options)
        if isinstance(values, dict):
            for name in _VECTORS:
                if isinstance(values.get(name), list):
                    values[name] = flatten(values[name])
        return values

    tifffile.matlabstr2py = read
    try:
        yield
    finally:
        tifffile.matlabstr2py = original
