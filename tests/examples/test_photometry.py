"""Neurophotometrics, IBL and TDT: against pandas and the bytes of the file; then photometry's processors on them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import nwbpipe
from nwbpipe.errors import SourceError
from tests.examples.checking import EXAMPLES, Converted, assert_blocks_equal, check_session, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
NPM = "photometry/neurophotometrics/versions/version_1/_neurophotometrics_fpData"
IBL = "photometry/ibl_cortexlab/Subjects/CQ002/2024-11-05/001/alf"
TDT = "photometry/tdt_pmat_no_tev/Photometry-161823"
Convert = Callable[[str], Converted]


def test_neurophotometrics(convert_example: Convert, raw_store: Path) -> None:
    session = convert_example("neurophotometrics")
    check_session(session)
    raw = pd.read_parquet(raw_store / f"{NPM}.raw.pqt")
    with session.open() as file:
        for source, bit in (("gcamp", 2), ("isosbestic", 1)):
            rows = raw[(raw["Flags"] & 7) == bit]  # the box's own rule, not the spec's list
            series = file[f"acquisition/FiberPhotometryResponseSeries_{source}"]
            assert_blocks_equal(series["data"], rows[["Region1G", "Region4G", "Region6G"]].to_numpy())
            np.testing.assert_allclose(times_of(series), rows["Timestamp"], atol=1e-9, rtol=0)
        pulses = pd.read_parquet(raw_store / f"{NPM}.digitalInputs.pqt")
        np.testing.assert_allclose(file["events/input/timestamp"], pulses["Timestamp"])
        assert file["events/input/event_type"].asstr()[:].tolist() == pulses["Value"].astype(str).tolist()


def test_ibl(convert_example: Convert, raw_store: Path) -> None:
    session = convert_example("ibl_photometry")
    check_session(session)
    raw = pd.read_parquet(raw_store / IBL / "photometry" / "photometry.signal.pqt")
    trials = pd.read_parquet(raw_store / IBL / "task_00" / "_ibl_trials.table.pqt")
    with session.open() as file:
        for source, nm in (("gcamp", 470), ("isosbestic", 415)):
            rows = raw[raw["wavelength"] == nm]
            series = file[f"acquisition/FiberPhotometryResponseSeries_{source}"]
            assert_blocks_equal(series["data"], rows[["G0", "G4"]].to_numpy())
            np.testing.assert_allclose(times_of(series), rows["times"], atol=1e-9, rtol=0)
            table = file["general/fiber_photometry/fiber_photometry_table"]
            own = series["fiber_photometry_table_region"][:]
            assert table["location"].asstr()[:][own].tolist() == ["SI", "PPT"]
            assert set(table["excitation_wavelength_in_nm"][:][own]) == {nm}
        np.testing.assert_allclose(file["events/feedback/timestamp"], trials["feedback_times"])


def test_ibl_processed(convert_example: Convert, copy_of: Callable[[Converted], Path]) -> None:
    """The control is in a series of its own, a frame later."""
    path = copy_of(convert_example("ibl_photometry"))
    series = "FiberPhotometryResponseSeries_"
    nwbpipe.process(
        path,
        "photometry_dff",
        inputs={"signal": f"{series}gcamp", "control": f"{series}isosbestic"},
        params={"skip_start_s": 60},
    )
    dff = "ophys/DfOverFIsosbestic_photometry_dff"
    params = {"before_s": 1, "after_s": 3, "rate_hz": 20, "baseline": "subtract", "baseline_s": [-1, -0.05]}
    nwbpipe.process(path, "event_aligned", inputs={"trace": dff, "events": "events/feedback"}, params=params)
    with h5py.File(path) as file:
        ophys = file["processing/ophys"]
        values = ophys["DfOverFIsosbestic_photometry_dff/data"][:]
        assert values.shape == (93_994, 2)
        late = times_of(ophys["DfOverFIsosbestic_photometry_dff"])
        assert np.isfinite(values[late - late[0] > 60.1][:-1]).all()
        assert 0 < np.nanstd(values) < 0.2
        average = ophys["PeriEventAverage_event_aligned"]
        assert average["event_type"].asstr()[:].tolist() == ["-1", "-1", "1", "1"]
        assert average["n_trials"][:].tolist() == [153, 153, 175, 175]
        assert np.isfinite(average["mean"][:]).all()
        assert np.abs(average["mean"][:, :20].mean(axis=1)).max() < 1e-12  # the baseline, of 20 lags
        quality = ophys["TraceQuality_photometry_dff"]
        assert (quality["control_correlation"][:] > -0.5).all()
        assert set(quality["verdict"].asstr()[:]) <= {"pass", "warn", "fail"}


def tsq_epocs(path: Path, store: bytes) -> np.ndarray:
    """Times of a store's events in seconds from the block's start, out of the 40-byte headers of the .tsq."""
    content = path.read_bytes()
    headers = [struct.unpack_from("<iI4sHHdd", content, at) for at in range(0, len(content) - 39, 40)]
    start = headers[1][5]
    return np.array(
        [stamp - start for _, kind, name, _, _, stamp, _ in headers if name == store and kind & 0xFF01 == 0x101]
    )


def test_tdt_events_without_their_signal(convert_example: Convert, raw_store: Path) -> None:
    session = convert_example("tdt_events")
    check_session(session)
    (tsq,) = (raw_store / TDT).glob("*.tsq")
    with session.open() as file:
        counts = {name: len(table["timestamp"]) for name, table in file["events"].items()}
        assert sorted(counts.values()) == [30, 661, 9933]
        for name, table in file["events"].items():
            store = next(one for one in (b"PAB/", b"Vid1", b"Tick") if one.decode().strip("/") in name)
            np.testing.assert_allclose(table["timestamp"], tsq_epocs(tsq, store), atol=1e-6)
    assert {entry.name for entry in (raw_store / TDT).iterdir() if entry.suffix == ".tev"} == set()


@pytest.mark.parametrize("interface", ["TDTFiberPhotometryInterface", "TDTEventsInterface"])
def test_a_block_without_its_signal_is_refused_unless_asked_for(
    raw_store: Path, tmp_path: Path, interface: str
) -> None:
    text = (EXAMPLES / "tdt_events" / "session.yaml").read_text()
    text = text.replace("TDTEventsInterface", interface).replace(", without_signal: true", "")
    if interface != "TDTEventsInterface":
        text = text.replace("161823}", "161823, stream_names: _465A}")
    (tmp_path / "session.yaml").write_text(text)
    with pytest.raises(SourceError, match=r"the TDT block lacks its \.tev file") as caught:
        nwbpipe.convert(tmp_path / "session.yaml", tmp_path / "out.nwb")
    assert "TDTEventsInterface with without_signal: true" in str(caught.value)
    assert not (tmp_path / "out.nwb").exists()


@pytest.mark.long
def test_pyphotometry_processed(convert_example: Convert, copy_of: Callable[[Converted], Path]) -> None:
    """dF/F of a real recording with the red fluorophore as control, around the pulses of 137 cues."""
    path = copy_of(convert_example("pyphotometry"))
    series = "FiberPhotometryResponseSeries_"
    inputs = {"signal": f"{series}green", "control": f"{series}red"}
    nwbpipe.process(path, "photometry_dff", inputs=inputs, params={"lowpass_hz": 10, "zscore": "whole"})
    trace = "ophys/ZScoreWhole_photometry_dff"
    nwbpipe.process(path, "event_aligned", inputs={"trace": trace, "events": "events/Digital1"})
    with h5py.File(path) as file:
        ophys = file["processing/ophys"]
        values = ophys["ZScoreWhole_photometry_dff/data"][:]
        assert np.isnan(values[:13]).all()
        assert np.isnan(values[-13:]).all()
        assert np.isfinite(values[14:-14]).all()
        assert np.nanstd(values) == pytest.approx(1)
        average = ophys["PeriEventAverage_event_aligned"]
        assert average["n_events"][0] == 137
        assert average["n_trials"][0] == 137
        mean, error = average["mean"][0], average["sem"][0]
        assert np.abs(mean).max() > 5 * np.median(error)  # the cue is seen
