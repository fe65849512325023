"""The parameters of EXTRACT 1.3 that may be given by name, and the ones that nwbpipe decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nwbpipe.processors.imaging._settings import check_setting_names

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

#: Parameters that are parameters of the processor: given there, so that one value can't contradict another.
OWN = {
    **{
        name: name
        for name in (
            *(
                "avg_cell_radius",
                "downsample_time_by",
                "downsample_space_by",
                "dendrite_aware",
                "preprocess",
                "skip_dff",
            ),
            *("spatial_highpass_cutoff", "spatial_lowpass_cutoff", "cellfind_min_snr", "kappa_std_ratio", "max_iter"),
            *("trace_output_option", "avg_event_tau"),
        )
    },
    "num_partitions_x": "partitions",
    "num_partitions_y": "partitions",
    "thresholds.T_min_snr": "T_min_snr",
    "thresholds.size_lower_limit": "size_lower_limit",
    "thresholds.size_upper_limit": "size_upper_limit",
}

KNOWN = {f"{group}.{name}" if group else name for group, names in SETTINGS.items() for name in names}


def check_settings(settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a mapping of EXTRACT's parameters, one line a mistake."""
    thresholds = settings.get("thresholds", {})
    if not isinstance(thresholds, Mapping):
        return ["'thresholds' is a group of EXTRACT's parameters: give names and values"]
    paths = [*(name for name in settings if name != "thresholds"), *(f"thresholds.{name}" for name in thresholds)]
    return check_setting_names(paths, OWN, KNOWN, "EXTRACT 1.3 has no parameter")
