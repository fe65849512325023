"""NeuroConv's Minian interface, for the results that Minian writes: a folder of separate zarr stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from neuroconv.datainterfaces import MinianSegmentationInterface as _NeuroConvInterface
from pydantic import DirectoryPath, FilePath

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.errors import ClockError, SourceError

_TRACES = {"C": "denoised", "S": "deconvolved", "b0": "baseline"}


def _extractor_class() -> type[Any]:
    from roiextractors import MinianSegmentationExtractor
    from roiextractors.segmentationextractor import SegmentationExtractor, _ROIMasks, _RoiResponse

    class Extractor(MinianSegmentationExtractor):  # type: ignore[misc]  # roiextractors is untyped
        """Opens each ``<variable>.zarr`` by itself: Minian writes no zarr group above them."""

        def __init__(
            self,
            folder_path: Path,
            sampling_frequency: float | None = None,
            timestamps_path: Path | None = None,
            timestamps_column: str | None = None,
            timestamps_unit: str = "s",
        ) -> None:
            SegmentationExtractor.__init__(self)
            self.folder_path = Path(folder_path)
            self._sampling_frequency = sampling_frequency
            default = self.folder_path / "timeStamps.csv"
            self._timestamps_path = (
                Path(timestamps_path) if timestamps_path else default if default.exists() else None
            )
            self._column, self._unit = timestamps_column, timestamps_unit
            masks, units = self._masks()
            self._roi_ids = units
            self._roi_masks = _ROIMasks(
                data=masks,
                mask_tpe="nwb-image_mask",
                field_of_view_shape=masks.shape[:2],
                roi_id_map={unit: i for i, unit in enumerate(units)},
            )
            for name, kind in _TRACES.items():
                trace = self._trace(name, units)
                if trace is not None:
                    self._roi_responses.append(_RoiResponse(kind, trace, list(units)))
            if not self._roi_responses:
                raise _source_error(
                    "Minian's result has no traces", self.folder_path, "C.zarr, S.zarr or b0.zarr", "none"
                )
            lengths = {response.data.shape[0] for response in self._roi_responses}
            if len(lengths) > 1:
                raise _source_error(
                    "Minian's traces differ in length", self.folder_path, "one length", str(sorted(lengths))
                )
            projection = self._array("max_proj")
            if projection is not None:
                self._summary_images["maximum_projection"] = projection[0]
            self._native = self._read_times()

        def _array(self, name: str, variable: str | None = None) -> tuple[npt.NDArray[Any], list[str]] | None:
            import zarr

            path = self.folder_path / f"{name}.zarr"
            if not path.is_dir():
                return None
            try:
                store = zarr.open_group(str(path), mode="r")
                array = store[variable or name]
                if array.nchunks_initialized < array.nchunks and _is_fill_value(array.fill_value):
                    lacks = array.nchunks - array.nchunks_initialized
                    raise ValueError(f"{lacks} of {array.nchunks} chunks are missing, and would be read as NaN")
                return np.asarray(array[...]), [str(d) for d in array.attrs.get("_ARRAY_DIMENSIONS", [])]
            except Exception as error:  # zarr raises nearly anything on a damaged store
                expected = f"the array {variable or name}"
                raise _source_error("a store of Minian's can't be read", path, expected, f"{error!r}") from error

        def _units(self, name: str) -> list[int]:
            units = self._array(name, "unit_id")
            return [int(unit) for unit in units[0]] if units is not None else []

        def _masks(self) -> tuple[npt.NDArray[Any], list[int]]:
            stored = self._array("A")
            if stored is None:
                names = (
                    ", ".join(sorted(entry.name for entry in self.folder_path.iterdir())[:10]) or "an empty folder"
                )
                raise _source_error("no result of Minian in the folder", self.folder_path, "A.zarr and C.zarr", names)
            data, dimensions = stored
            order = [dimensions.index(name) for name in ("height", "width", "unit_id")]
            return data.transpose(order), self._units("A")

        def _trace(self, name: str, units: list[int]) -> npt.NDArray[Any] | None:
            stored = self._array(name)
            if stored is None:
                return None
            data, dimensions = stored
            own_units = self._units(name)
            if sorted(own_units) != sorted(units):
                raise _source_error(
                    f"{name}.zarr has other units than A.zarr", self.folder_path, str(units), str(own_units)
                )
            data = data.transpose([dimensions.index(axis) for axis in ("frame", "unit_id")])
            return data[:, [own_units.index(unit) for unit in units]]

        def _read_times(self) -> npt.NDArray[np.float64] | None:
            if self._timestamps_path is None:
                return None
            import pandas as pd

            table = pd.read_csv(self._timestamps_path)
            column, unit = self._column, self._unit
            if column is None and "Time Stamp (ms)" in table.columns:  # the miniscope's own timeStamps.csv
                column, unit = "Time Stamp (ms)", "ms"
            frame = next((name for name in ("Frame Number", "frame", "frame_index") if name in table.columns), None)
            if column not in table.columns or frame is None:
                raise _source_error(
                    "the file of timestamps lacks a column",
                    self._timestamps_path,
                    f"a frame number and {column or 'the column that timestamps_column names'}",
                    ", ".join(map(str, table.columns)),
                )
            frames = self._array("C", "frame") or self._array("S", "frame")
            times = table.set_index(frame)[column].astype(float)
            numbers = frames[0] if frames is not None else np.arange(self.get_num_samples())
            missing = np.setdiff1d(numbers, times.index)
            if missing.size:
                raise _source_error(
                    "frames without a timestamp",
                    self._timestamps_path,
                    f"all of {len(numbers)} frames",
                    f"{missing.size} are missing, the first is {missing[0]}",
                )
            return np.asarray(times.loc[numbers]) / (1e3 if unit == "ms" else 1.0)

        def get_roi_ids(self) -> list[int]:
            return list(self._roi_ids)

        def get_frame_shape(self) -> tuple[int, int]:
            height, width = self._roi_masks.field_of_view_shape
            return int(height), int(width)

        def get_native_timestamps(self, start_sample: Any = None, end_sample: Any = None) -> Any:
            return None if self._native is None else self._native[start_sample:end_sample]

        def has_time_vector(self) -> bool:
            return self._times is not None or self._native is not None

        def get_sampling_frequency(self) -> float | None:
            return self._sampling_frequency

        def _get_session_id(self) -> str:
            for name in ("session_id", "session"):
                try:
                    stored = self._array("A", name)
                except SourceError:
                    continue
                if stored is not None:
                    return str(stored[0][()])
            return ""

    return Extractor


@interface(extra="imaging")
class MinianSegmentationInterface(_NeuroConvInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Minian's segmentation; it stands in the place of NeuroConv's.

    NeuroConv's reader wants a zarr group above the stores, which Minian does not write, numbers the units anew and
    reads one layout of timestamps only.

    Parameters
    ----------
    folder_path : DirectoryPath
        Folder with ``A.zarr`` and ``C.zarr`` (and ``S``, ``b0``, ``max_proj``).
    sampling_frequency : float, optional
        Frame rate in Hz, where there are no timestamps.
    timestamps_path : FilePath, optional
        A ``.csv`` with a column of frame numbers ("Frame Number", "frame" or "frame_index") and one of times.
        Default: ``timeStamps.csv`` in the folder, if it is there.
    timestamps_column : str, optional
        Column of the times; default "Time Stamp (ms)".
    timestamps_unit : {"s", "ms"}
        Unit of `timestamps_column`.
    metadata_key : str, optional
        Key of the interface's metadata.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The folder holds no result of Minian, or one that contradicts itself.
    """

    def __init__(
        self,
        folder_path: DirectoryPath,
        *,
        sampling_frequency: float | None = None,
        timestamps_path: FilePath | None = None,
        timestamps_column: str | None = None,
        timestamps_unit: Literal["s", "ms"] = "s",
        metadata_key: str | None = None,
        verbose: bool = False,
    ) -> None:
        super(_NeuroConvInterface, self).__init__(
            folder_path=folder_path,
            sampling_frequency=sampling_frequency,
            timestamps_path=timestamps_path,
            timestamps_column=timestamps_column,
            timestamps_unit=timestamps_unit,
            metadata_key=metadata_key or "minian_segmentation",
        )
        self.verbose = verbose

    @classmethod
    def get_extractor_class(cls) -> type[Any]:
        """Class of the extractor, with each store opened by itself."""
        return _extractor_class()

    @classmethod
    def get_source_schema(cls) -> dict[str, Any]:
        """JSON schema of the arguments."""
        schema: dict[str, Any] = super(_NeuroConvInterface, cls).get_source_schema()
        return schema

    def get_original_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> Any:
        """Times of the frames in the file's own clock.

        Parameters
        ----------
        start_sample, end_sample : int, optional

        Returns
        -------
        ndarray of float64, shape (n_frames,)
            In seconds.

        Raises
        ------
        ClockError
            Neither timestamps nor a sampling frequency were given.
        """
        extractor = self.segmentation_extractor
        times = extractor.get_native_timestamps()
        if times is None:
            if extractor.get_sampling_frequency() is None:
                raise ClockError(
                    "the frames have no times",
                    where=str(self.source_data["folder_path"]),
                    expected="timestamps_path, or sampling_frequency",
                    found="neither: Minian stores no times",
                    hint="give one of them, or align its clock with timestamps",
                )
            times = np.arange(extractor.get_num_samples()) / extractor.get_sampling_frequency()
        return times[start_sample:end_sample]

    def get_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> Any:
        """Times of the frames as they will be written, in seconds; see :meth:`get_original_timestamps`."""
        aligned = self.segmentation_extractor._times
        if aligned is None:
            return self.get_original_timestamps(start_sample, end_sample)
        return aligned[start_sample:end_sample]

    def get_metadata(self, **options: Any) -> Any:
        """Metadata that the result gives.

        Returns
        -------
        neuroconv.utils.DeepDict
        """
        metadata = super().get_metadata(**options)
        if not metadata["NWBFile"].get("session_id"):
            metadata["NWBFile"].pop("session_id", None)
        return metadata

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None, **options: Any) -> None:
        """Write ``PlaneSegmentation``, ``RoiResponseSeries`` and the maximum projection.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            In NeuroConv's form; default: :meth:`get_metadata`.
        **options
            As NeuroConv's ``MinianSegmentationInterface.add_to_nwbfile``.
        """
        self.get_timestamps()  # refuses where nothing gives the times
        options.setdefault("include_background_segmentation", False)
        super().add_to_nwbfile(nwbfile, metadata=metadata, **options)


def _is_fill_value(fill_value: Any) -> bool:
    return fill_value is None or bool(fill_value != fill_value)  # NaN


def _source_error(what: str, where: Path, expected: str, found: str) -> SourceError:
    hint = "check the folder, and that it is whole: copy it again, or let Minian save it again"
    return SourceError(what, where=str(where), expected=expected, found=found, hint=hint)
