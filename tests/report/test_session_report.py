"""The page of a session: what it shows, in the right place, and nothing of a stranger's runs or leads out of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nwbpipe.errors import FileAccessError, OverwriteError, UnsupportedFileError
from nwbpipe.report import _session, write_report
from nwbpipe.report._content import Finding
from nwbpipe.report._overview import list_findings
from nwbpipe.report._page import read_state
from nwbpipe.session import SessionSummary, StreamSummary
from tests.fixtures.processing import write_session
from tests.report.pages import CELL, HEIGHT, HOSTILE, Page, find_corners, write_rich_session


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    folder = tmp_path_factory.mktemp("rich")
    text = write_report(write_rich_session(folder / "session.nwb")).read_text(encoding="utf-8")
    return text, Page(text)


def test_each_modality_has_its_part(rich: tuple[str, Page]) -> None:
    headings = rich[1].headings
    parts = ["Imaging", "Electrophysiology", "Behaviour", "Pose", "Face", "Other signals", "Time line and clocks"]
    assert [part for part in parts if part not in headings] == []
    figures = [
        "ROIs of",
        "traces of",
        "Probes",
        "ap: 0.25 s",
        "units: 3 units, rates",
        "trials: 30 rows",
        "pose: traj",
    ]
    for start in figures:
        assert any(heading.startswith(start) for heading in headings), start
    assert not [heading for heading in headings if "can't be drawn" in heading]


def test_the_page_runs_nothing_and_leads_nowhere(rich: tuple[str, Page]) -> None:
    text, page = rich
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "link", "form", "base", "img", "i", "foreignobject"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    links = [attrs[name] or "" for _, attrs in page.tags for name in ("href", "src") if name in attrs]
    assert all(link.startswith(("#", "data:image/webp;base64,")) for link in links)
    assert "default-src 'none'" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_texts_of_the_file_are_shown_as_texts(rich: tuple[str, Page]) -> None:
    text, page = rich
    shown = "".join(page.texts)
    assert "<script>alert(1)</script>" in shown
    assert "\\u202e" in shown
    for raw in ("<script>", "<b>bold</b>", "<i>late</i>", "s<1>"):
        assert raw not in text
    assert HOSTILE not in text


def test_outlines_lie_on_their_cells(rich: tuple[str, Page]) -> None:
    page = rich[1]
    picture = page.pictures[0]
    assert picture.shape[:2] == (HEIGHT, 40)
    grey = picture if picture.ndim == 2 else picture[..., 0]
    rows, columns = np.nonzero(grey > 128)
    assert (rows.min(), rows.max() + 1) == (CELL[0].start, CELL[0].stop)
    outline = next(attrs["d"] for tag, attrs in page.tags if tag == "path" and attrs.get("stroke-width") == "1.4")
    scale = 430 / 40
    expected = [columns.min() * scale, rows.min() * scale, (columns.max() + 1) * scale, (rows.max() + 1) * scale]
    np.testing.assert_allclose(find_corners(outline or ""), expected, atol=0.11)


def test_the_page_lies_beside_the_file_and_only_a_page_is_written_over(tmp_path: Path) -> None:
    path = write_session(tmp_path / "a.nwb", "lever")
    page = write_report(path)
    assert page == tmp_path / "a.html"
    assert read_state(page) == ""
    assert write_report(path) == page
    own = tmp_path / "notes.html"
    own.write_text("mine")
    with pytest.raises(OverwriteError, match="not a report"):
        write_report(path, own)
    assert own.read_text() == "mine"
    (tmp_path / "link.html").symlink_to(page)
    with pytest.raises(OverwriteError):
        write_report(path, tmp_path / "link.html")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.html", "a.nwb", "link.html", "notes.html"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError):
        write_report(tmp_path / "none.nwb")
    (tmp_path / "text.nwb").write_text("no HDF5")
    with pytest.raises(UnsupportedFileError):
        write_report(tmp_path / "text.nwb")
    assert not list(tmp_path.glob("*.html"))


def test_a_part_that_fails_says_so_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(content: Any) -> Any:
        raise ValueError("a <b>strange</b> file")
        yield

    parts = [(key, title, fail if key == "signals" else draw) for key, title, draw in _session._PARTS]
    monkeypatch.setattr(_session, "_PARTS", parts)
    page = Page(write_report(write_session(tmp_path / "a.nwb", "lever")).read_text(encoding="utf-8"))
    assert "The rest of this part can't be drawn" in page.headings
    assert "ValueError: a <b>strange</b> file" in "".join(page.texts)
    assert "Session" in page.headings


def test_what_fails_comes_first() -> None:
    def judge(of: str, verdict: str, *reasons: str) -> SimpleNamespace:
        return SimpleNamespace(of=of, verdict=verdict, reasons=reasons, about="suite2p", step="q")

    content = SimpleNamespace(
        records=[],
        verdicts=[
            judge("scan", "warn", "bleaching 0.4 > 0.3"),
            judge("roi", "fail", "snr 1 < 2"), judge("roi", "pass"), judge("roi", "pass"),
        ],
        alignments=[SimpleNamespace(accepted=False, clock="camera", verdict="residuals are too large")],
        summary=SessionSummary(
            (StreamSummary("probe", "ElectricalSeries", "ap", gaps=2, missing_s=0.5),),
            (("ap", "digital.dat"),), (("video", "average rate"),),
        ),
    )  # fmt: skip
    assert list_findings(content) == [  # type: ignore[arg-type]
        Finding("fail", "clock camera", "residuals are too large"),
        Finding("warn", "suite2p", "the scan: bleaching 0.4 > 0.3"),
        Finding("warn", "suite2p", "1 of 3 ROIs fail: snr (1)"),
        Finding("warn", "ap", "probe: 2 gaps, 0.5 s are missing"),
        Finding("warn", "ap", "not read: digital.dat"),
        Finding("warn", "video", "average rate"),
    ]


def test_without_its_packages_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['PIL'] = None; from nwbpipe.cli import main; main(['report', 'a.nwb'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'nwbpipe[report]'" in done.stderr
