"""The processor ``suite2p``: registration, cell detection, traces and deconvolution of a calcium movie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.imaging._suite2p_settings import check_settings

if TYPE_CHECKING:
    from pynwb import NWBFile


class Suite2pParams(Params):
    """Parameters of ``suite2p``; the defaults are those of suite2p 1.1, except `device` ("cuda" there).

    Lengths are in pixels. Where there are two, the first is along y, the second along x, as in suite2p.
    """

    tau: float = Field(
        1.0,
        gt=0,
        le=10,
        description=(
            "Decay time of the indicator, in seconds: 0.7 for GCaMP6f, 1.0 for GCaMP6m, 1.25 to 1.5 for GCaMP6s."
        ),
    )
    diameter: tuple[float, float] = Field(
        (12.0, 12.0),
        description=(
            "Diameter of a cell (y, x), in pixels: the scale of the ROIs' shape measures, and of "
            "detection with algorithm='sourcery'."
        ),
    )
    do_registration: bool = Field(True, description="Correct the motion. If False, the movie is taken as it is.")
    nonrigid: bool = Field(
        True,
        description=(
            "Correct the motion of blocks of the frame, beside that of the whole frame. Rigid where "
            "the frame is no larger than a block."
        ),
    )
    nimg_init: int = Field(
        400, ge=1, description="Number of frames, spread over the movie, from which the reference image is made."
    )
    batch_size: int = Field(100, ge=1, description="Number of frames that are registered at a time.")
    block_size: tuple[int, int] = Field(
        (128, 128),
        description=(
            "Size of a block (y, x) for the non-rigid registration, in pixels; best a product of 2, 3 and 5."
        ),
    )
    maxregshift: float = Field(
        0.1, gt=0, le=1, description="Largest rigid shift, as a fraction of the frame's smaller side."
    )
    smooth_sigma: float = Field(
        1.15,
        ge=0.25,
        description=(
            "Width (sigma) of the smoothing of frames before they are registered, in pixels: about 1 "
            "for two photons, 3 to 5 for one photon."
        ),
    )
    two_step_registration: bool = Field(
        False, description="Register twice, the second time to the mean of the registered frames: for noisy movies."
    )
    algorithm: Literal["sparsery", "sourcery"] = Field(
        "sparsery",
        description=("How cells are detected. Both find what is active; the anatomical detection (Cellpose) is off."),
    )
    spatial_scale: int = Field(
        0,
        ge=0,
        le=4,
        description=(
            "Size of the cells for algorithm='sparsery': 0 finds it, 1 is 6 pixels, 2 is 12, 3 is 24, 4 is 48."
        ),
    )
    threshold_scaling: float = Field(
        1.0, gt=0, description="Factor on the threshold of detection: larger finds fewer cells."
    )
    max_overlap: float = Field(
        0.75, ge=0, le=1, description="An ROI with a larger part of its pixels in other ROIs is discarded."
    )
    allow_overlap: bool = Field(False, description="Use pixels that lie in several ROIs for the traces.")
    neuropil_coefficient: float = Field(
        0.7,
        ge=0,
        description=(
            "Part of the neuropil that is taken off a trace before deconvolution, and in 'NeuropilCorrected'."
        ),
    )
    cell_threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability above which the built-in classifier's ROI counts as a cell ('iscell').",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu",
        description=(
            "Where torch computes. 'auto' takes a GPU if there is one: results then differ from machine to machine."
        ),
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description=(
            "Any other setting of suite2p 1.1, nested as in suite2p.default_settings(), e.g. "
            "{'detection': {'highpass_time': 50}}."
        ),
    )

    @field_validator("diameter", "block_size")
    @classmethod
    def _positive(cls, value: tuple[float, float]) -> tuple[float, float]:
        if min(value) < 1:
            msg = f"expected two lengths of at least 1 pixel, found {value}"
            raise ValueError(msg)
        return value

    @field_validator("settings")
    @classmethod
    def _known_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        problems = check_settings(value)
        if problems:
            raise ValueError("; ".join(problems))
        return value


class Suite2p(Processor):
    """Registration, cell detection, traces and deconvolution with suite2p.

    One plane and one channel: of several planes or channels, each is a series and a step of its own. suite2p's
    registration metrics are not computed, and ROIs are classified by its built-in classifier, never by a user's.

    Results, in the module ``ophys``; x is an index along the second axis of the series, y one along its third:

    - ``MotionCorrectionShifts_<step>``: `TimeSeries` (frames, 2), displacement of the content (x, y) in pixels,
      positive towards larger indices; the correction is its opposite. ``MotionCorrectionBlockShifts_<step>``
      (frames, blocks, 2) holds the further displacement of each block of ``MotionCorrectionBlocks_<step>``, and
      ``MotionCorrectionQuality_<step>`` (frames, 2) the correlation with the reference and whether the frame was
      excluded. NWB's `MotionCorrection` type is not used: it demands the corrected movie, which is not kept.
    - ``SummaryImages_<step>``: mean, reference, max_projection, correlation.
    - ``ImageSegmentation_<step>`` with ``PlaneSegmentation_<step>``: pixel masks, `iscell` and shape measures.
    - ``Fluorescence_<step>`` with ``RoiResponseSeries``, ``Neuropil``, ``NeuropilCorrected``, and
      ``Deconvolved_<step>`` with ``Deconvolved``: each (frames, ROIs), at the times of the movie.

    Where nothing is found the segmentation is left out; the shifts and images are there.

    References
    ----------
    Pachitariu et al. (2017), "Suite2p: beyond 10,000 neurons with standard two-photon microscopy", bioRxiv 061507.
    """

    name: ClassVar[str] = "suite2p"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    inputs: ClassVar[Mapping[str, Input]] = {
        "movie": Input("TwoPhotonSeries", "OnePhotonSeries", doc="the movie, (frames, x, y), of one plane")
    }
    Params: ClassVar[type[Params]] = Suite2pParams
    tool: ClassVar[Tool] = Tool(
        name="suite2p",
        requirements=("suite2p>=1.1,<1.2", "h5py>=3.8", "numpy"),
        python=">=3.9,<3.14",
        licence="GPL-3.0-only",
        gpu="torch",
    )
    compute: ClassVar[str] = "nwbpipe.processors.imaging._suite2p_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the movie; return its rate and shape."""
        from nwbpipe.processors.imaging._movie import movie_facts

        return movie_facts(context.input(nwbfile, "movie"), context.inputs["movie"].path)

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write shifts, images, ROIs and traces."""
        from nwbpipe.processors.imaging._suite2p_write import write_results

        write_results(context.module(nwbfile, self.module), context.input(nwbfile, "movie"), results, context)
