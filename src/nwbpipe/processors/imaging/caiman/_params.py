"""Parameters of the processor ``caiman``, and those of CaImAn 1.12 that may be given by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from nwbpipe.processors._base import Params
from nwbpipe.processors.imaging._settings import find_unknown_settings, own_settings, refuse_settings, tool_setting

#: The network that judges footprints: a file of CaImAn's repository.
CNN = "cnn_model.h5"

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

KNOWN = {f"{group}.{name}" for group, names in SETTINGS.items() for name in names}


def find_wrong_settings(settings: Mapping[str, Any], own: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a mapping of CaImAn's groups of parameters, one line a mistake."""
    groups = ", ".join(SETTINGS)
    problems = [
        f"{group!r} is not a group of CaImAn's parameters; the groups are {groups}"
        for group, values in settings.items()
        if not isinstance(values, Mapping)
    ]
    paths = [
        f"{group}.{name}" for group, values in settings.items() if isinstance(values, Mapping) for name in values
    ]
    problems += [f"{path} is {OF_THE_MOVIE[path]}: it can't be set" for path in paths if path in OF_THE_MOVIE]
    paths = [path for path in paths if path not in OF_THE_MOVIE]
    return problems + find_unknown_settings(
        paths, own, KNOWN, "CaImAn 1.12 has no parameter", f"; the groups are {groups}"
    )


class CaimanParams(Params):
    """Parameters of ``caiman``, by their names in CaImAn 1.12; the defaults are its own but for `p`, `use_cnn`.

    Lengths are in pixels. Where there are two, the first is along x, the second axis of the series.
    """

    decay_time: float = tool_setting(
        0.4, "data.decay_time", gt=0, le=10, description="Decay time of a transient, in seconds: 0.4 for GCaMP6f."
    )
    motion: Literal["none", "rigid", "piecewise"] = tool_setting(
        "rigid",
        decides=("motion.pw_rigid",),
        description="Motion correction (NoRMCorre): of whole frames, or of overlapping blocks of them; 'none' takes "
        "the movie as it is.",
    )
    max_shifts: tuple[int, int] = tool_setting(
        (6, 6), "motion.max_shifts", description="Largest rigid shift (x, y), in pixels."
    )
    strides: tuple[int, int] = tool_setting(
        (96, 96), "motion.strides", description="Distance (x, y) of the blocks of a piecewise correction, in pixels."
    )
    overlaps: tuple[int, int] = tool_setting(
        (32, 32),
        "motion.overlaps",
        description="Overlap (x, y) of these blocks, in pixels: a block has strides + overlaps.",
    )
    max_deviation_rigid: int = tool_setting(
        3,
        "motion.max_deviation_rigid",
        ge=1,
        description="Largest deviation of a block's shift from its frame's, in pixels.",
    )
    gSig_filt: tuple[int, int] | None = tool_setting(  # noqa: N815 (CaImAn's name)
        None,
        "motion.gSig_filt",
        description="Width (sigma) of the high-pass filter before motion is estimated, in pixels, for one-photon "
        "movies; null: no filter.",
    )
    method: Literal["cnmf", "cnmfe"] = tool_setting(
        "cnmf",
        decides=("init.method_init", "init.center_psf"),
        description="CNMF for two-photon movies, CNMF-E (with a ring model of the background) for one photon.",
    )
    K: int | None = tool_setting(
        30,
        "init.K",
        ge=1,
        description="Number of components that are looked for: in each patch, or in the frame if rf is null; null, "
        "with cnmfe: as many as pass min_corr and min_pnr.",
    )
    gSig: tuple[int, int] = tool_setting(  # noqa: N815
        (5, 5), "init.gSig", description="Half the size of a cell (x, y), in pixels."
    )
    p: Literal[0, 1, 2] = tool_setting(
        1,
        "preprocess.p",
        "temporal.p",
        description="Order of the autoregressive model of a transient: 1 decays at once, 2 rises first, 0 has none.",
    )
    nb: int = tool_setting(
        1,
        "init.nb",
        decides=("spatial.nb", "temporal.nb"),
        ge=-2,
        description="Number of background components; -2 to 0: models of CNMF-E's ring.",
    )
    rf: int | None = tool_setting(
        None,
        "patch.rf",
        ge=4,
        description="Half the size of the patches that are worked on by themselves; null: the whole frame.",
    )
    stride: int | None = tool_setting(
        None, "patch.stride", ge=0, description="Overlap of these patches, in pixels; null: half of rf."
    )
    ssub: int = tool_setting(2, "init.ssub", ge=1, description="Spatial downsampling of the initialisation.")
    tsub: int = tool_setting(2, "init.tsub", ge=1, description="Temporal downsampling of the initialisation.")
    merge_thr: float = tool_setting(
        0.8, "merging.merge_thr", ge=0, le=1, description="Correlation above which overlapping components are merged."
    )
    min_corr: float = tool_setting(
        0.85, "init.min_corr", ge=0, le=1, description="cnmfe: smallest local correlation of a seed pixel."
    )
    min_pnr: float = tool_setting(
        20, "init.min_pnr", gt=0, description="cnmfe: smallest peak-to-noise ratio of a seed pixel."
    )
    refit: bool = Field(True, description="cnmf: refine the components on the whole frame, with the first as start.")
    min_SNR: float = tool_setting(  # noqa: N815
        2.5, "quality.min_SNR", ge=0, description="Signal-to-noise ratio above which a component is accepted."
    )
    rval_thr: float = tool_setting(
        0.8,
        "quality.rval_thr",
        ge=-1,
        le=1,
        description="Correlation of footprint and data above which a component is accepted.",
    )
    use_cnn: bool = tool_setting(
        False,
        "quality.use_cnn",
        description=f"Judge footprints by CaImAn's network as well (its file {CNN} must be there).",
    )
    min_cnn_thr: float = tool_setting(
        0.9, "quality.min_cnn_thr", ge=0, le=1, description="The network's value above which one is accepted."
    )
    cnn_lowest: float = tool_setting(
        0.1, "quality.cnn_lowest", ge=0, le=1, description="The network's value below which one is rejected."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Any other parameter of CaImAn 1.12, by group as in CNMFParams, e.g. "
        "{'spatial': {'nrgthr': 0.99}}.",
    )

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_settings(find_wrong_settings(value, own_settings(cls)))
        return value

    @field_validator("max_shifts", "strides", "overlaps", "gSig", "gSig_filt")
    @classmethod
    def _check_positive(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and min(value) < 1:
            msg = f"expected two lengths of at least 1 pixel, found {value}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _check_consistency(self) -> CaimanParams:
        if self.method == "cnmf" and self.K is None:
            msg = "K is null: CNMF needs a number of components; only CNMF-E finds it by itself"
            raise ValueError(msg)
        if self.method == "cnmf" and self.nb < 1:
            msg = f"nb is {self.nb}: CNMF needs a background component; 0 and less are models of CNMF-E"
            raise ValueError(msg)
        if self.stride is not None and self.rf is None:
            msg = "stride is given without rf: there are no patches that could overlap"
            raise ValueError(msg)
        return self
