"""Electrophysiology: the probe, a piece of the raw signal, and the units with their waveforms and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nwbpipe.report._content import Figure, SessionContent, name_with_step, path_of
from nwbpipe.report._envelope import read_rows
from nwbpipe.report._ephys_quality import draw_ephys_quality
from nwbpipe.report._picture import encode_picture
from nwbpipe.report._plot import BLUE, GREY, RED, Plot, find_limits
from nwbpipe.report._table import draw_table, format_value

_SNIPPET_S = 0.25
_MOST_CHANNELS = 384  # of the raw signal
_RATE_BINS = 400
_CARDS = 24  # units that are drawn one by one
_LAG_S, _LAG_BINS = 0.05, 50
_MOST_SPIKES = 20_000  # of a unit, for its autocorrelogram
_HIDDEN = {"spike_times", "waveform_mean", "waveform_sd", "waveforms", "electrodes", "obs_intervals"}


def draw_ephys(content: SessionContent) -> Iterator[Figure]:
    """Draw the probe, a piece of each recording, its quality and drift, then each table of units."""
    tables = [table for table in content.find("Units") if len(table)]
    if content.nwbfile.electrodes is not None and len(content.nwbfile.electrodes):
        yield from _draw_probe(content, tables)
    for series in content.find("ElectricalSeries"):
        if len(series.data.shape) == 2 and series.data.shape[0] > 1:
            yield from _draw_snippet(content, series)
            content.mark_shown(series)
    yield from draw_ephys_quality(content)
    for table in tables:
        yield from _draw_units(content, table)
        content.mark_shown(table)


# Probe and signal -------------------------------------------------------------------------------------------


def _read_places(electrodes: Any) -> NDArray[np.float64] | None:
    """Return the positions of electrodes on their probe in micrometres, shape (n, 2); None where none are known."""
    for names in (("rel_x", "rel_y"), ("x", "y")):
        if all(name in electrodes.colnames for name in names):
            positions = np.column_stack([np.asarray(electrodes[name][:], dtype=np.float64) for name in names])
            if np.isfinite(positions).all() and len(np.unique(positions, axis=0)) > 1:
                return positions
    return None


def _draw_probe(content: SessionContent, tables: list[Any]) -> Iterator[Figure]:
    electrodes = content.nwbfile.electrodes
    positions = _read_places(electrodes)
    if positions is None:
        return
    groups = np.asarray([str(name) for name in electrodes["group_name"][:]])
    bad = _find_bad(electrodes)
    panels = []
    peaks_of = [_find_peaks(table) for table in tables]
    for group in sorted(set(groups))[:8]:
        rows = np.flatnonzero(groups == group)
        members = set(rows.tolist())
        plot = Plot(
            find_limits(positions[rows, 0], pad=0.3), find_limits(positions[rows, 1], pad=0.05),
            width=230, height=420,
            x_label=f"{group}: x (µm)", y_label="y (µm)", label=f"electrodes of {group}",
        )  # fmt: skip
        colors = [RED if bad[row] else GREY for row in rows]
        plot.points(
            positions[rows, 0],
            positions[rows, 1],
            color=colors,
            radius=2.2,
            texts=[f"electrode {row}" for row in rows],
        )
        for table, peak_electrodes in zip(tables, peaks_of, strict=True):
            units = [(unit, peak) for unit, peak in enumerate(peak_electrodes) if peak in members]
            if units:
                peaks = positions[[peak for _, peak in units]]
                plot.points(
                    peaks[:, 0],
                    peaks[:, 1],
                    color=BLUE,
                    radius=3.6,
                    texts=[f"unit {table.id[unit]}" for unit, _ in units],
                )
        panels.append(plot.render())
    body = Markup('<div class="row">{}</div>').format(Markup("").join(panels))
    yield Figure("Probes", body, "Electrodes grey, left out red; blue where a unit has its peak.")


def _find_bad(electrodes: Any) -> NDArray[np.bool_]:
    for name in ("is_bad", "bad", "bad_channel"):
        if name in electrodes.colnames:
            return np.asarray(electrodes[name][:]).astype(bool)
    return np.zeros(len(electrodes), dtype=bool)


def _find_peaks(table: Any) -> list[int]:
    """Return the electrode of each unit's peak, -1 where none is known."""
    for name in ("peak_electrode", "peak_channel", "peak_channel_id"):
        values = np.asarray(table[name].data[:]) if name in table.colnames else np.empty(0, dtype=object)
        if values.dtype.kind in "iuf":
            return [int(value) if np.isfinite(value) else -1 for value in values]
    if "electrodes" in table.colnames and "waveform_mean" in table.colnames:
        peaks = []
        for row in range(len(table)):
            electrodes = _electrodes_of(table, row)
            mean = np.asarray(table["waveform_mean"][row])
            best = int(np.argmax(np.ptp(mean, axis=0))) if mean.ndim == 2 else 0
            peaks.append(int(electrodes[best]) if best < len(electrodes) else -1)
        return peaks
    return [-1] * len(table)


