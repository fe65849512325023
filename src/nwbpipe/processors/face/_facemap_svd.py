"""The processor ``facemap_svd``: motion and movie SVD, pupil, blinks and running of a face video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results

if TYPE_CHECKING:
    from pynwb import NWBFile

    from nwbpipe.nwb_builders import FacemapResults

Range = tuple[int, int]
#: Its modules for keypoints import matplotlib, which Facemap does not require; av decodes videos for them.
FACEMAP = Tool(
    name="facemap",
    requirements=("facemap>=1.0.8,<1.1", "h5py>=3.8", "numpy<2", "matplotlib", "av>=12"),
    python=">=3.9,<3.13",
    licence="GPL-3.0-only",
    gpu="torch",
)


class Roi(BaseModel):
    """A box of the frame; pixel (0, 0) is the upper left one, the ends are excluded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    x: Range = Field(description="First and last column, the last excluded: [x0, x1].")
    y: Range = Field(description="First and last row, the last excluded: [y0, y1].")

    @field_validator("x", "y")
    @classmethod
    def _check_order(cls, value: Range) -> Range:
        if not 0 <= value[0] < value[1] or value[1] - value[0] < 4:
            msg = f"expected two pixels, the first not negative, the second larger by 4 or more; found {list(value)}"
            raise ValueError(msg)
        return value


class BlinkRoi(Roi):
    """A box around the eye; what counts is the ellipse inscribed in it."""

    saturation: float = Field(gt=0, le=255, description="Gray level: how far pixels are below it is summed.")


class PupilRoi(Roi):
    """A box around the eye; what counts is the ellipse inscribed in it."""

    saturation: float = Field(gt=0, le=255, description="Gray level above which a pixel is not of the pupil.")
    pupil_sigma: float = Field(
        2.0, gt=0, description="Size of the pupil, in standard deviations of the Gaussian fit."
    )


class FacemapSvdParams(Params):
    """Parameters of ``facemap_svd``; regions are in pixels of the frame, as a video player shows it."""

    motion_svd: bool = Field(
        True, description="Singular value decomposition of the absolute difference of consecutive frames."
    )
    movie_svd: bool = Field(False, description="Singular value decomposition of the frames.")
    full_frame: bool = Field(True, description="Decompose the whole frame, beside the motion ROIs.")
    n_components: int = Field(500, ge=1, le=500, description="Number of components that are computed, at most.")
    sbin: int = Field(
        4,
        ge=1,
        le=64,
        description="Pixels that are averaged before the SVD, along x and y: 4 as in Facemap's window.",
    )
    pupils: tuple[PupilRoi, ...] = Field((), description="Boxes, each around one pupil, whose area is tracked.")
    motion_rois: tuple[Roi, ...] = Field((), description="Boxes whose motion and movie are decomposed by themselves.")
    blinks: tuple[BlinkRoi, ...] = Field((), description="Boxes, each around one eye, whose blinks are measured.")
    running: tuple[Roi, ...] = Field((), description="Boxes on a running wheel, whose shift is measured.")

    @model_validator(mode="after")
    def _check_not_empty(self) -> FacemapSvdParams:
        svd = self.motion_svd or self.movie_svd
        if self.motion_rois and not svd:
            msg = "motion_rois need motion_svd or movie_svd"
            raise ValueError(msg)
        if not ((svd and (self.full_frame or self.motion_rois)) or self.pupils or self.blinks or self.running):
            msg = "nothing to compute: ask for an SVD (of the full frame or motion_rois), pupils, blinks or running"
            raise ValueError(msg)
        for roi in self.motion_rois:
            if min(roi.x[1] - roi.x[0], roi.y[1] - roi.y[0]) < 3 * self.sbin:
                msg = f"the motion ROI x {list(roi.x)}, y {list(roi.y)} is smaller than 3 bins of {self.sbin} pixels"
                raise ValueError(msg)
        return self


