"""The settings of suite2p 1.1 that may be given by name, and the ones that nwbpipe decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nwbpipe.processors.imaging._settings import check_setting_names

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

#: Settings that are parameters of the processor: given there, so that one value can't contradict another.
OWN = {
    "registration.nimg_init": "nimg_init",
    "registration.maxregshift": "maxregshift",
    "registration.batch_size": "batch_size",
    "registration.nonrigid": "nonrigid",
    "registration.block_size": "block_size",
    "registration.smooth_sigma": "smooth_sigma",
    "registration.two_step_registration": "two_step_registration",
    "detection.algorithm": "algorithm",
    "detection.threshold_scaling": "threshold_scaling",
    "detection.max_overlap": "max_overlap",
    "detection.sparsery_settings.spatial_scale": "spatial_scale",
    "extraction.neuropil_coefficient": "neuropil_coefficient",
    "extraction.allow_overlap": "allow_overlap",
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


def check_settings(settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a nested mapping of suite2p settings, one line a mistake."""
    groups = ", ".join(SETTINGS)
    return check_setting_names(
        _iter_leaves(settings), OWN, KNOWN, "suite2p 1.1 has no setting", f"; the groups are {groups}"
    )
