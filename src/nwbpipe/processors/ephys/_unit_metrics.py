"""Metrics of units: what each is, with its unit, and the sets of thresholds that labs use."""

from __future__ import annotations

from typing import Any

from nwbpipe.processors.ephys._units import METRICS

_PCS = "on the first principal components of the waveforms near the unit's main channel"
#: Beyond those that a sorting has: SpikeInterface's names, what they are, and their units.
FURTHER = {
    "sync_spike_2": "Fraction of spikes with a spike of another unit at the same sample, 0 to 1",
    "sync_spike_4": "Fraction of spikes with spikes of three other units at the same sample, 0 to 1",
    "sync_spike_8": "Fraction of spikes with spikes of seven other units at the same sample, 0 to 1",
    "firing_range": "5th to 95th percentile of the firing rate in bins of 10 s, in Hz",
    "amplitude_cv_median": "Median over bins of the spike amplitudes' standard deviation over mean, without unit",
    "amplitude_cv_range": "5th to 95th percentile of the same, without unit",
    "noise_cutoff": "Excess of spikes in the lowest amplitude bins over the upper quartile, in its standard "
    "deviations (International Brain Laboratory 2022)",
    "noise_ratio": "Spikes in the lowest amplitude bins over those in the fullest bin, without unit",
    "drift_ptp": "Peak to peak of the median spike depth over intervals of 60 s, in micrometers (NaN under two)",
    "drift_std": "Standard deviation of the same, in micrometers",
    "drift_mad": "Median absolute deviation of the same, in micrometers",
    "cumulative_drift": "Sum of the steps between the median spike depths of intervals of 60 s, in micrometers "
    "(NaN under two)",
    "isolation_distance": f"Mahalanobis distance within which as many other spikes lie as the unit has, {_PCS} "
    "(Schmitzer-Torbert et al. 2005), without unit",
    "l_ratio": f"Other spikes weighted by their Mahalanobis distance, over the unit's spikes, {_PCS} "
    "(Schmitzer-Torbert et al. 2005), without unit",
    "d_prime": f"Distance of the unit from others by linear discriminant analysis, {_PCS} (Hill et al. 2011)",
    "nn_hit_rate": f"Fraction of the nearest neighbours of its spikes that are its own, {_PCS} (Chung et al. 2017)",
    "nn_miss_rate": f"Fraction of other spikes' nearest neighbours that are its own, {_PCS} (Chung et al. 2017)",
    "silhouette": f"Silhouette score: distance to the nearest other unit against that within, {_PCS}, -1 to 1",
    "amplitude": "Peak to peak of the mean waveform on the unit's main channel, in microvolts",
    "peak_to_trough_duration": "Time from the trough of the mean waveform to the next peak, in seconds",
    "trough_half_width": "Width of the trough at half its depth, in seconds",
    "peak_half_width": "Width of the peak at half its height, in seconds",
    "repolarization_slope": "Slope from the trough back to the baseline, in microvolts per second",
    "recovery_slope": "Slope after the peak, in microvolts per second",
    "num_positive_peaks": "Number of positive peaks of the mean waveform",
    "num_negative_peaks": "Number of troughs of the mean waveform",
    "main_to_next_extremum_duration": "Time from the main extremum to the next, in seconds",
    "peak_before_to_trough_ratio": "Height of the peak before the trough over the trough's depth, without unit",
    "peak_after_to_trough_ratio": "Height of the peak after the trough over the trough's depth, without unit",
    "peak_before_to_peak_after_ratio": "Height of the peak before over that of the peak after, without unit",
    "main_peak_to_trough_ratio": "Height of the main peak over the trough's depth, without unit",
    "trough_width": "Width of the trough, in seconds",
    "peak_before_width": "Width of the peak before the trough, in seconds",
    "peak_after_width": "Width of the peak after the trough, in seconds",
    "waveform_baseline_flatness": "Largest value before the spike over that of the waveform, without unit",
    "velocity_above": "Speed of the spike along the probe above the main channel, in micrometers per millisecond",
    "velocity_below": "Speed of the spike along the probe below the main channel, in micrometers per millisecond",
    "exp_decay": "Decay of the amplitude with distance, exponential fit, in 1/micrometers",
    "spread": "Extent along the probe of the channels with 20 % of the largest amplitude, in micrometers",
}
DESCRIPTIONS = {**METRICS, **FURTHER}
KNOWN = {"unit": DESCRIPTIONS}

#: Names of the same in files of the Allen Institute, and the factor to its unit (durations in milliseconds).
ALLEN_NAMES: dict[str, tuple[str, float]] = {
    "isi_violations_ratio": ("isi_violations", 1.0),
    "l_ratio": ("L_ratio", 1.0),
    "drift_ptp": ("max_drift", 1.0),
    "amplitude": ("waveform_amplitude", 1.0),
    "peak_to_trough_duration": ("waveform_duration", 1e3),
    "trough_half_width": ("waveform_halfwidth", 1e3),
    "main_peak_to_trough_ratio": ("PT_ratio", 1.0),
    "silhouette": ("silhouette_score", 1.0),
}

#: Thresholds as their labs publish them, by name.
THRESHOLDS: dict[str, dict[str, Any]] = {
    # Allen Brain Observatory, defaults of AllenSDK's EcephysSession.
    "allen": {
        "name": "allen",
        "unit": {
            "isi_violations_ratio": {"fail_above": 0.5},
            "amplitude_cutoff": {"fail_above": 0.1},
            "presence_ratio": {"fail_below": 0.95},
        },
    },
    # International Brain Laboratory 2022, "Spike sorting pipeline for the International Brain Laboratory".
    "ibl": {
        "name": "ibl",
        "unit": {
            "sliding_rp_violation": {"fail_above": 0.1},
            "noise_cutoff": {"fail_above": 20.0},
            "amplitude_median": {"fail_below": 50.0},
        },
    },
    # Allen Institute for Neural Dynamics, default_qc of its pipeline.
    "aind": {
        "name": "aind",
        "unit": {
            "presence_ratio": {"fail_below": 0.8},
            "isi_violations_ratio": {"fail_above": 0.5},
            "amplitude_cutoff": {"fail_above": 0.1},
        },
    },
}
