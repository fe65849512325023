"""Series of a few channels: photometry, face, wheel and whatever else a file holds; and what events do to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nwbpipe.report._content import Figure, SessionContent, is_processed, name_with_step, path_of, types_of
from nwbpipe.report._envelope import read_envelope, read_rows, read_times
from nwbpipe.report._events import find_events
from nwbpipe.report._plot import PALETTE, Plot, find_limits

_MOST_CHANNELS = 6  # that are drawn of a series
_MOST_SERIES = 40  # of a section
_WINDOW_S = (-2.0, 5.0)
_LEAST_EVENTS = 5
_MOST_EVENTS = 500
_PHOTOMETRY = ("FiberPhotometryResponseSeries",)
_LONGEST = 50_000_000  # samples of a series that events are looked for in


def draw_photometry(content: SessionContent) -> Iterator[Figure]:
    """Draw raw and processed photometry, and its mean around each kind of event."""
    series = [
        item for item in content.find("TimeSeries") if not content.is_shown(item) and _is_photometry(item, content)
    ]
    for item in series[:_MOST_SERIES]:
        yield from _draw_series(content, item)
        if "dfoverf" in path_of(item).lower():
            yield from _draw_around_events(content, item)


def draw_signals(content: SessionContent) -> Iterator[Figure]:
    """Draw every other series that can be drawn as a few lines."""
    drawn = 0
    for item in content.find("TimeSeries"):
        if not content.is_shown(item) and drawn < _MOST_SERIES:
            for figure in _draw_series(content, item):
                drawn += 1
                yield figure


def draw_face(content: SessionContent) -> Iterator[Figure]:
    """Draw pupil, motion energy and the like: results of the face's tools."""
    words = ("pupil", "motionenergy", "motion_energy", "motionsvd", "face", "whisk", "blink")
    for item in content.find("TimeSeries"):
        name = path_of(item).lower()
        if not content.is_shown(item) and is_processed(item) and any(word in name for word in words):
            yield from _draw_series(content, item)


def _is_photometry(item: Any, content: SessionContent) -> bool:
    if types_of(item) & set(_PHOTOMETRY):
        return True
    step = content.find_step(item)
    return any(record.step == step and "photometry" in record.processor for record in content.records)


def _draw_series(content: SessionContent, series: Any) -> Iterator[Figure]:
    shape = tuple(int(size) for size in getattr(series.data, "shape", ()))
    if "ImageSeries" in types_of(series) or len(shape) not in (1, 2) or not shape[0]:
        return
    if np.dtype(getattr(series.data, "dtype", "O")).kind not in "biuf":
        return
    content.mark_shown(series)
    count = 1 if len(shape) == 1 else shape[1]
    if not count:
        return
    envelope = read_envelope(series, _MOST_CHANNELS)
    n_drawn = envelope.low.shape[1]
    plot = Plot(
        find_limits(envelope.times, pad=0),
        find_limits(envelope.low, envelope.high),
        x_label="time (s)",
        y_label=str(series.unit or ""),
    )
    for column in range(n_drawn):
        color = PALETTE[column % len(PALETTE)]
        plot.band(
            envelope.times, envelope.low[:, column], envelope.high[:, column], color, 0.75 if n_drawn > 1 else 1.0
        )
    notes = [f"The first {n_drawn} of {count} channels."] if count > n_drawn else []
    if envelope.is_sampled:
        notes.append("Only a part of each bin was read.")
    if series.timestamps is None and series.rate:
        notes.append(f"{series.rate:.6g} Hz.")
    yield Figure(name_with_step(content, series), plot.render(), " ".join(notes))


def _draw_around_events(content: SessionContent, series: Any) -> Iterator[Figure]:
    if int(np.prod(series.data.shape, dtype=np.int64)) > _LONGEST:
        return
    times, values = read_times(series), read_rows(series, 0, int(series.data.shape[0]))
    panels = []
    for name, events in find_events(content):
        window, mean, error, count = average_around(times, values, events)
        if count < _LEAST_EVENTS:
            continue
        plot = Plot(
            _WINDOW_S, find_limits(mean - error, mean + error), width=300, height=190,
            x_label=f"time from {name} (s)", y_label=str(series.unit or ""), label=f"{series.name} around {name}",
        )  # fmt: skip
        plot.marks([0.0], *plot.y, color="#bbb")
        for column in range(mean.shape[1]):
            color = PALETTE[column % len(PALETTE)]
            plot.band(window, mean[:, column] - error[:, column], mean[:, column] + error[:, column], color, 0.25)
            plot.line(window, mean[:, column], color)
        panels.append(Markup('<div class="card">{}<span>{} events</span></div>').format(plot.render(), count))
    if panels:
        body = Markup('<div class="row">{}</div>').format(Markup("").join(panels[:12]))
        yield Figure(
            f"{name_with_step(content, series)} around events",
            body,
            "Mean ± SEM of all windows that lie in the recording.",
        )


def average_around(
    times: NDArray[np.float64], values: NDArray[np.float64], events: NDArray[np.float64], bins: int = 140
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int]:
    """Average a series around events.

    Parameters
    ----------
    times : ndarray, float64, shape (n_samples,)
    values : ndarray, float64, shape (n_samples, n_channels)
    events : ndarray, float64, shape (n_events,)
        Times of the events; those whose window leaves the recording are left out.
    bins : int
        Number of times in the window.

    Returns
    -------
    window : ndarray, float64, shape (bins,)
        Seconds from the event.
    mean, error : ndarray, float64, shape (bins, n_channels)
        Mean, and standard error of the mean.
    count : int
        Number of events that were used.
    """
    window = np.linspace(*_WINDOW_S, bins)
    inside = (events + _WINDOW_S[0] >= times[0]) & (events + _WINDOW_S[1] <= times[-1])
    chosen = events[inside]
    if chosen.size > _MOST_EVENTS:
        chosen = chosen[np.linspace(0, chosen.size - 1, _MOST_EVENTS).astype(int)]
    if not chosen.size:
        empty = np.full((bins, values.shape[1]), np.nan)
        return window, empty, empty, 0
    moments = chosen[:, None] + window
    stacked = np.stack([np.interp(moments, times, values[:, column]) for column in range(values.shape[1])], axis=-1)
    mean = stacked.mean(axis=0)
    error = stacked.std(axis=0, ddof=1) / np.sqrt(len(chosen)) if len(chosen) > 1 else np.zeros_like(mean)
    return window, mean, error, len(chosen)
