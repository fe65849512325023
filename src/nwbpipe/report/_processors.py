"""Draw the figures that processors bring for their own results."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup
from PIL import Image

from nwbpipe.errors import NwbpipeError, ToolMissingError, show_text
from nwbpipe.processors import Processor, ReportFigure, StepResult, processor
from nwbpipe.provenance import RunRecord
from nwbpipe.report._content import Figure, SessionContent

_MOST_FIGURES = 20  # of one result
_MOST_PIXELS = 40_000_000
_WIDTH = 1900  # pixels; a wider picture is made smaller


def draw_processors(content: SessionContent) -> Iterator[Figure]:
    """Draw the figures of each result whose processor is installed and has some."""
    for record in content.records:
        method = _find_processor(record)
        if method is None:
            continue
        try:
            result = StepResult(record.step, record.parameters, _find_outputs(content, record))
            for index, figure in enumerate(method.figures(content.nwbfile, result)):
                if index == _MOST_FIGURES:
                    break
                yield Figure(f"{record.step}: {figure.title}", _show_picture(figure), figure.caption)
        except Exception as error:
            if _is_of_session_file(error):
                raise
            text = show_text(f"{type(error).__name__}: {error}")[:400]
            yield Figure(f"{record.step}: a figure can't be drawn", Markup("<p>{}</p>").format(text))


def _is_of_session_file(error: Exception) -> bool:
    """Return True if a commit of another process may be the cause; a file that is named is the processor's own."""
    if isinstance(error, OSError):
        return error.filename is None
    return isinstance(error, NwbpipeError | MemoryError) and not isinstance(error, ToolMissingError)


def _find_processor(record: RunRecord) -> Processor | None:
    """Return the processor of a record if it has figures."""
    try:
        method = processor(record.processor)
    except (NwbpipeError, ImportError):  # of others, and not installed here
        return None
    has_figures = getattr(type(method), "figures", Processor.figures) is not Processor.figures
    return method if has_figures else None


def _find_outputs(content: SessionContent, record: RunRecord) -> list[Any]:
    objects = content.nwbfile.objects
    return [objects[item.object_id] for item in record.outputs if item.object_id in objects]


def _show_picture(figure: ReportFigure) -> Markup:
    """Return a picture as a WebP in the page, whatever it was before."""
    data = figure.picture
    if hasattr(data, "savefig"):
        buffer = io.BytesIO()
        data.savefig(buffer, format="png", dpi=130)
        data = buffer.getvalue()
    if not isinstance(data, bytes):
        raise TypeError(f"a picture is bytes or a figure of matplotlib, not {type(data).__name__}")
    pixels = _decode(data)
    if pixels.width > _WIDTH:
        pixels = pixels.resize((_WIDTH, max(1, round(pixels.height * _WIDTH / pixels.width))))
    buffer = io.BytesIO()
    pixels.save(buffer, "WEBP", quality=90, method=4)
    address = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Markup('<img class="figure" src="{}" alt="{}" width="{}">').format(
        address, show_text(figure.title), min(pixels.width, _WIDTH // 2)
    )


def _decode(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise ValueError(f"the picture has {image.width} × {image.height} pixels")
                if "A" not in image.mode and "transparency" not in image.info:
                    return image.convert("RGB")
                page = Image.new("RGBA", image.size, "white")
                page.alpha_composite(image.convert("RGBA"))
                return page.convert("RGB")
    except OSError as error:
        raise ValueError(f"the picture is not a whole PNG, JPEG or WebP: {type(error).__name__}") from error
