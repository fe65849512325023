"""Parameters of the processor ``extract``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from nwbpipe.processors._base import Params
from nwbpipe.processors.imaging._settings import make_validator
from nwbpipe.processors.imaging.extract._settings import check_settings


class ExtractParams(Params):
    """Parameters of ``extract``, by their names in EXTRACT 1.3, whose defaults they have. Lengths are in pixels."""

    avg_cell_radius: float = Field(6.0, gt=0, description="Radius of a cell, in pixels.")
    engine: Literal["any", "octave", "matlab"] = Field(
        "any", description="What runs EXTRACT: MATLAB, GNU Octave, or the first of them that is there."
    )
    downsample_time_by: int = Field(1, ge=1, description="Frames that are averaged before cells are looked for.")
    downsample_space_by: int = Field(1, ge=1, description="Pixels that are averaged before cells are looked for.")
    dendrite_aware: bool = Field(False, description="Whether dendrites are kept, which fail the checks of shape.")
    preprocess: bool = Field(True, description="Whether the movie is filtered and divided by its baseline (dF/F).")
    skip_dff: bool = Field(False, description="Filter, but do not divide by the baseline.")
    spatial_highpass_cutoff: float = Field(5.0, gt=0, description="High-pass filter, in cell radii.")
    spatial_lowpass_cutoff: float = Field(
        2.0, gt=0, description="Low-pass filter of the cell finding, in cell radii."
    )
    cellfind_min_snr: float = Field(1.0, ge=0, description="Signal-to-noise ratio at which cell finding stops.")
    kappa_std_ratio: float = Field(
        0.7, gt=0, description="Width of the robust loss in standard deviations of the noise; small: more robust."
    )
    max_iter: int = Field(6, ge=0, description="Rounds of cell refinement.")
    T_min_snr: float = Field(7.0, ge=0, description="Signal-to-noise ratio below which a cell is dropped.")
    size_lower_limit: float = Field(0.1, ge=0, description="Smallest area of a cell, over that of avg_cell_radius.")
    size_upper_limit: float = Field(10.0, gt=0, description="Largest area of a cell, over that of avg_cell_radius.")
    trace_output_option: Literal[
        "baseline_adjusted", "no_constraint", "nonneg", "least_squares", "nonnegative_least_squares"
    ] = Field("baseline_adjusted", description="How the traces are solved for at the end.")
    avg_event_tau: float = Field(10.0, gt=0, description="Decay time of a transient, in frames.")
    partitions: tuple[int, int] = Field((1, 1), description="Parts (x, y) that the frame is divided into.")
    settings: Annotated[dict[str, Any], make_validator(check_settings)] = Field(
        default_factory=dict,
        description="Any other parameter of EXTRACT 1.3, e.g. {'thresholds': {'eccent_thresh': 4}}; "
        "'inf' is infinity.",
    )

    @field_validator("partitions")
    @classmethod
    def _check_positive(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 1:
            msg = f"expected two numbers of parts, each 1 or more, found {value}"
            raise ValueError(msg)
        return value