class FacemapSvd(Processor):
    """Motion and movie SVD, pupil, blinks and running with Facemap.

    The video is an `ImageSeries` with external files, one after the other; one sample a frame, at the times of the
    series. Its number of frames must be the series'. Results go into the module ``behavior``: see
    `nwbpipe.nwb_builders.add_facemap_results`. Faults of Facemap 1.0.8 that would give wrong values are put right;
    the compute module's docstring lists them.

    References
    ----------
    Syeda et al. (2024), "Facemap: a framework for modeling neural activity based on orofacial tracking",
    Nature Neuroscience 27. Stringer et al. (2019), "Spontaneous behaviors drive multidimensional, brainwide
    activity", Science 364.
    """

    name: ClassVar[str] = "facemap_svd"
    revision: ClassVar[int] = 2  # all rows of a motion ROI; singular values of each
    module: ClassVar[str] = "behavior"
    inputs: ClassVar[Mapping[str, Input]] = {
        "video": Input(
            "ImageSeries",
            but_not=("TwoPhotonSeries", "OnePhotonSeries"),
            doc="the video, in external files beside the NWB file",
        )
    }
    Params: ClassVar[type[Params]] = FacemapSvdParams
    tool: ClassVar[Tool] = FACEMAP
    compute: ClassVar[str] = "nwbpipe.processors.face._facemap_svd_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the video and the ROIs; return the number of frames and where each file starts."""
        return video_facts(context.input(nwbfile, "video"), context.inputs["video"].path, context.params)

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write projections, masks, motion energy, pupils, blinks and running."""
        from nwbpipe.nwb_builders import Times, add_facemap_results

        video = context.input(nwbfile, "video")
        context.module(nwbfile, self.module)
        version = results.summary.get("tool_version")
        source = f"Facemap {version} on {video.name}" if version else f"Facemap on {video.name}"
        add_facemap_results(
            nwbfile, facemap_results(results), times=Times.of(video), suffix=context.step, source=source
        )


def video_facts(series: Any, path: str, params: FacemapSvdParams) -> dict[str, Any]:
    """Return what the NWB file says of a video; refuse what can't be processed.

    Raises
    ------
    InputError
        If the frames are not in external files, have no times, or an ROI lies outside the frame.
    """
    files = [] if series.external_file is None else [str(name) for name in series.external_file]
    if not files:
        msg = "the video's frames are in the NWB file; Facemap reads video files"
        raise InputError(
            msg,
            where=path,
            expected="an ImageSeries with external_file",
            found="embedded frames",
            hint="convert the video with ExternalVideoInterface and options {video: link} or {video: copy}",
        )
    if series.rate is None and (series.timestamps is None or not len(series.timestamps)):
        msg = "the video has no times"
        raise InputError(msg, where=path, expected="a rate or timestamps", found="neither", hint="convert it again")
    frames = len(series.timestamps) if series.rate is None else series.num_samples
    if series.dimension is not None and len(series.dimension) >= 2:
        _check_rois([int(size) for size in series.dimension[:2]], path, params)
    starts = None if series.starting_frame is None else [int(frame) for frame in np.atleast_1d(series.starting_frame)]
    return {
        "frames": None if frames is None else int(frames),
        "starting_frame": starts if starts is not None and len(starts) == len(files) else None,
    }


def _check_rois(size: list[int], path: str, params: FacemapSvdParams) -> None:
    for kind in ("pupils", "motion_rois", "blinks", "running"):
        for roi in getattr(params, kind):
            if roi.x[1] > size[0] or roi.y[1] > size[1]:
                msg = f"one of {kind} lies outside the frame"
                raise InputError(
                    msg,
                    where=path,
                    expected=f"x up to {size[0]}, y up to {size[1]}",
                    found=f"x {list(roi.x)}, y {list(roi.y)}",
                    hint="give the box in pixels of the video: x [x0, x1], y [y0, y1]",
                )


def facemap_results(results: Results) -> FacemapResults:
    """Return what the compute module left as `nwbpipe.nwb_builders.FacemapResults`."""
    from nwbpipe.nwb_builders import FacemapPupil, FacemapResults
    from nwbpipe.nwb_builders import FacemapRegionSvd as Svd

    arrays, summary = results.arrays, results.summary

    def members(name: str) -> list[tuple[int, Any]]:
        return sorted((int(key), item) for key, item in arrays[name].items()) if name in arrays else []

    def svds(name: str) -> dict[int, Svd]:
        return {
            index: Svd(
                projections=group["projections"][:],
                masks=group["masks"][:],
                singular_values=group["singular_values"][:] if "singular_values" in group else None,
                region=summary["regions"][index],
            )
            for index, group in members(name)
        }

    return FacemapResults(
        num_frames=summary["frames"],
        spatial_binning=summary["sbin"],
        motion_svd=svds("motion_svd"),
        movie_svd=svds("movie_svd"),
        motion_energy={index: energy[:] for index, energy in members("motion_energy")},
        motion_energy_aligned=True,
        pupils=[FacemapPupil(**{name: data[:] for name, data in group.items()}) for _, group in members("pupils")],
        blinks=[data[:] for _, data in members("blinks")],
        running=[data[:] for _, data in members("running")],
        average_frame=arrays["avgframe"][:],
        average_motion=arrays["avgmotion"][:],
        videos=[[name] for name in summary["files"]],
    )
