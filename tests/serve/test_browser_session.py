"""Traces, videos and labels of a session in Chromium, and axe-core on every page; see `make browser`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.browser import Screen, serve_in_thread, start_browser
from tests.serve.specs import write_spec_project
from tests.serve.test_label_pages import made as made_labels  # noqa: F401 - a fixture
from tests.serve.test_video_pages import FRAMES, POSE, VIDEO, add_browser_video, place_dot

pytestmark = [pytest.mark.tool, pytest.mark.usefixtures("test_processors")]
AXE = Path(__file__).parents[2] / ".make" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
PAGE = "/session/m1/s0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from start_browser()


@pytest.fixture(scope="module")
def film(made_lab: Path, tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Path:
    """A project whose first session has a video that Chromium plays."""
    folder = shutil.copytree(made_lab, tmp_path_factory.mktemp("film") / "lab")
    add_browser_video(folder / "nwb" / "s0.nwb")
    return folder


def test_traces_move_by_keys_links_and_the_mouse(browser: Any, film: Path) -> None:
    with serve_in_thread(film) as address:
        screen = Screen(browser, address)
        page = screen.open(f"{PAGE}/traces?path=/acquisition/lever", "#trace svg")

        def find_part() -> tuple[float, float]:
            plot = page.query_selector("#trace .plot")
            return float(plot.get_attribute("data-start")), float(plot.get_attribute("data-stop"))

        def wait_for_another(old: tuple[float, float]) -> tuple[float, float]:
            page.wait_for_function(
                "old => document.querySelector('#trace .plot').dataset.start !== old", arg=str(old[0])
            )
            return find_part()

        low, high = find_part()
        page.focus("#trace")
        page.keyboard.press("+")
        start, stop = wait_for_another((low, high))
        assert stop - start == pytest.approx((high - low) / 2)
        assert "from=" in page.url  # the part can be shown to others
        page.click("text=later")
        later = wait_for_another((start, stop))
        assert later[0] > start
        page.focus("#trace")
        page.keyboard.press("0")
        assert wait_for_another(later) == (low, high)
        box = page.query_selector("#trace svg").bounding_box()
        y, scale = box["y"] + box["height"] / 2, box["width"] / 1200
        page.mouse.move(box["x"] + scale * (58 + 1132 * 0.25), y)
        page.mouse.down()
        page.mouse.move(box["x"] + scale * (58 + 1132 * 0.5), y)
        page.mouse.up()
        start, stop = wait_for_another((low, high))
        assert start == pytest.approx(low + 0.25 * (high - low), abs=0.01 * (high - low))
        assert stop == pytest.approx(low + 0.5 * (high - low), abs=0.01 * (high - low))
        assert screen.errors == []
        screen.context.close()


# The middle of the bright pixels of the video, and of what is drawn over it, in pixels of the video.
_DOT = """() => {
  const video = document.querySelector("#film video"), canvas = document.querySelector("#film canvas");
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [video.videoWidth, video.videoHeight];
  copy.getContext("2d").drawImage(video, 0, 0);
  const find = (source, channel, least) => {
    const { width, height } = source;
    const data = source.getContext("2d").getImageData(0, 0, width, height).data;
    let [x, y, count] = [0, 0, 0];
    for (let index = 0; index < width * height; index += 1) {
      if (data[4 * index + channel] <= least) continue;
      [x, y, count] = [x + (index % width) + 0.5, y + Math.floor(index / width) + 0.5, count + 1];
    }
    return [(x / count / width) * copy.width - 0.5, (y / count / height) * copy.height - 0.5];
  };
  return { dot: find(copy, 0, 150), drawn: find(canvas, 3, 128) };
}"""


@pytest.mark.parametrize("width", [1400, 800])
def test_a_keypoint_is_drawn_where_the_video_shows_it(browser: Any, film: Path, width: int) -> None:
    with serve_in_thread(film) as address:
        screen = Screen(browser, address, width)
        page = screen.open(f"{PAGE}/videos?video={VIDEO}+0&pose={POSE}", "#film[data-drawn]")
        for frame in (0, 17, 29, 45, FRAMES - 1):
            page.fill("#film input", str(frame))
            page.wait_for_function(
                "frame => JSON.parse(document.querySelector('#film').dataset.drawn).frame === frame", arg=frame
            )
            places = page.evaluate(_DOT)
            assert places["dot"] == pytest.approx(place_dot(frame), abs=1), frame
            assert places["drawn"] == pytest.approx(places["dot"], abs=2), frame
        page.fill("#film input", "30")  # of which the pose has no sample
        page.wait_for_function("() => JSON.parse(document.querySelector('#film').dataset.drawn).frame === 30")
        assert json.loads(page.get_attribute("#film", "data-drawn"))["places"] == []
        page.evaluate("document.querySelector('#film video').play()")
        page.wait_for_function("() => JSON.parse(document.querySelector('#film').dataset.drawn).frame > 40")
        assert screen.errors == []
        screen.context.close()


def test_labels_are_chosen_shown_and_saved(browser: Any, made_labels: Path, tmp_path: Path, own_places: Path) -> None:  # noqa: F811
    folder = shutil.copytree(made_labels, tmp_path / "lab")
    with serve_in_thread(folder) as address:
        screen = Screen(browser, address)
        page = screen.open("/session/M1/b", "text=the ROIs of suite2p")
        page.click("text=the ROIs of suite2p")
        page.fill("text=your name", "Ada")
        page.select_option('[name="label.1"]', "dendrite")
        page.click("text=Show the difference")
        screen.wait_for(".difference .added", "dendrite")
        page.click("text=Save")
        screen.wait_for("[role=status]", "The labels are saved")
        page.click("text=the ROIs of suite2p")
        assert page.input_value('[name="label.1"]') == "dendrite"
        assert screen.errors == []
        screen.context.close()


def check_accessibility(screen: Screen, path: str, selector: str) -> None:
    """Assert that axe-core finds no serious violation on a page."""
    page = screen.open(path, selector)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)")
    grave = [
        (path, item["id"], [node["html"][:200] for node in item["nodes"][:3]])
        for item in violations
        if item["impact"] in ("serious", "critical")
    ]
    assert grave == []


@pytest.mark.skipif(not AXE.exists(), reason="`make browser` installs axe-core where npm is")
def test_axe_finds_no_serious_violation(browser: Any, film: Path, made_labels: Path, tmp_path: Path) -> None:  # noqa: F811
    write_spec_project(tmp_path / "specs")
    for folder, pages in {
        film: {
            "/": "table.sessions", "/?where=nonsense(": "[role=alert]", "/session/m1/s1": "#report h2",
            f"{PAGE}/traces": "#trace svg", f"{PAGE}/videos": "#film[data-drawn]", "/nothing": "h1",
        },
        made_labels: {"/session/M1/b": "#report h2", "/session/M1/b/labels/suite2p": "select"},
        tmp_path / "specs": {"/": "table.sessions", "/subjects": "textarea", "/session/m1/s1/edit": "fieldset"},
    }.items():  # fmt: skip
        with serve_in_thread(folder) as address:
            screen = Screen(browser, address)
            for path, selector in pages.items():
                check_accessibility(screen, path, selector)
            screen.context.close()
