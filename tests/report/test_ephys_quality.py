"""Channels by depth, drift and metrics: what the page shows of them is what the tables say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from pynwb import TimeSeries

from nwbpipe.report import write_report
from tests.processors.ephys import recording as rec
from tests.report.pages import Page

CHANNELS = 8
LABELS = ["good", "good", "dead", "good", "noisy", "good", "good", "out"]


def make_table(name: str, columns: dict[str, Any], region: DynamicTableRegion | None = None) -> DynamicTable:
    made = [VectorData(name=key, description="d", data=list(values)) for key, values in columns.items()]
    made = [region, *made] if region is not None else made
    count = len(next(iter(columns.values())))
    return DynamicTable(
        name=name, description="d", id=np.arange(count), columns=made, colnames=[column.name for column in made]
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("quality") / "s.nwb"
    rec.write_session(path, np.zeros((200, CHANNELS), "int16"), places=rec.column(CHANNELS))
    with rec.opened(path, "a") as nwbfile:
        module = nwbfile.create_processing_module("ecephys", "Quality.")
        region = DynamicTableRegion(
            name="electrode", description="d", data=np.arange(CHANNELS), table=nwbfile.electrodes
        )
        measures = {"rms_uv": np.linspace(5, 12, CHANNELS), "noise_uv": np.linspace(4, 9, CHANNELS)}
        module.add(make_table("ChannelQuality_quality", {**measures, "label": LABELS}, region))
        power = np.outer(1 / np.arange(1, 6), np.linspace(1, 2, CHANNELS))
        edges = {"low_hz": [10.0, 20.0, 40.0, 100.0, 1000.0], "high_hz": [20.0, 40.0, 100.0, 1000.0, 10_000.0]}
        module.add(make_table("ChannelSpectrum_quality", {**edges, "power": power}))
        moved = np.column_stack([np.linspace(0, 30, 20), np.linspace(0, 10, 20)])
        times = {"rate": 1.0, "starting_time": 5.0}
        module.add(TimeSeries(name="Motion_drift", description="d", data=moved, unit="micrometers", **times))
        module.add(make_table("MotionWindows_drift", {"depth_um": [20.0, 60.0], "group_name": ["a", "a"]}))
        text = "Spikes in each time bin; depths from 0 to 80 micrometers in steps of 10"
        module.add(
            TimeSeries(
                name="DriftRaster_drift", description=text, data=np.eye(20, 9, dtype="int32"), unit="spikes", **times
            )
        )
        module.add(
            make_table(
                "UnitQuality_judged",
                {"snr": [3.0, 5.0, 9.0], "empty": [np.nan] * 3, "verdict": ["fail", "pass", "pass"]},
            )
        )
    return Page(write_report(path).read_text(encoding="utf-8"))


def test_channels_are_counted_and_coloured_by_their_label(page: Page) -> None:
    assert "ChannelQuality_quality: channels by depth" in page.headings
    assert "5 good, 1 dead, 1 noisy, 1 out." in page.texts
    titles = [text for text in page.texts if text.startswith("electrode 2: ")]
    assert titles == ["electrode 2: dead"] * 2


def test_power_is_drawn_by_depth(page: Page) -> None:
    assert page.headings.count("ChannelSpectrum_quality: power by depth") == 1
    assert any(text.startswith("Black is -7, white 3 dB over 1 µV²/Hz") for text in page.texts)


def test_drift_is_drawn_over_the_raster(page: Page) -> None:
    assert "Motion_drift: drift" in page.headings
    assert any("in red; 30.0 µm at most" in text for text in page.texts)
    # The raster is part of that figure, and is not drawn again among the other signals.
    assert not [heading for heading in page.headings if heading.startswith("DriftRaster")]


def test_metrics_are_histograms_with_the_verdicts_first(page: Page) -> None:
    assert "UnitQuality_judged: metrics of 3 units" in page.headings
    assert any(text.startswith("2 pass, 0 warn, 1 fail") for text in page.texts)
    labels = [text for text in page.texts if text in ("snr", "empty", "fail, warn, pass")]
    assert labels.count("snr") >= 1
    assert labels.count("fail, warn, pass") == 1
