"""Draw plots as SVG that stands in the page itself: sharp at any size, printable, and without a script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike, NDArray

from nwbpipe.errors import show_text

Floats = NDArray[np.float64]
BLUE, RED, GREEN, ORANGE, GREY = "#2f6690", "#c1444f", "#2e7d4f", "#b8651b", "#8a8f98"
PALETTE = (BLUE, RED, GREEN, ORANGE, "#7a5195", "#00838f", "#a05d56", "#5c6b73")
VERDICT_COLORS = {"pass": GREEN, "warn": ORANGE, "fail": RED}

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 10, 8, 34  # pixels around the plot, for its axes


class Plot:
    """One pair of axes.

    Parameters
    ----------
    x, y : (float, float)
        Limits. The second of `y` is at the top, whatever is larger.
    width, height : int
        Size in pixels, axes included.
    x_label, y_label : str
        What the axes show, with the unit.
    y_ticks : bool
        Whether numbers stand at that axis.
    label : str
        What the plot shows, for people who do not see it.
    """

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        width: int = 900,
        height: int = 170,
        x_label: str = "",
        y_label: str = "",
        y_ticks: bool = True,
        label: str = "",
    ) -> None:
        self.x, self.y = _widen(x), _widen(y)
        self.width, self.height = width, height
        self.label = label or " over ".join(part for part in (y_label, x_label) if part)
        self._parts: list[str] = []
        self._axes = [*self._draw_x_axis(x_label), *self._draw_y_axis(y_label, y_ticks)]

    # Places ---------------------------------------------------------------------------------------------------

    def to_x(self, values: ArrayLike) -> Floats:
        """Return horizontal positions in pixels."""
        share = (np.asarray(values, dtype=np.float64) - self.x[0]) / (self.x[1] - self.x[0])
        return np.clip(_LEFT + share * (self.width - _LEFT - _RIGHT), -1e4, 1e5)

    def to_y(self, values: ArrayLike) -> Floats:
        """Return vertical positions in pixels."""
        share = (np.asarray(values, dtype=np.float64) - self.y[0]) / (self.y[1] - self.y[0])
        return np.clip(self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM), -1e4, 1e5)

    # Marks ----------------------------------------------------------------------------------------------------

    def line(self, x: ArrayLike, y: ArrayLike, color: str = BLUE, width: float = 1.2) -> None:
        """Draw a line; it is broken where a value is not finite."""
        path = _join_path(self.to_x(x), self.to_y(y))
        if path:
            self._parts.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{width}"/>')

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str = BLUE, opacity: float = 1.0) -> None:
        """Fill what lies between two lines, such as the least and greatest value of each bin."""
        xs, lows, highs = self.to_x(x), self.to_y(low), self.to_y(high)
        thin = np.abs(lows - highs) < 1
        lows, highs = np.where(thin, lows + 0.5, lows), np.where(thin, highs - 0.5, highs)  # so that it is seen
        for run in _split_finite(lows + highs):
            if run.stop - run.start == 1:
                edge = f"M{xs[run][0]:.1f} {lows[run][0]:.1f}V{highs[run][0]:.1f}"
                self._parts.append(f'<path d="{edge}" stroke="{color}" stroke-opacity="{opacity}"/>')
                continue
            outline = _join_path(
                np.concatenate([xs[run], xs[run][::-1]]), np.concatenate([highs[run], lows[run][::-1]])
            )
            edge = f'stroke="{color}" stroke-width="0.8"' if opacity > 0.5 else ""  # a steep rise stays seen
            self._parts.append(f'<path d="{outline}Z" fill="{color}" fill-opacity="{opacity}" {edge}/>')

    def points(
        self,
        x: ArrayLike,
        y: ArrayLike,
        color: str | Sequence[str] = BLUE,
        radius: float = 2.5,
        texts: Sequence[str] = (),
    ) -> None:
        """Draw dots; each may have a color of its own, and a text that shows under the mouse."""
        xs = np.column_stack([self.to_x(x), self.to_y(y)])
        for index, (x_pixel, top) in enumerate(xs):
            if not (np.isfinite(x_pixel) and np.isfinite(top)):
                continue
            fill = color if isinstance(color, str) else color[index]
            title = f"<title>{_clean(texts[index])}</title>" if texts else ""
            self._parts.append(
                f'<circle cx="{x_pixel:.1f}" cy="{top:.1f}" r="{radius}" fill="{fill}">{title}</circle>'
            )

    def bars(self, edges: ArrayLike, heights: ArrayLike, color: str = BLUE) -> None:
        """Draw a histogram from its edges and the height of each bin."""
        x_pixel, bottom = self.to_x(edges), float(self.to_y(max(self.y[0], 0.0)))
        for start, stop, top in zip(x_pixel[:-1], x_pixel[1:], self.to_y(heights), strict=True):
            self._rectangle(float(start), float(stop), float(top), bottom, color, 1.0)

    def spans(
        self,
        starts: ArrayLike,
        stops: ArrayLike,
        low: float,
        high: float,
        color: str = BLUE,
        *,
        opacity: float = 1.0,
        texts: Sequence[str] = (),
    ) -> None:
        """Draw rectangles between two heights, such as intervals on a time line; none is narrower than a pixel."""
        top, bottom = float(self.to_y(high)), float(self.to_y(low))
        for index, (start, stop) in enumerate(zip(self.to_x(starts), self.to_x(stops), strict=True)):
            if np.isfinite(start) and np.isfinite(stop):
                text = texts[index] if texts else ""
                self._rectangle(float(start), max(float(stop), float(start) + 1), top, bottom, color, opacity, text)

    def marks(self, x: ArrayLike, low: float, high: float, color: str = BLUE, width: float = 1.0) -> None:
        """Draw an upright line at each place: events, spikes, thresholds."""
        top, bottom = float(self.to_y(high)), float(self.to_y(low))
        xs = np.unique(np.round(self.to_x(x), 1))
        path = "".join(f"M{pixel:.1f} {top:.1f}V{bottom:.1f}" for pixel in xs[np.isfinite(xs)])
        if path:
            self._parts.append(f'<path d="{path}" stroke="{color}" stroke-width="{width}"/>')

    def text(self, x: float, y: float, text: str, *, anchor: str = "start", color: str = "#333") -> None:
        """Write a text at a place of the axes."""
        x_pixel, top = float(self.to_x(x)), float(self.to_y(y))
        self._parts.append(
            f'<text x="{x_pixel:.1f}" y="{top:.1f}" text-anchor="{anchor}" fill="{color}" dy="0.35em">'
            f"{_clean(text)}</text>"
        )

    def picture(self, data_url: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        """Lay a picture over the range `x` and `y`; its upper edge is at the second of `y`."""
        x_pixel, right = self.to_x(x)
        bottom, top = self.to_y(y)
        self._parts.append(
            f'<image href="{data_url}" x="{x_pixel:.1f}" y="{top:.1f}" width="{right - x_pixel:.1f}" '
            f'height="{bottom - top:.1f}" preserveAspectRatio="none" style="image-rendering:pixelated"/>'
        )

    def render(self) -> Markup:
        """Return the SVG element."""
        return svg(self.width, self.height, [*self._parts, *self._axes], self.label)

    # Axes -----------------------------------------------------------------------------------------------------

    def _draw_x_axis(self, label: str) -> list[str]:
        bottom = self.height - _BOTTOM
        parts = [f'<path d="M{_LEFT} {bottom}H{self.width - _RIGHT}" stroke="#999"/>']
        for tick in choose_ticks(*self.x, most=max(3, self.width // 110)):
            pixel = float(self.to_x(tick))
            parts.append(f'<path d="M{pixel:.1f} {bottom}v4" stroke="#999"/>')
            parts.append(f'<text x="{pixel:.1f}" y="{bottom + 15}" text-anchor="middle">{_format(tick)}</text>')
        if label:
            middle = (_LEFT + self.width - _RIGHT) / 2
            parts.append(f'<text x="{middle:.0f}" y="{self.height - 5}" text-anchor="middle">{_clean(label)}</text>')
        return parts

    def _draw_y_axis(self, label: str, has_ticks: bool) -> list[str]:
        parts = [f'<path d="M{_LEFT} {_TOP}V{self.height - _BOTTOM}" stroke="#999"/>']
        low, high = sorted(self.y)
        for tick in choose_ticks(low, high, most=max(2, self.height // 45)) if has_ticks else ():
            pixel = float(self.to_y(tick))
            parts.append(f'<path d="M{_LEFT} {pixel:.1f}h-4" stroke="#999"/>')
            parts.append(
                f'<text x="{_LEFT - 6}" y="{pixel:.1f}" text-anchor="end" dy="0.35em">{_format(tick)}</text>'
            )
        if label:
            middle = (_TOP + self.height - _BOTTOM) / 2
            turn = f'transform="rotate(-90 12 {middle:.0f})"'
            parts.append(f'<text x="12" y="{middle:.0f}" {turn} text-anchor="middle">{_clean(label)}</text>')
        return parts

    def _rectangle(
        self, x_pixel: float, right: float, top: float, bottom: float, color: str, opacity: float, text: str = ""
    ) -> None:
        title = f"<title>{_clean(text)}</title>" if text else ""
        top, bottom = min(top, bottom), max(top, bottom)
        self._parts.append(
            f'<rect x="{x_pixel:.1f}" y="{top:.1f}" width="{max(right - x_pixel, 0):.1f}" '
            f'height="{bottom - top:.1f}" fill="{color}" fill-opacity="{opacity}">{title}</rect>'
        )


def svg(width: float, height: float, parts: Iterable[str], label: str) -> Markup:
    """Return an SVG element of markup that is safe."""
    return Markup(  # noqa: S704  (texts were escaped where they came in)
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{_clean(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def choose_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between two limits, at most about `most`."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return []
    rough = span / most
    scale = 10 ** math.floor(math.log10(rough))
    step = scale * next(factor for factor in (1, 2, 5, 10) if factor * scale >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) + 0.0 for index in range(first, math.floor(high / step + 1e-9) + 1)]


def find_limits(*values: ArrayLike, pad: float = 0.04) -> tuple[float, float]:
    """Return limits for an axis that shows all finite values."""
    finite = np.concatenate([np.ravel(np.asarray(array, dtype=np.float64)) for array in values])
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = (high - low) * pad
    return low - margin, high + margin


def _widen(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = float(limits[0]), float(limits[1])
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if low != high else (low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2)


def _split_finite(values: Floats) -> list[slice]:
    """Return the runs of values that are finite."""
    finite = np.concatenate([[False], np.isfinite(values), [False]])
    edges = np.flatnonzero(np.diff(finite.astype(np.int8)))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _join_path(x: Floats, y: Floats) -> str:
    return "".join(
        "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x[run], y[run], strict=True))
        for run in _split_finite(x + y)
    )


def _clean(text: object) -> str:
    return str(escape(show_text(text)))


def _format(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")
