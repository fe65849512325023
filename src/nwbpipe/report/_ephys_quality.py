"""Quality of electrophysiology: channels by depth, drift along the probe, and the metrics of units."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nwbpipe.report._content import Figure, SessionContent, name_with_step
from nwbpipe.report._picture import encode_picture
from nwbpipe.report._plot import BLUE, GREEN, GREY, ORANGE, PALETTE, RED, VERDICT_COLORS, Plot, find_limits

Floats = NDArray[np.float64]

_LABELS = {"good": GREEN, "dead": RED, "noisy": ORANGE, "out": GREY}
#: Measures of channels that are drawn by depth, and what they are.
_CHANNEL_MEASURES = {
    "rms_uv": "RMS (µV)",
    "noise_uv": "noise (µV)",
    "coherence": "coherence",
    "hf_power": "power at high frequencies",
}
_MOST_PIXELS = 1800
_SPECTRUM_PIXELS = 400
_BINS = 30
_DEPTHS = re.compile(r"depths from (-?[\d.e+]+) to (-?[\d.e+]+) micrometers")


def draw_ephys_quality(content: SessionContent) -> Iterator[Figure]:
    """Draw the labels of channels, the drift of probes, and histograms of the metrics of units."""
    for table in content.find("DynamicTable"):
        kind = table.name.partition("_")[0]
        if kind == "ChannelQuality" and {"electrode", "label"} <= set(table.colnames):
            yield from _draw_channels(content, table)
            name = table.name.replace("ChannelQuality", "ChannelSpectrum", 1)
            spectrum = getattr(table.parent, "data_interfaces", {}).get(name)
            if spectrum is not None:
                yield from _draw_spectrum(content, table, spectrum)
        elif kind == "UnitQuality" and "verdict" in table.colnames:
            yield from _draw_metrics(content, table)
    for series in content.find("TimeSeries"):
        windows = getattr(series.parent, "data_interfaces", {}).get(series.name.replace("Motion", "MotionWindows", 1))
        if series.name.startswith("Motion_") and windows is not None and len(series.data.shape) == 2:
            yield _draw_drift(content, series, windows)
            content.mark_shown(series)


def _draw_channels(content: SessionContent, table: Any) -> Iterator[Figure]:
    electrodes = content.nwbfile.electrodes
    if electrodes is None or "rel_y" not in electrodes.colnames:
        return
    rows = np.asarray(table["electrode"].data[:], dtype=np.int64)
    depths = np.asarray(electrodes["rel_y"].data[:], dtype=np.float64)[rows]
    labels = [str(label) for label in table["label"].data[:]]
    colors = [_LABELS.get(label, BLUE) for label in labels]
    panels = []
    for name in (name for name in _CHANNEL_MEASURES if name in table.colnames):
        values = np.asarray(table[name].data[:], dtype=np.float64)
        plot = Plot(
            find_limits(values), find_limits(depths), width=215, height=380,
            x_label=_CHANNEL_MEASURES[name], y_label="depth (µm)",
        )  # fmt: skip
        texts = [f"electrode {row}: {label}" for row, label in zip(rows, labels, strict=True)]
        plot.points(values, depths, color=colors, radius=2.4, texts=texts)
        panels.append(plot.render())
    if panels:
        counts = ", ".join(f"{labels.count(label)} {label}" for label in dict.fromkeys(labels))
        body = Markup('<div class="row">{}</div>').format(Markup("").join(panels))
        yield Figure(f"{name_with_step(content, table)}: channels by depth", body, f"{counts}.")


def _draw_spectrum(content: SessionContent, table: Any, spectrum: Any) -> Iterator[Figure]:
    """Draw the power of each band by depth, in decibels."""
    electrodes = content.nwbfile.electrodes
    rows = np.asarray(table["electrode"].data[:], dtype=np.int64)
    is_known = {"low_hz", "high_hz", "power"} <= set(spectrum.colnames)
    if electrodes is None or "rel_y" not in electrodes.colnames or not is_known or not len(spectrum):
        return
    power = np.asarray(spectrum["power"].data[:], dtype=np.float64)
    edges = np.append(spectrum["low_hz"].data[:], spectrum["high_hz"].data[-1]).astype(np.float64)
    depths = np.asarray(electrodes["rel_y"].data[:], dtype=np.float64)[rows]
    if power.shape != (len(spectrum), len(rows)) or not (edges > 0).all() or np.ptp(depths) == 0:
        return
    decibels = 10 * np.log10(np.where(power > 0, power, np.nan))
    if not np.isfinite(decibels).any():
        return
    frequencies = np.geomspace(edges[0], edges[-1], _SPECTRUM_PIXELS, endpoint=False)
    columns = np.searchsorted(edges, frequencies, side="right") - 1
    levels = np.linspace(depths.max(), depths.min(), min(_SPECTRUM_PIXELS, 2 * len(np.unique(depths))))
    nearest = np.abs(levels[:, None] - depths[None, :]).argmin(axis=1)
    low, high = (float(value) for value in np.nanpercentile(decibels, (2, 99)))
    span, extent = (float(np.log10(edges[0])), float(np.log10(edges[-1]))), (float(depths.min()), float(depths.max()))
    plot = Plot(span, extent, width=560, height=320, x_label="log₁₀ of the frequency (Hz)", y_label="depth (µm)")
    plot.picture(encode_picture(decibels[columns][:, nearest].T, low=low, high=high), span, extent)
    text = f"Black is {low:.0f}, white {high:.0f} dB over 1 µV²/Hz; at each depth the nearest channel."
    yield Figure(f"{name_with_step(content, spectrum)}: power by depth", plot.render(), text)
    content.mark_shown(spectrum)


def _draw_drift(content: SessionContent, series: Any, windows: Any) -> Figure:
    times = np.asarray(series.get_timestamps()[:], dtype=np.float64)
    step = max(1, len(times) // _MOST_PIXELS)
    moved = np.asarray(series.data[::step], dtype=np.float64)
    depths = np.asarray(windows["depth_um"].data[:], dtype=np.float64)
    raster = series.parent.data_interfaces.get(series.name.replace("Motion", "DriftRaster", 1))
    found = None if raster is None else _DEPTHS.search(str(raster.description))
    span = find_limits(times, pad=0.0)
    if raster is not None and found is not None:
        extent = (float(found[1]), float(found[2]))
        text = "Spikes by time and depth, with the drift of each depth window in red"
    else:
        extent = find_limits(depths + moved, pad=0.1)
        text = "The drift of each depth window, about its depth"
    plot = Plot(span, extent, height=320, x_label="time (s)", y_label="depth (µm)")
    if raster is not None and found is not None:
        counts = np.asarray(raster.data[:: max(1, raster.data.shape[0] // _MOST_PIXELS)], dtype=np.float64)
        plot.picture(encode_picture(-np.log1p(counts.T[::-1])), span, extent)
        content.mark_shown(raster)
    for number, depth in enumerate(depths):
        color = RED if found is not None else PALETTE[number % len(PALETTE)]
        plot.line(times[::step], depth + moved[:, number], color)
    largest = float(np.max(np.ptp(moved, axis=0))) if len(moved) else 0.0
    return Figure(f"{name_with_step(content, series)}: drift", plot.render(), f"{text}; {largest:.1f} µm at most.")


def _draw_metrics(content: SessionContent, table: Any) -> Iterator[Figure]:
    verdicts = [str(verdict) for verdict in table["verdict"].data[:]]
    panels = []
    for name in table.colnames:
        values = np.asarray(table[name].data[:]) if name not in ("verdict", "reasons", "unit") else np.empty(0)
        values = values[np.isfinite(values)] if values.ndim == 1 and values.dtype.kind in "iuf" else np.empty(0)
        if len(np.unique(values)) > 1:
            counts, edges = np.histogram(values, bins=min(_BINS, max(5, len(values))))
            plot = Plot((edges[0], edges[-1]), (0, float(counts.max())), width=220, height=120, x_label=name)
            plot.bars(edges, counts)
            panels.append(plot.render())
    plot = Plot((0, 3), (0, max(1.0, float(len(verdicts)))), width=220, height=120, x_label="fail, warn, pass")
    for place, verdict in enumerate(("fail", "warn", "pass")):
        plot.bars([place + 0.1, place + 0.9], [verdicts.count(verdict)], VERDICT_COLORS[verdict])
    body = Markup('<div class="row">{}</div>').format(Markup("").join([plot.render(), *panels]))
    counts_text = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("pass", "warn", "fail"))
    title = f"{name_with_step(content, table)}: metrics of {len(table)} units"
    yield Figure(title, body, f"{counts_text}; how many units have which value.", is_folded=True)
