"""Optical physiology: the plane with its ROIs, their traces, and the motion that was taken out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nwbpipe.report._content import Figure, SessionContent, name_with_step, types_of
from nwbpipe.report._envelope import Envelope, read_envelope, read_times
from nwbpipe.report._picture import encode_picture, outline_mask
from nwbpipe.report._plot import BLUE, GREY, PALETTE, VERDICT_COLORS, Plot, find_limits, svg
from nwbpipe_kit.imaging_metrics import FAINTEST

_PLANE_WIDTH = 430  # pixels of a picture of the plane
_FRAMES = 100  # of a movie, for a mean where no step has left one
_MOST_ROIS = 2000  # that are outlined
_TRACES = 12
RoiMask = tuple[NDArray[np.bool_], int, int]  # cut to its pixels, with the column and row of its corner
_IMAGES = ("correlation", "max", "mean")  # the last is taken first


def draw_imaging(content: SessionContent) -> Iterator[Figure]:
    """Draw each segmentation with its images and traces; then movies without one, and motion."""
    planes = [table for table in content.find("PlaneSegmentation") if len(table)]
    for table in planes:
        yield from _draw_plane(content, table)
    if not planes:
        for movie in content.find("TwoPhotonSeries", "OnePhotonSeries"):
            if movie.external_file is None and len(movie.data.shape) >= 3 and movie.data.shape[0]:
                picture = _frame_picture(_average_movie(movie))
                yield Figure(f"Mean of {name_with_step(content, movie)}", picture, _explain_mean(movie))
    yield from _draw_motion(content)


def _draw_plane(content: SessionContent, table: Any) -> Iterator[Figure]:
    step = content.find_step(table)
    images = _find_images(content, table, step)
    if not images:
        return
    masks = list(_read_masks(table, images[0][1].shape))
    verdicts = {item.row: item for item in content.verdicts if item.of == "roi" and step and item.about == step}
    colors, texts = [], []
    cells = np.asarray(table["iscell"][:]).astype(bool) if "iscell" in table.colnames else None
    for row in range(len(table)):
        verdict = verdicts.get(row)
        text = f"ROI {row}"
        if verdict is not None:
            colors.append(VERDICT_COLORS[verdict.verdict])
            text += f": {verdict.verdict}" + (f", {'; '.join(verdict.reasons)}" if verdict.reasons else "")
        else:
            colors.append("#ffd24d" if cells is None or np.ravel(cells[row])[0] else GREY)
        texts.append(text)
    parts = [_draw_outlined(*image, masks, colors, texts) for image in images]
    colors_text = (
        "green pass, orange warn, red fail" if verdicts else "grey where the step says that it is not a cell"
    )
    yield Figure(
        f"ROIs of {step or table.name}: {len(table)}",
        Markup('<div class="row">{}</div>').format(Markup("").join(parts)),
        f"Outlines: {colors_text}. The mouse names them.",
    )
    yield from _draw_traces(content, table, step, verdicts, cells)


def _find_images(content: SessionContent, table: Any, step: str) -> list[tuple[str, NDArray[Any]]]:
    """Return pictures of the plane as (name, rows x columns): those of the step, else the mean of its movie."""
    pictures: dict[str, NDArray[Any]] = {}
    for image in content.find("GrayscaleImage"):
        if step and content.find_step(image) == step and image.name not in pictures:
            pictures[image.name] = np.asarray(image.data[:]).T  # NWB keeps x first
            content.mark_shown(image)

    def rank(name: str) -> int:
        return max((rank for rank, word in enumerate(_IMAGES, 1) if word in name.lower()), default=0)

    chosen = sorted((name for name in pictures if rank(name)), key=rank, reverse=True)[:2]
    if chosen:
        return [(name, pictures[name]) for name in chosen]
    for movie in content.find("TwoPhotonSeries", "OnePhotonSeries"):
        if movie.imaging_plane is table.imaging_plane and movie.external_file is None and movie.data.shape[0]:
            return [("mean of the movie", _average_movie(movie))]
    shape = _find_shape(table)
    return [("no picture in the file", np.zeros(shape))] if shape else []


def _average_movie(movie: Any) -> NDArray[Any]:
    data = movie.data
    frames = np.unique(np.linspace(0, data.shape[0] - 1, min(_FRAMES, data.shape[0])).astype(int))
    total = sum(np.asarray(data[int(frame)], dtype=np.float64) for frame in frames)
    mean = np.asarray(total) / len(frames)
    return (mean if mean.ndim == 2 else mean[..., mean.shape[-1] // 2]).T


def _explain_mean(movie: Any) -> str:
    return f"Mean of {min(_FRAMES, movie.data.shape[0])} of {movie.data.shape[0]} frames."


def _find_shape(table: Any) -> tuple[int, int] | None:
    if "image_mask" in table.colnames:
        width, height = table["image_mask"].data.shape[1:3]
        return int(height), int(width)
    if "pixel_mask" in table.colnames:
        pixels = table["pixel_mask"].target.data[:]
        if len(pixels):
            return int(pixels["y"].max()) + 1, int(pixels["x"].max()) + 1
    return None


def _read_masks(table: Any, shape: tuple[int, ...]) -> Iterator[RoiMask]:
    """Yield the pixels of each ROI whose weight is a share of its largest, as `compare` takes them."""
    for row in range(min(len(table), _MOST_ROIS)):
        mask = np.zeros(shape[:2])
        if "pixel_mask" in table.colnames:
            pixels = table["pixel_mask"][row]
            x, y, weight = (np.asarray([pixel[field] for pixel in pixels]) for field in range(3))
            inside = (x < shape[1]) & (y < shape[0])
            mask[y[inside].astype(int), x[inside].astype(int)] = np.abs(weight[inside])
        elif "image_mask" in table.colnames:
            image = np.abs(np.asarray(table["image_mask"].data[row], dtype=np.float64)).T
            image = image[..., image.shape[-1] // 2] if image.ndim == 3 else image
            rows, columns = min(shape[0], image.shape[0]), min(shape[1], image.shape[1])
            mask[:rows, :columns] = image[:rows, :columns]
        strong = mask >= max(float(mask.max()) * FAINTEST, 1e-12)
        ys, xs = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
        if ys.size:
            box = strong[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1].copy()  # thousands of whole frames take gigabytes
            yield box, int(xs[0]), int(ys[0])
        else:
            yield np.zeros((1, 1), dtype=bool), 0, 0


def _frame_picture(image: NDArray[Any]) -> Markup:
    return _draw_outlined("", image, iter(()), [], [])


def _draw_outlined(name: str, image: NDArray[Any], masks: Any, colors: list[str], texts: list[str]) -> Markup:
    scale = _PLANE_WIDTH / image.shape[1]
    height = image.shape[0] * scale
    parts = [
        f'<image href="{encode_picture(image)}" width="{_PLANE_WIDTH}" height="{height:.1f}" '
        'preserveAspectRatio="none"/>'
    ]
    for (mask, left, top), color, text in zip(masks, colors, texts, strict=False):
        path = outline_mask(mask, left * scale, top * scale, scale)
        title = Markup("<title>{}</title>").format(text)
        parts.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.4">{title}</path>')
    drawing = svg(_PLANE_WIDTH, height, parts, f"{name} with ROIs" if texts else name)
    return Markup('<div class="plane">{}<span>{}</span></div>').format(drawing, name)


def _draw_traces(
    content: SessionContent, table: Any, step: str, verdicts: dict[int, Any], cells: NDArray[np.bool_] | None
) -> Iterator[Figure]:
    all_traces = [
        series
        for series in content.find("RoiResponseSeries")
        if series.rois.table is table and len(series.data.shape) == 2 and series.data.shape[0]
    ]
    for index, series in enumerate(sorted(all_traces, key=lambda series: _rank_traces(series.name))):
        content.mark_shown(series)
        title = f"{series.name} of {step or table.name}"
        rows = np.asarray(series.rois.data[:]).astype(int)
        envelope = read_envelope(series)
        order = _order_by_activity(envelope)
        yield Figure(
            f"{title}: all ROIs", _draw_heat_map(envelope, order),
            "Each row is a ROI, the most active at the top; white is its own peak, black its median and below.",
            is_folded=index > 0,
        )  # fmt: skip
        columns = _choose_traces(order, rows, verdicts, cells)
        yield Figure(
            f"{title}: {len(columns)} ROIs", _draw_rows(envelope, columns, rows, verdicts),
            "Least and greatest value of each bin, each trace to its own scale.",
            is_folded=index > 0,
        )  # fmt: skip


def _rank_traces(name: str) -> int:
    """Return the place of a kind of traces: dF/F and corrected ones come first, neuropil last."""
    words = ("dff", "dfoverf", "corrected", "roiresponse", "fluorescence", "deconvolved", "neuropil")
    return next((rank for rank, word in enumerate(words) if word in name.lower()), len(words) - 2)


def _order_by_activity(envelope: Envelope) -> NDArray[np.intp]:
    with np.errstate(invalid="ignore"):
        high = np.nan_to_num(envelope.high, nan=0.0)
        spread = np.percentile(high, 99, axis=0) - np.median(high, axis=0)
        noise = np.median(np.abs(np.diff(high, axis=0)), axis=0) + 1e-12
    return np.argsort(spread / noise)[::-1]


def _draw_heat_map(envelope: Envelope, order: NDArray[np.intp]) -> Markup:
    high = envelope.high[:, order].T
    with np.errstate(all="ignore"):
        floor = np.nanmedian(high, axis=1, keepdims=True)
        peak = np.nanpercentile(high, 99.5, axis=1, keepdims=True)
        share = (high - floor) / np.where(peak > floor, peak - floor, 1.0)
    times, count = envelope.times, len(order)
    plot = Plot(
        _span(times),
        (0, count),
        height=int(np.clip(6 * count, 120, 420)) + 40,
        x_label="time (s)",
        y_label="ROIs",
        y_ticks=False,
    )
    plot.picture(encode_picture(share, low=0.0, high=1.0), _span(times), (0, count))
    return plot.render()


def _choose_traces(
    order: NDArray[np.intp], rows: NDArray[np.intp], verdicts: dict[int, Any], cells: NDArray[np.bool_] | None
) -> list[int]:
    """Return columns of the traces to draw: the most active cells, and two of those that failed."""

    def is_good(column: int) -> bool:
        row = int(rows[column])
        if row in verdicts:
            return bool(verdicts[row].verdict != "fail")
        return cells is None or row >= len(cells) or bool(np.ravel(cells[row])[0])

    good = [int(column) for column in order if is_good(int(column))]
    bad = [int(column) for column in order if int(column) not in set(good)]
    return good[: _TRACES - 2] + bad[:2]


def _draw_rows(envelope: Envelope, columns: list[int], rows: NDArray[np.intp], verdicts: dict[int, Any]) -> Markup:
    plot = Plot(
        _span(envelope.times),
        (-len(columns), 0.1),
        height=36 * len(columns) + 44,
        x_label="time (s)",
        y_label="ROI",
        y_ticks=False,
    )
    for line, column in enumerate(columns):
        low, high = envelope.low[:, column], envelope.high[:, column]
        bottom, top = find_limits(low, high, pad=0)
        scale = (top - bottom) or 1.0
        row = int(rows[column])
        color = VERDICT_COLORS[verdicts[row].verdict] if row in verdicts else BLUE
        plot.band(
            envelope.times,
            (low - bottom) / scale * 0.95 - line - 1,
            (high - bottom) / scale * 0.95 - line - 1,
            color,
        )
        plot.text(plot.x[0], -line - 0.5, f"{row} ", anchor="end")
    return plot.render()


def _draw_motion(content: SessionContent) -> Iterator[Figure]:
    for series in content.find("TimeSeries"):
        names = f"{series.name} {getattr(series.parent, 'name', '')}".lower()
        is_shift = "shift" in names or "xy_translation" in names
        if not is_shift or "ImageSeries" in types_of(series) or len(series.data.shape) != 2 or not len(series.data):
            continue
        content.mark_shown(series)
        envelope = read_envelope(series)
        plot = Plot(
            _span(read_times(series)),
            find_limits(envelope.low, envelope.high),
            x_label="time (s)",
            y_label=f"shift ({series.unit})",
        )
        for column in range(min(envelope.low.shape[1], 8)):
            plot.band(envelope.times, envelope.low[:, column], envelope.high[:, column], PALETTE[column % 8], 0.8)
        yield Figure(f"Motion: {name_with_step(content, series)}", plot.render(), "x blue, y red.")


def _span(times: NDArray[np.float64]) -> tuple[float, float]:
    return (float(times[0]), float(times[-1])) if len(times) else (0.0, 1.0)
