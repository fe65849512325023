"""Parameters of the processor ``extract``, and those of EXTRACT 1.3 that may be given by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from nwbpipe.processors._base import Params
from nwbpipe.processors.imaging._settings import find_unknown_settings, own_settings, refuse_settings, tool_setting

#: Names of EXTRACT's ``get_defaults.m``.
SETTINGS: dict[str, tuple[str, ...]] = {
    "": (
        *("remove_duplicate_cells", "T_dup_thresh", "S_corr_thresh", "use_sparse_arrays", "cellfind_max_steps"),
        *("cellfind_kappa_std_ratio", "cellfind_adaptive_kappa", "init_with_gaussian", "avg_yield_threshold"),
        *("adaptive_kappa", "l1_penalty_factor", "trace_quantile", "cellfind_max_iter", "max_iter_S", "max_iter_T"),
        *("max_iter_T_final", "num_iter_stop_quality_checks", "cellfind_filter_type", "moving_radius_spatial"),
        *("moving_radius_temporal", "cellfind_spatial_highpass_cutoff", "baseline_quantile", "temporal_denoising"),
        *("remove_background", "second_df", "T_corr_thresh", "fix_zero_FOV_strips", "medfilt_outlier_pixels"),
        *("filter_sigma", "adaptive_kappa_filter", "min_radius_after_downsampling", "min_tau_after_downsampling"),
        *("reestimate_S_if_downsampled", "reestimate_T_if_downsampled", "low_cell_area_flag", "smoothing_ratio_x2y"),
        *("cellfind_numpix_threshold", "high2low_brightness_ratio", "T_lower_snr_threshold", "smooth_T", "smooth_S"),
        *("pre_mask_on", "pre_mask_radius", "minimal_checks", "cellfind_check_min_magnitude", "frr_check_every_step"),
        *("frr_edge_case_flag", "TOL_sub", "TOL_main", "kappa_iter_nums"),
    ),
    "thresholds": (
        *("spatial_corrupt_thresh", "eccent_thresh", "T_dup_corr_thresh", "S_dup_corr_thresh", "low_ST_index_thresh"),
        *("confidence_thresh", "high_ST_index_thresh", "low_ST_corr_thresh", "temporal_corrupt_thresh"),
    ),
}

KNOWN = {f"{group}.{name}" if group else name for group, names in SETTINGS.items() for name in names}


def find_wrong_settings(settings: Mapping[str, Any], own: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a mapping of EXTRACT's parameters, one line a mistake."""
    thresholds = settings.get("thresholds", {})
    if not isinstance(thresholds, Mapping):
        return ["'thresholds' is a group of EXTRACT's parameters: give names and values"]
    paths = [*(name for name in settings if name != "thresholds"), *(f"thresholds.{name}" for name in thresholds)]
    return find_unknown_settings(paths, own, KNOWN, "EXTRACT 1.3 has no parameter")


class ExtractParams(Params):
    """Parameters of ``extract``, by their names in EXTRACT 1.3, whose defaults they have. Lengths are in pixels."""

    avg_cell_radius: float = tool_setting(6.0, "avg_cell_radius", gt=0, description="Radius of a cell, in pixels.")
    engine: Literal["any", "octave", "matlab"] = Field(
        "any", description="What runs EXTRACT: MATLAB, GNU Octave, or the first of them that is there."
    )
    downsample_time_by: int = tool_setting(
        1, "downsample_time_by", ge=1, description="Frames that are averaged before cells are looked for."
    )
    downsample_space_by: int = tool_setting(
        1, "downsample_space_by", ge=1, description="Pixels that are averaged before cells are looked for."
    )
    dendrite_aware: bool = tool_setting(
        False, "dendrite_aware", description="Whether dendrites are kept, which fail the checks of shape."
    )
    preprocess: bool = tool_setting(
        True, "preprocess", description="Whether the movie is filtered and divided by its baseline (dF/F)."
    )
    skip_dff: bool = tool_setting(False, "skip_dff", description="Filter, but do not divide by the baseline.")
    spatial_highpass_cutoff: float = tool_setting(
        5.0, "spatial_highpass_cutoff", gt=0, description="High-pass filter, in cell radii."
    )
    spatial_lowpass_cutoff: float = tool_setting(
        2.0, "spatial_lowpass_cutoff", gt=0, description="Low-pass filter of the cell finding, in cell radii."
    )
    cellfind_min_snr: float = tool_setting(
        1.0, "cellfind_min_snr", ge=0, description="Signal-to-noise ratio at which cell finding stops."
    )
    kappa_std_ratio: float = tool_setting(
        0.7,
        "kappa_std_ratio",
        gt=0,
        description="Width of the robust loss in standard deviations of the noise; small: more robust.",
    )
    max_iter: int = tool_setting(6, "max_iter", ge=0, description="Rounds of cell refinement.")
    T_min_snr: float = tool_setting(
        7.0, "thresholds.T_min_snr", ge=0, description="Signal-to-noise ratio below which a cell is dropped."
    )
    size_lower_limit: float = tool_setting(
        0.1, "thresholds.size_lower_limit", ge=0, description="Smallest area of a cell, over that of avg_cell_radius."
    )
    size_upper_limit: float = tool_setting(
        10.0, "thresholds.size_upper_limit", gt=0, description="Largest area of a cell, over that of avg_cell_radius."
    )
    trace_output_option: Literal[
        "baseline_adjusted", "no_constraint", "nonneg", "least_squares", "nonnegative_least_squares"
    ] = tool_setting(
        "baseline_adjusted", "trace_output_option", description="How the traces are solved for at the end."
    )
    avg_event_tau: float = tool_setting(
        10.0, "avg_event_tau", gt=0, description="Decay time of a transient, in frames."
    )
    partitions: tuple[int, int] = tool_setting(
        (1, 1),
        decides=("num_partitions_x", "num_partitions_y"),
        description="Parts (x, y) that the frame is divided into.",
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Any other parameter of EXTRACT 1.3, e.g. {'thresholds': {'eccent_thresh': 4}}; "
        "'inf' is infinity.",
    )

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_settings(find_wrong_settings(value, own_settings(cls)))
        return value

    @field_validator("partitions")
    @classmethod
    def _check_positive(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 1:
            msg = f"expected two numbers of parts, each 1 or more, found {value}"
            raise ValueError(msg)
        return value