def _electrodes_of(table: Any, row: int) -> NDArray[np.intp]:
    index = table["electrodes"]
    stop = int(index.data[row])
    start = int(index.data[row - 1]) if row else 0
    return np.asarray(index.target.data[start:stop])


def _draw_snippet(content: SessionContent, series: Any) -> Iterator[Figure]:
    times = series.timestamps
    count = int(series.data.shape[0])
    rate = float(series.rate) if series.rate else (count - 1) / max(float(times[-1] - times[0]), 1e-9)
    length = int(np.clip(_SNIPPET_S * rate, 2, min(count, 20_000)))
    start = (count - length) // 2
    values = read_rows(series, start, start + length)[:, :_MOST_CHANNELS]
    values = values - np.median(values, axis=0)
    first = float(times[start]) if times is not None else float(series.starting_time or 0.0) + start / rate
    noise = np.median(np.abs(values), axis=0) * 1.4826
    span, channels = (first, first + length / rate), (0.0, float(values.shape[1]))
    plot = Plot(span, channels, height=300, x_label="time (s)", y_label="channel")
    limit = 6 * float(np.median(noise)) or 1.0
    step = max(1, length // 1800)
    plot.picture(encode_picture(values[::step].T[::-1], low=-limit, high=limit), span, channels)
    yield Figure(
        f"{name_with_step(content, series)}: {length / rate:.3g} s in the middle", plot.render(),
        f"Grey is 0, black and white are ∓{format_value(limit * 1e6)} µV; the median of each channel was taken off.",
    )  # fmt: skip
    bars = Plot(
        (0, len(noise)), (0, float(noise.max()) * 1.1e6 or 1.0), height=130, x_label="channel", y_label="noise (µV)"
    )
    bars.bars(np.arange(len(noise) + 1), noise * 1e6)
    yield Figure(
        f"{name_with_step(content, series)}: noise",
        bars.render(),
        "Median of the absolute values × 1.4826, in that piece.",
    )


# Units ------------------------------------------------------------------------------------------------------


def _draw_units(content: SessionContent, table: Any) -> Iterator[Figure]:
    title = f"{path_of(table).rpartition('/')[2]}: {len(table)} units"
    trains = [np.asarray(table["spike_times"][row], dtype=np.float64) for row in range(len(table))]
    if not any(train.size for train in trains):
        return
    depths = _find_depths(content, table)
    order = np.argsort(depths, kind="stable") if depths is not None else np.arange(len(table))
    yield Figure(
        f"{title}, rates", _draw_rates([trains[row] for row in order]),
        "Each row is a unit, "
        + ("the deepest at the bottom" if depths is not None else "in the table's order")
        + "; white is its highest rate.",
    )  # fmt: skip
    cards = [_draw_card(table, row, trains[row]) for row in range(min(len(table), _CARDS))]
    yield Figure(
        f"{title}, one by one", Markup('<div class="row">{}</div>').format(Markup("").join(cards)),
        "Mean waveform of the best channel ± SD, and autocorrelogram of ±50 ms."
        + (f" The first {_CARDS} of {len(table)}." if len(table) > _CARDS else ""),
        is_folded=True,
    )  # fmt: skip
    columns = [name for name in table.colnames if name not in _HIDDEN and np.ndim(table[name].data) == 1]
    columns = [name for name in columns if not hasattr(table[name], "target")]
    if columns:
        rows = [
            [int(table.id[row]), *(table[name].data[row] for name in columns)] for row in range(min(len(table), 500))
        ]
        yield Figure(f"{title}, metrics", draw_table(["unit", *columns], rows), is_folded=True)


def _find_depths(content: SessionContent, table: Any) -> NDArray[np.float64] | None:
    for name in ("depth", "y_location", "estimated_y", "unit_depth"):
        if name in table.colnames:
            return np.nan_to_num(np.asarray(table[name][:], dtype=np.float64))
    electrodes = content.nwbfile.electrodes
    positions = None if electrodes is None else _read_places(electrodes)
    peaks = _find_peaks(table)
    if positions is None or all(peak < 0 for peak in peaks):
        return None
    return np.asarray([positions[peak, 1] if 0 <= peak < len(positions) else 0.0 for peak in peaks])


def _draw_rates(trains: list[NDArray[np.float64]]) -> Markup:
    stop = max(float(train[-1]) for train in trains if train.size)
    start = min(float(train[0]) for train in trains if train.size)
    edges = np.linspace(start, max(stop, start + 1e-3), _RATE_BINS + 1)
    rates = np.vstack([np.histogram(train, edges)[0] for train in trains]) / (edges[1] - edges[0])
    peak = np.percentile(rates, 99.5, axis=1, keepdims=True)
    share = rates / np.where(peak > 0, peak, 1.0)
    span, units = (float(edges[0]), float(edges[-1])), (0.0, float(len(trains)))
    plot = Plot(
        span,
        units,
        height=int(np.clip(8 * len(trains), 100, 400)) + 40,
        x_label="time (s)",
        y_label="units",
        y_ticks=False,
    )
    plot.picture(encode_picture(share[::-1], low=0.0, high=1.0), span, units)
    return plot.render()


def _draw_card(table: Any, row: int, train: NDArray[np.float64]) -> Markup:
    parts = []
    if "waveform_mean" in table.colnames:
        mean = np.asarray(table["waveform_mean"][row], dtype=np.float64)
        mean = mean[:, None] if mean.ndim == 1 else mean
        best = int(np.argmax(np.ptp(np.nan_to_num(mean), axis=0)))
        wave = mean[:, best] * 1e6
        spread = np.zeros_like(wave)
        if "waveform_sd" in table.colnames:
            sd = np.asarray(table["waveform_sd"][row], dtype=np.float64)
            spread = (sd if sd.ndim == 1 else sd[:, best]) * 1e6
        plot = Plot(
            (0, len(wave) - 1),
            find_limits(wave - spread, wave + spread),
            width=230,
            height=130,
            x_label="sample",
            y_label="µV",
        )
        plot.band(np.arange(len(wave)), wave - spread, wave + spread, BLUE, 0.25)
        plot.line(np.arange(len(wave)), wave)
        parts.append(plot.render())
    edges, counts = correlate_train(train)
    plot = Plot(
        (edges[0] * 1e3, edges[-1] * 1e3),
        (0, max(float(counts.max(initial=0)), 1.0)),
        width=230,
        height=130,
        x_label="lag (ms)",
        y_label="pairs",
    )
    plot.bars(edges * 1e3, counts)
    parts.append(plot.render())
    return Markup('<div class="card"><b>unit {}</b>, {} spikes<br>{}</div>').format(
        int(table.id[row]), train.size, Markup("").join(parts)
    )


def correlate_train(train: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the autocorrelogram of a spike train: edges in seconds, and pairs in each bin."""
    spikes = np.sort(train)[:_MOST_SPIKES]
    edges = np.linspace(-_LAG_S, _LAG_S, 2 * _LAG_BINS + 1)
    counts = np.zeros(2 * _LAG_BINS, dtype=np.int64)
    for shift in range(1, len(spikes)):
        lags = spikes[shift:] - spikes[:-shift]
        lags = lags[lags < _LAG_S]
        if not lags.size:
            break
        counts += np.histogram(lags, edges)[0] + np.histogram(-lags, edges)[0]
    return edges, counts
