"""Write Facemap's results as containers of the module ``behavior``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nwbpipe.nwb_builders._facemap import Array, FacemapPupil, FacemapRegionSvd, FacemapResults
from nwbpipe.nwb_builders._times import Times

_TOP_LEFT = "(x, y) in pixels; (0, 0) is the upper left pixel of the video frame, x to the right, y downward"
_ROI_CORNER = "(x, y) in pixels from the upper left corner of the pupil's ROI, x to the right, y downward"

_ALIGNED = "Sample i is the difference between frames i-1 and i; sample 0 repeats sample 1"
_AS_STORED = (
    "As Facemap stores it: sample i of the first 500 is the difference between frames i and i+1 "
    "(the last of these is 0), sample i after them that between frames i-1 and i"
)


def add_facemap_results(
    nwbfile: Any,
    results: FacemapResults,
    *,
    times: Times,
    suffix: str = "",
    source: str = "Facemap",
) -> list[Any]:
    """Add Facemap's results to the module ``behavior`` of a session file.

    What is written (names end with ``_<suffix>`` if there is one; a motion ROI adds ``ROI<n>`` before that):

    ====================== ================================================================================
    ``MotionSVD``          TimeSeries (n_frames, n_components), likewise ``MovieSVD``
    ``MotionSVDMasks``     DynamicTable, a row a component: ``mask`` (height, width), ``singular_value`` if kept
    ``MotionEnergy``       TimeSeries (n_frames,)
    ``PupilTracking``      TimeSeries ``pupil_area``, ``pupil_area_smoothed``, ``pupil_squared_semiaxes``, …
    ``EyeTracking``        SpatialSeries ``pupil_center``, ``pupil_center_smoothed``: (x, y) in pixels
    ``Blink``, ``Running`` TimeSeries
    ``FaceImages``         Images: average frame and average motion
    ====================== ================================================================================

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
    results : FacemapResults
    times : Times
        Of the frames; where it holds timestamps, the first series owns them and the others link to it.
    suffix : str
        Ends every container's name: a step's name, or a source's name to tell two apart.
    source : str
        Said first in each description: the tool, its version, the file.

    Returns
    -------
    list
        The containers that were added to the module, in order.

    Raises
    ------
    ValueError
        A container of that name is in the module already, or `times` has another length than the results.
    """
    return _FacemapWriter(nwbfile, results, times, suffix, source).write()


class _FacemapWriter:
    def __init__(self, nwbfile: Any, results: FacemapResults, times: Times, suffix: str, source: str) -> None:
        self.results, self.source = results, source
        self.ending = f"_{suffix}" if suffix else ""
        self.times = times
        count = len(getattr(times.timestamps, "timestamps", times.timestamps)) if times.rate is None else None
        if count is not None and count != results.num_frames:
            raise ValueError(f"{count} timestamps for {results.num_frames} frames")
        modules = nwbfile.processing
        if "behavior" in modules:
            self.module = modules["behavior"]
        else:
            self.module = nwbfile.create_processing_module("behavior", "processed behavioral data")
        self.added: list[Any] = []

    def write(self) -> list[Any]:
        results = self.results
        for kind, svds, of in (
            ("MotionSVD", results.motion_svd, "of the absolute difference of consecutive frames"),
            ("MovieSVD", results.movie_svd, "of the frames"),
        ):
            for index, svd in svds.items():
                self._svd(kind, index, svd, of)
        for index, energy in results.motion_energy.items():
            region = results.motion_svd[index].region if index in results.motion_svd else f"region {index}"
            self._add(
                self._series(
                    f"MotionEnergy{_roi(index)}{self.ending}",
                    energy,
                    "a.u.",
                    f"sum of the absolute difference of consecutive frames, {region}, {self._binning()}. "
                    + (_ALIGNED if results.motion_energy_aligned else _AS_STORED),
                )
            )
        if results.pupils:
            self._pupils()
        for name, unit, signals, text in (
            ("Blink", "a.u.", results.blinks, "summed darkness below the ROI's saturation level, raw"),
            ("Running", "pixels", results.running, "shift (x, y) of the ROI's image from the frame before"),
        ):
            for k, data in enumerate(signals):
                self._add(self._series(f"{name}{_number(k, signals)}{self.ending}", data, unit, text))
        self._images()
        return self.added

    def _svd(self, kind: str, index: int, svd: FacemapRegionSvd, of: str) -> None:
        table = f"{kind}Masks{_roi(index)}{self.ending}"
        text = f"temporal components (projections) {of}, {svd.region}, {self._binning()}"
        if svd.masks is not None:
            text += f"; column k is row k of {table}"
        self._add(self._series(f"{kind}{_roi(index)}{self.ending}", svd.projections, "a.u.", text))
        if svd.masks is not None:
            self._add(self._masks(table, svd, of))

    def _masks(self, name: str, svd: FacemapRegionSvd, of: str) -> Any:
        from hdmf.common import DynamicTable, VectorData

        assert svd.masks is not None
        columns = [
            VectorData(
                name="mask",
                description=f"spatial component (height, width) on the frame, {self._binning()}",
                data=np.ascontiguousarray(np.moveaxis(svd.masks, 2, 0)),
            )
        ]
        note = ""
        if svd.singular_values is not None:
            columns.append(VectorData(name="singular_value", description="singular value", data=svd.singular_values))
        else:
            note = "; Facemap kept no singular values for it"
        return DynamicTable(
            name=name,
            description=f"{self.source}: spatial components {of}, one a row, {svd.region}{note}",
            columns=columns,
        )

    def _pupils(self) -> None:
        from pynwb.behavior import EyeTracking, PupilTracking, SpatialSeries

        tracking = PupilTracking(name=f"PupilTracking{self.ending}")
        eye = EyeTracking(name=f"EyeTracking{self.ending}")
        for k, pupil in enumerate(self.results.pupils):
            prefix = f"pupil{_number(k, self.results.pupils)}"
            for key, data, unit, text in _pupil_signals(pupil):
                tracking.add_timeseries(self._series(f"{prefix}_{key}", data, unit, text))
            frame = _TOP_LEFT if pupil.in_frame else _ROI_CORNER
            for key, centers, text in (
                ("center", pupil.center, "centre of mass of the pupil; NaN where none was found"),
                ("center_smoothed", pupil.center_smooth, "centre of mass of the pupil, outliers and gaps replaced"),
            ):
                if centers is not None:
                    eye.add_spatial_series(
                        self._series(f"{prefix}_{key}", centers, "pixels", text, SpatialSeries, reference_frame=frame)
                    )
        self._add(tracking)
        self._add(eye)

    def _images(self) -> None:
        from pynwb.base import Images
        from pynwb.image import GrayscaleImage

        images = [
            GrayscaleImage(name=name, data=image, description=f"{text}, {self._binning()}")
            for name, image, text in (
                ("average_frame", self.results.average_frame, "mean of sampled frames"),
                ("average_motion", self.results.average_motion, "mean absolute difference of consecutive frames"),
            )
            if image is not None
        ]
        if images:
            name = f"FaceImages{self.ending}"
            self._add(Images(name=name, images=images, description=f"{self.source}: average images"))

    def _series(self, name: str, data: Array, unit: str, text: str, kind: Any = None, **extra: Any) -> Any:
        from pynwb import TimeSeries

        series = (kind or TimeSeries)(
            name=name,
            data=np.ascontiguousarray(data),
            unit=unit,
            description=f"{self.source}: {text}",
            **self.times.arguments(),
            **extra,
        )
        if self.times.rate is None and not isinstance(self.times.timestamps, TimeSeries):
            self.times = Times(timestamps=series)  # the next series link to this one's timestamps
        return series

    def _binning(self) -> str:
        bins = self.results.spatial_binning
        return "not binned" if bins <= 1 else f"binned {bins} × {bins} pixels"

    def _add(self, container: Any) -> None:
        if container.name in self.module.data_interfaces:
            raise ValueError(f"the module behavior holds a {container.name} already")
        self.module.add(container)
        self.added.append(container)


def _pupil_signals(pupil: FacemapPupil) -> list[tuple[str, Array, str, str]]:
    rows: Mapping[str, tuple[Array | None, str, str]] = {
        "area": (
            pupil.area,
            "pixels^2",
            "area of the pupil; NaN where none was found: "
            f"it was in {np.isfinite(pupil.area).mean():.1%} of the frames",
        ),
        "area_smoothed": (pupil.area_smooth, "pixels^2", "area of the pupil, outliers and gaps replaced"),
        "squared_semiaxes": (pupil.squared_semiaxes, "pixels^2", "squared semi-axes of the pupil's ellipse"),
        "axis_directions": (
            pupil.axis_directions,
            "n.a.",
            "directions of the ellipse's axes: a matrix a frame, rows (y, x), as Facemap stores it",
        ),
    }
    return [(key, data, unit, text) for key, (data, unit, text) in rows.items() if data is not None]


def _roi(index: int) -> str:
    return f"ROI{index}" if index else ""


def _number(index: int, items: Any) -> str:
    return str(index + 1) if len(items) > 1 else ""
