"""The parameters of CaImAn 1.12 that may be given by name, and the ones that nwbpipe decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nwbpipe.processors.imaging._settings import check_setting_names

#: Names of ``caiman.source_extraction.cnmf.params.CNMFParams`` of version 1.12, in their groups.
SETTINGS: dict[str, tuple[str, ...]] = {
    "data": ("dxy",),
    "motion": (
        *("min_mov", "niter_rig", "nonneg_movie", "num_frames_split", "num_splits_to_process_rig", "splits_els"),
        *("splits_rig", "upsample_factor_grid", "shifts_interpolate"),
    ),
    "init": (
        *("SC_kernel", "SC_sigma", "SC_thr", "SC_normalize", "SC_use_NN", "SC_nnn", "alpha_snmf", "gSiz"),
        *(
            "greedyroi_nmf_init_method",
            "greedyroi_nmf_max_iter",
            "init_iter",
            "kernel",
            "lambda_gnmf",
            "snmf_l1_ratio",
        ),
        *("maxIter", "max_iter_snmf", "nIter", "normalize_init", "options_local_NMF", "perc_baseline_snmf"),
        *("ring_size_factor", "rolling_length", "rolling_sum", "seed_method", "sigma_smooth_snmf", "ssub_B"),
    ),
    "patch": (
        *("border_pix", "del_duplicates", "in_memory", "low_rank_background", "memory_fact", "nb_patch", "only_init"),
        *("p_patch", "remove_very_bad_comps", "skip_refinement", "p_ssub", "p_tsub"),
    ),
    "preprocess": (
        *("check_nan", "compute_g", "include_noise", "lags", "max_num_samples_fft", "noise_method", "noise_range"),
        "n_pixels_per_process",
    ),
    "spatial": (
        *("dist", "expandCore", "extract_cc", "maxthr", "medw", "method_exp", "method_ls", "normalize_yyt_one"),
        *("nrgthr", "num_blocks_per_run_spat", "se", "ss", "thr_method", "update_background_components"),
    ),
    "temporal": (
        *("ITER", "bas_nonneg", "block_size_temp", "fudge_factor", "lags", "optimize_g", "method_deconvolution"),
        *("noise_method", "noise_range", "num_blocks_per_run_temp", "s_min", "solvers", "verbosity"),
    ),
    "merging": ("do_merge", "merge_parallel", "max_merge_area"),
    "quality": ("SNR_lowest", "gSig_range", "rval_lowest", "use_ecc", "max_ecc"),
}

#: Parameters that come with the movie.
OF_THE_MOVIE = {"data.fr": "the movie's rate", "data.fnames": "the input 'movie'"}

#: Parameters that are parameters of the processor: given there, so that one value can't contradict another.
OWN = {
    "data.decay_time": "decay_time",
    "motion.pw_rigid": "motion",
    "motion.max_shifts": "max_shifts",
    "motion.strides": "strides",
    "motion.overlaps": "overlaps",
    "motion.max_deviation_rigid": "max_deviation_rigid",
    "motion.gSig_filt": "gSig_filt",
    "init.K": "K",
    "init.gSig": "gSig",
    "init.nb": "nb",
    "init.ssub": "ssub",
    "init.tsub": "tsub",
    "init.method_init": "method",
    "init.center_psf": "method",
    "init.min_corr": "min_corr",
    "init.min_pnr": "min_pnr",
    "patch.rf": "rf",
    "patch.stride": "stride",
    "preprocess.p": "p",
    "temporal.p": "p",
    "spatial.nb": "nb",
    "temporal.nb": "nb",
    "merging.merge_thr": "merge_thr",
    "quality.min_SNR": "min_SNR",
    "quality.rval_thr": "rval_thr",
    "quality.use_cnn": "use_cnn",
    "quality.min_cnn_thr": "min_cnn_thr",
    "quality.cnn_lowest": "cnn_lowest",
}

KNOWN = {f"{group}.{name}" for group, names in SETTINGS.items() for name in names}


def check_settings(settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a mapping of CaImAn's groups of parameters, one line a mistake."""
    groups = ", ".join(SETTINGS)
    problems = [
        f"{group!r} is no group of CaImAn's parameters with names; they are {groups}"
        for group, values in settings.items()
        if not isinstance(values, Mapping)
    ]
    paths = [
        f"{group}.{name}" for group, values in settings.items() if isinstance(values, Mapping) for name in values
    ]
    problems += [f"{path} is {OF_THE_MOVIE[path]}: it can't be set" for path in paths if path in OF_THE_MOVIE]
    paths = [path for path in paths if path not in OF_THE_MOVIE]
    return problems + check_setting_names(
        paths, OWN, KNOWN, "CaImAn 1.12 has no parameter", f"; the groups are {groups}"
    )
