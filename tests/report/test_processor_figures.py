"""Figures that processors bring into the report of their own results."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nwbpipe.errors import ToolMissingError
from nwbpipe.processors import ReportFigure, StepResult
from nwbpipe.report import draw_parts
from nwbpipe.run import process
from tests.fixtures.processing import Scale
from tests.report.pages import HOSTILE, Page

pytestmark = pytest.mark.usefixtures("test_processors")


@pytest.fixture(scope="module")
def scaled_bytes(tmp_path_factory: pytest.TempPathFactory, session_bytes: bytes, test_distribution: Path) -> bytes:
    """A session file with a result of the processor `scale`."""
    path = tmp_path_factory.mktemp("scaled") / "session.nwb"
    path.write_bytes(session_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(test_distribution)
        process(path, "scale", step="first", params={"factor": 3})
    return path.read_bytes()


@pytest.fixture
def scaled(scaled_bytes: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "session.nwb"
    path.write_bytes(scaled_bytes)
    return path


def make_png(red: int, width: int = 30) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, 20), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def read_pictures(page: Page) -> list[np.ndarray]:
    import base64

    links = [attrs["src"] or "" for tag, attrs in page.tags if tag == "img"]
    assert all(link.startswith("data:image/webp;base64,") for link in links)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2])))) for link in links]


def test_pictures_stand_in_the_report_with_what_the_run_wrote(scaled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[StepResult] = []

    def figures(self: Any, nwbfile: Any, result: StepResult) -> Iterator[ReportFigure]:
        from matplotlib.figure import Figure

        results.append(result)
        yield ReportFigure("a red one", make_png(200), HOSTILE)
        drawing = Figure(figsize=(4, 2))
        drawing.subplots().plot(result.outputs[0].data[:, 0])
        yield ReportFigure(HOSTILE, drawing)
        yield ReportFigure("a wide one", make_png(100, 4000))

    monkeypatch.setattr(Scale, "figures", figures)
    text = draw_parts(scaled)
    page = Page(text)
    assert "From the processors" in page.headings
    assert "first: a red one" in page.headings
    assert "<script>" not in text
    assert "\x1b" not in text
    red, drawn, wide = read_pictures(page)
    assert abs(int(red[10, 10, 0]) - 200) < 10
    assert drawn.shape[1] == 4 * 130
    assert wide.shape[1] == 1900
    (result,) = results
    assert (result.step, result.parameters["factor"]) == ("first", 3.0)
    assert [output.name for output in result.outputs] == ["Scaled_first"]


@pytest.mark.parametrize("picture", ["no bytes", b"no picture", None, b"<svg onload=alert(1)>"])
def test_what_is_no_picture_is_told_and_holds_up_no_other_part(
    scaled: Path, monkeypatch: pytest.MonkeyPatch, picture: Any
) -> None:
    monkeypatch.setattr(Scale, "figures", lambda *_: [ReportFigure("odd", picture)])
    page = Page(draw_parts(scaled))
    assert "first: a figure can't be drawn" in page.headings
    assert "Graph of runs" in page.headings


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file", "model.bin"), ToolMissingError("seaborn is not installed")]
)
def test_a_file_or_package_that_a_processor_lacks_is_no_damage_of_the_session(
    scaled: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def figures(*_: Any) -> Iterator[ReportFigure]:
        raise error
        yield

    monkeypatch.setattr(Scale, "figures", figures)
    page = Page(draw_parts(scaled))
    assert "first: a figure can't be drawn" in page.headings
    assert "Graph of runs" in page.headings


def test_what_is_transparent_is_white_as_the_page_is(scaled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(buffer, "PNG")
    monkeypatch.setattr(Scale, "figures", lambda *_: [ReportFigure("clear", buffer.getvalue())])
    (picture,) = read_pictures(Page(draw_parts(scaled)))
    assert picture.min() > 250


def test_a_processor_without_figures_has_no_part(scaled: Path) -> None:
    assert "From the processors" not in Page(draw_parts(scaled)).headings
