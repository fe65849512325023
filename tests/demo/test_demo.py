"""The main job, end to end: simulate, convert, process, hold the result to the truth."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nwbinspector import Importance, inspect_nwbfile, load_config
from pynwb import validate

import nwbpipe
from nwbpipe.demo import DemoReport, run_demo

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
SAID: list[str] = []  # by the demo


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, tool) -> DemoReport:
    for name in ("suite2p", "spikesorting", "facemap_svd", "demodulate", "photometry_dff"):
        tool(name)
    SAID.clear()
    return run_demo(tmp_path_factory.mktemp("demo"), seed=1, say=SAID.append)


def test_what_was_converted_is_told(report: DemoReport) -> None:
    text = "\n".join(SAID)
    for source in ("probe", "scope", "face", "pose", "trials", "events", "photometry"):
        assert f"\n  {source}: " in text, text
    assert re.search(r"scope: TwoPhotonSeries TwoPhotonSeries_scope: .* Hz, .* s, from \S+, clock scope", text)


def test_all_floors_are_held(report: DemoReport) -> None:
    assert report.passed, report.format_table()
    assert {row.measure: (row.bound, row.is_error) for row in report.rows} == {
        "cells, recall": (0.9, False),
        "cells, precision": (0.9, False),
        "trace correlation, median": (0.9, False),
        "motion error": (0.5, True),
        "units with accuracy ≥ 0.8": (0.8, False),
        "drift, largest error": (5.0, True),
        "pupil area, correlation": (0.95, False),
        "dF/F, correlation": (0.9, False),
        "times, largest error": (1.0, True),
    }
    assert [row.stream for row in report.rows if row.unit == "ms"] == [
        "scope",
        "camera",
        "trials",
        "events",
        "photometry",
    ]


def test_the_file_is_valid_and_passes_the_inspector(report: DemoReport) -> None:
    assert validate(path=str(report.nwb)) == []
    found = list(
        inspect_nwbfile(
            nwbfile_path=report.nwb,
            config=load_config("dandi"),
            importance_threshold=Importance.BEST_PRACTICE_VIOLATION,
        )
    )
    assert [(message.check_function_name, message.location) for message in found] == []


def test_dandi_takes_the_file(report: DemoReport, tmp_path: Path) -> None:
    dandiset = tmp_path / "000001"
    target = dandiset / "sub-sim001" / "sub-sim001_ses-demo_image.nwb"
    target.parent.mkdir(parents=True)
    os.link(report.nwb, target)
    media = report.nwb.with_suffix("")
    (target.parent / media.name).symlink_to(media)
    (dandiset / "dandiset.yaml").write_text("identifier: '000001'\nname: demo\n")
    environment = {**os.environ, "DANDI_NO_ET": "1", "NO_ET": "1", "HOME": str(tmp_path), "DANDI_CACHE": "ignore"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dandi")), "validate", "--min-severity", "ERROR", str(target)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors found" in done.stdout + done.stderr


def test_every_run_is_recorded(report: DemoReport) -> None:
    records = nwbpipe.read_records(report.nwb)
    assert [record.step for record in records] == [
        *("convert", "suite2p", "spikesorting", "facemap_svd"),
        *("demodulate", "photometry_dff"),
    ]
    assert all(source["sha256"] for source in records[0].sources)


def test_a_second_call_computes_nothing(report: DemoReport) -> None:
    before = report.nwb.stat()
    again = run_demo(report.nwb.parent, seed=1, say=lambda text: None)
    assert again.passed
    assert report.nwb.stat().st_mtime_ns == before.st_mtime_ns


def test_the_page_shows_every_modality(report: DemoReport) -> None:
    assert report.page == report.nwb.with_suffix(".html")
    text = report.page.read_text(encoding="utf-8")
    parts = ("Imaging", "Electrophysiology", "Fiber photometry", "Behaviour", "Pose", "Face", "Where it comes from")
    assert [part for part in parts if f">{part}</h2>" not in text] == []
    assert "can&#39;t be drawn" not in text
    assert f"report: {report.page.as_uri()}" in report.format_table()


def test_the_figure_is_drawn(report: DemoReport) -> None:
    assert report.figure is not None
    assert report.figure.read_bytes().startswith(b"\x89PNG")
    assert report.figure.stat().st_size > 50_000


def test_no_name_of_this_machine_is_in_the_file(report: DemoReport) -> None:
    import getpass
    import socket

    content = "".join(str(record.as_dict()) for record in nwbpipe.read_records(report.nwb))
    home = str(Path.home())
    for private in (home, str(report.nwb.parent)):
        assert private not in content
    for name in (socket.gethostname(), getpass.getuser()):
        assert not re.search(rf"\b{re.escape(name)}\b", content)
