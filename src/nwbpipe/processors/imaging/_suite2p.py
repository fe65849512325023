"""The processor ``suite2p``: registration, cell detection, traces and deconvolution of a calcium movie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Loaded, Params, Processor, Results
from nwbpipe.processors.imaging._suite2p_settings import check_settings

if TYPE_CHECKING:
    import h5py
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
    align_by_second_channel: bool = Field(
        False, description="Find the motion in the second channel (of a structural marker), where one is bound."
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

    A volume (frames, x, y, planes) is processed plane by plane, as suite2p does; all its ROIs are in one table, each
    with its plane. The input ``second_channel``, a series of the same shape, gives what suite2p calls channel 2: it
    is moved with the movie (or the movie with it), and its brightness tells which ROIs are ``red``. Fields of view
    that are series of their own (multi-ROI scans) are each a step of its own. suite2p's registration metrics are not
    computed, and ROIs are classified by its built-in classifier, never by a user's.

    Values that int16 can't hold are divided for suite2p by the smallest power of two that makes them fit (suite2p's
    own readers halve every uint16 movie); floats are scaled. What is written is in the movie's stored values again,
    and the segmentation's description says by what was divided. Frames of a single value (a closed shutter) are
    excluded from detection. A movie with NaN is refused.

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

    Of a volume, shifts are (frames, planes, 2), block shifts (frames, planes, blocks, 2), images are one a plane
    (``mean_plane0``, …), and the table has a column ``plane``. With a second channel there are ``SecondChannel`` and
    ``SecondChannelNeuropil`` among the traces, the columns ``red`` and ``red_probability``, and the image
    ``mean_second_channel``. Where nothing is found the segmentation is left out; the shifts and images are there.

    References
    ----------
    Pachitariu et al. (2017), "Suite2p: beyond 10,000 neurons with standard two-photon microscopy", bioRxiv 061507.
    """

    name: ClassVar[str] = "suite2p"
    revision: ClassVar[int] = 2
    module: ClassVar[str] = "ophys"
    inputs: ClassVar[Mapping[str, Input]] = {
        "movie": Input("TwoPhotonSeries", "OnePhotonSeries", doc="the movie, (frames, x, y[, planes])"),
        "second_channel": Input(
            "TwoPhotonSeries", "OnePhotonSeries", doc="the movie of a structural marker", optional=True
        ),
    }
    Params: ClassVar[type[Params]] = Suite2pParams
    tool: ClassVar[Tool] = Tool(
        name="suite2p",
        requirements=("suite2p>=1.1,<1.2", "h5py>=3.8", "numpy"),
        python=">=3.9,<3.14",
        licence="GPL-3.0-only",
    )
    compute: ClassVar[str] = "nwbpipe.processors.imaging._suite2p_compute"
    compute_parts: ClassVar[tuple[str, ...]] = (
        "nwbpipe.processors.imaging._movie_reader",
        "nwbpipe.processors.imaging._suite2p_store",
        "nwbpipe.processors.imaging._suite2p_tool",
    )
    resumable: ClassVar[bool] = True
    loads: ClassVar[str] = (
        "the folder `suite2p` or `plane0` of a finished run (ops.npy, stat.npy, F.npy, Fneu.npy, …)"
    )

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the movie, and that of the second channel; return the movie's rate and shape."""
        from nwbpipe.processors.imaging._movie import movie_facts, same_frames

        facts = movie_facts(context.input(nwbfile, "movie"), context.inputs["movie"].path)
        if "second_channel" in context.inputs:
            second = context.input(nwbfile, "second_channel")
            path = context.inputs["second_channel"].path
            same_frames(movie_facts(second, path), facts, path)
        elif context.params.align_by_second_channel:
            msg = "the motion is to be found in the second channel, and none is bound"
            raise InputError(
                msg, expected="--input second_channel=PATH", hint="bind it, or find the motion in the movie"
            )
        return facts

    def output_files(self, source: Path) -> list[Path]:
        """Return the files of a suite2p folder that are read."""
        from nwbpipe.processors.imaging._suite2p_load import output_files

        return output_files(source)

    def load(self, source: Path, results: h5py.File, context: Context) -> Loaded:
        """Read a suite2p folder, of this version or an older one."""
        from nwbpipe.processors.imaging._suite2p_load import load_output

        return load_output(source, results, context.facts, context.params)

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write shifts, images, ROIs and traces."""
        from nwbpipe.processors.imaging._suite2p_write import write_results

        write_results(context.module(nwbfile, self.module), context.input(nwbfile, "movie"), results, context)
