"""Parameters of suite2p and of its registration, and the settings of suite2p 1.1 that may be given by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator

from nwbpipe.processors._base import Params
from nwbpipe.processors.imaging._settings import (
    find_unknown_settings,
    own_settings,
    refuse_settings,
    tool_setting,
)

#: Names of ``suite2p.default_settings()`` of version 1.1, in their groups.
SETTINGS: dict[str, Any] = {
    "registration": (
        *("nimg_init", "maxregshift", "do_bidiphase", "bidiphase", "batch_size", "nonrigid", "maxregshiftNR"),
        *("block_size", "smooth_sigma_time", "smooth_sigma", "spatial_taper", "th_badframes", "norm_frames"),
        *("snr_thresh", "subpixel", "two_step_registration"),
    ),
    "detection": {
        "": (
            *("algorithm", "denoise", "block_size", "nbins", "bin_size", "highpass_time", "threshold_scaling"),
            *("npix_norm_min", "npix_norm_max", "max_overlap", "soma_crop"),
        ),
        "sparsery_settings": ("highpass_neuropil", "max_ROIs", "spatial_scale", "active_percentile"),
        "sourcery_settings": ("connected", "max_iterations", "smooth_masks"),
    },
    "classification": ("preclassify",),
    "extraction": (
        *("snr_threshold", "batch_size", "neuropil_extract", "neuropil_coefficient", "inner_neuropil_radius"),
        *("min_neuropil_pixels", "lam_percentile", "allow_overlap", "circular_neuropil"),
    ),
    "dcnv_preprocess": ("baseline", "win_baseline", "sig_baseline", "prctile_baseline"),
}


def _known_settings() -> set[str]:
    names: set[str] = set()
    for group, members in SETTINGS.items():
        if isinstance(members, dict):
            for part, inner in members.items():
                names |= {f"{group}.{part}.{name}" if part else f"{group}.{name}" for name in inner}
        else:
            names |= {f"{group}.{name}" for name in members}
    return names


KNOWN = _known_settings()


def _iter_leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and (path in SETTINGS or path.startswith("detection.")):
            yield from _iter_leaves(value, f"{path}.")
        else:
            yield path


def find_wrong_settings(settings: Mapping[str, Any], own: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a nested mapping of suite2p settings, one line a mistake."""
    hint = f"; the groups are {', '.join(SETTINGS)}"
    return find_unknown_settings(_iter_leaves(settings), own, KNOWN, "suite2p 1.1 has no setting", hint)


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

    nonrigid: bool = tool_setting(
        True,
        "registration.nonrigid",
        description=(
            "Correct the motion of blocks of the frame, beside that of the whole frame. Rigid where "
            "the frame is no larger than a block."
        ),
    )
    nimg_init: int = tool_setting(
        400,
        "registration.nimg_init",
        ge=1,
        description="Number of frames, spread over the movie, from which the reference image is made.",
    )
    batch_size: int = tool_setting(
        100, "registration.batch_size", ge=1, description="Number of frames that are registered at a time."
    )
    block_size: tuple[int, int] = tool_setting(
        (128, 128),
        "registration.block_size",
        description=(
            "Size of a block (y, x) for the non-rigid registration, in pixels; best a product of 2, 3 and 5."
        ),
    )
    maxregshift: float = tool_setting(
        0.1,
        "registration.maxregshift",
        gt=0,
        le=1,
        description="Largest rigid shift, as a fraction of the frame's smaller side.",
    )
    smooth_sigma: float = tool_setting(
        1.15,
        "registration.smooth_sigma",
        ge=0.25,
        description=(
            "Width (sigma) of the smoothing of frames before they are registered, in pixels: about 1 "
            "for two photons, 3 to 5 for one photon."
        ),
    )
    two_step_registration: bool = tool_setting(
        False,
        "registration.two_step_registration",
        description="Register twice, the second time to the mean of the registered frames: for noisy movies.",
    )
    align_by_second_channel: bool = tool_setting(
        False,
        "registration.align_by_chan2",
        description="Find the motion in the second channel (of a structural marker), where one is bound.",
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

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_settings(find_wrong_settings(value, own_settings(cls)))
        return value

    @field_validator("block_size")
    @classmethod
    def _check_block_size(cls, value: tuple[int, int]) -> tuple[int, int]:
        return _refuse_small(value)


class Suite2pParams(RegistrationParams):
    """Parameters of ``suite2p``: of its registration, and of all that follows."""

    tau: float = tool_setting(
        1.0,
        "tau",
        gt=0,
        le=10,
        description=(
            "Decay time of the indicator, in seconds: 0.7 for GCaMP6f, 1.0 for GCaMP6m, 1.25 to 1.5 for GCaMP6s."
        ),
    )
    diameter: tuple[float, float] = tool_setting(
        (12.0, 12.0),
        "diameter",
        description=(
            "Diameter of a cell (y, x), in pixels: the scale of the ROIs' shape measures, and of "
            "detection with algorithm='sourcery'."
        ),
    )
    do_registration: bool = Field(True, description="Correct the motion. If False, the movie is taken as it is.")
    algorithm: Literal["sparsery", "sourcery"] = tool_setting(
        "sparsery",
        "detection.algorithm",
        description=("How cells are detected. Both find what is active; the anatomical detection (Cellpose) is off."),
    )
    spatial_scale: int = tool_setting(
        0,
        "detection.sparsery_settings.spatial_scale",
        ge=0,
        le=4,
        description=(
            "Size of the cells for algorithm='sparsery': 0 finds it, 1 is 6 pixels, 2 is 12, 3 is 24, 4 is 48."
        ),
    )
    threshold_scaling: float = tool_setting(
        1.0,
        "detection.threshold_scaling",
        gt=0,
        description="Factor on the threshold of detection: larger finds fewer cells.",
    )
    max_overlap: float = tool_setting(
        0.75,
        "detection.max_overlap",
        ge=0,
        le=1,
        description="An ROI with a larger part of its pixels in other ROIs is discarded.",
    )
    allow_overlap: bool = tool_setting(
        False, "extraction.allow_overlap", description="Use pixels that lie in several ROIs for the traces."
    )
    neuropil_coefficient: float = tool_setting(
        0.7,
        "extraction.neuropil_coefficient",
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
