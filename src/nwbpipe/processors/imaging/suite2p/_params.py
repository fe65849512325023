"""Parameters of suite2p and of its registration."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator

from nwbpipe.processors._base import Params
from nwbpipe.processors.imaging._settings import make_validator
from nwbpipe.processors.imaging.suite2p._settings import check_settings

_Pair = TypeVar("_Pair", tuple[int, int], tuple[float, float])


def _refuse_small(value: _Pair) -> _Pair:
    if min(value) < 1:
        msg = f"expected two lengths of at least 1 pixel, found {value}"
        raise ValueError(msg)
    return value


class RegistrationParams(Params):
    """Parameters of suite2p's registration; the defaults are those of suite2p 1.1, except `device` ("cuda" there).

    Lengths are in pixels. Where there are two, the first is along y, the second along x, as in suite2p.
    """

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
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu",
        description=(
            "Where torch computes. 'auto' takes a GPU if there is one: results then differ from machine to machine."
        ),
    )
    settings: Annotated[dict[str, Any], make_validator(check_settings)] = Field(
        default_factory=dict,
        description=(
            "Any other setting of suite2p 1.1, nested as in suite2p.default_settings(), e.g. "
            "{'detection': {'highpass_time': 50}}."
        ),
    )

    @field_validator("block_size")
    @classmethod
    def _check_block_size(cls, value: tuple[int, int]) -> tuple[int, int]:
        return _refuse_small(value)


class Suite2pParams(RegistrationParams):
    """Parameters of ``suite2p``: of its registration, and of all that follows."""

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

    @field_validator("diameter")
    @classmethod
    def _check_diameter(cls, value: tuple[float, float]) -> tuple[float, float]:
        return _refuse_small(value)
