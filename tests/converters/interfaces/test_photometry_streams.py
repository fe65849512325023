"""NeuroConv's photometry readers through a session.yaml, and what ours check beside them.

Doric and TDT files with signals are not to be had here: these are written in their layout. Real pyPhotometry,
Neurophotometrics and IBL files, and a real TDT block without its signals, are in tests/examples.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import nwbpipe
from nwbpipe.errors import ClockError, SourceError
from nwbpipe.simulate import simulate_photometry
from nwbpipe.simulate._photometry import write_csv, write_ppd

HEAD = """nwbpipe: 1
subject: {subject_id: M1, species: Mus musculus, sex: F, age: P90D}
session: {session_id: a, session_start_time: 2024-05-01T10:00:00+00:00, session_description: A test.}
sources:
"""
T = np.arange(500) / 50.0


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    for name in ("LOGS", "SCRATCH", "CACHE"):
        monkeypatch.setenv(f"NWBPIPE_{name}", str(tmp_path / name.lower()))


def convert(folder: Path, sources: str) -> Path:
    (folder / "session.yaml").write_text(HEAD + sources)
    return nwbpipe.convert(folder / "session.yaml", folder / "out.nwb", progress=False)


def doric(path: Path, times: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["Created"] = "Wed May 01 10:00:00 2024"
        for k, (name, stamps) in enumerate(times.items()):
            group = file.create_group(f"DataAcquisition/FPC/Signals/Series0001/{name}")
            group["Time"] = stamps
            group["Value"] = np.arange(len(stamps)) + 100.0 * k


def test_tables_doric_and_pyphotometry_in_one_session(tmp_path):
    rng = np.random.default_rng(0)
    truth = simulate_photometry(rng, 10.0, 50.0, event_times=np.array([3.0, 6.0]))
    write_csv(tmp_path / "traces.csv", rng, truth)
    write_ppd(tmp_path / "a.ppd", rng, truth)
    doric(tmp_path / "a.doric", {"AIN01": T, "AIN02": T + 0.01})
    led = np.tile([1, 2], 250)
    npm = pd.DataFrame(
        {"FrameCounter": np.arange(500), "Timestamp": T, "LedState": led, "Region0G": np.arange(500.0)}
    )
    npm.to_csv(tmp_path / "npm.csv", index=False)
    npm.to_parquet(tmp_path / "npm.pqt")
    prefix = "FPC_Signals_Series0001"
    path = convert(
        tmp_path,
        f"""
  csv: {{interface: CSVFiberPhotometryInterface, clock: box,
         args: {{file_path: traces.csv, data_columns: [left_signal, right_signal], timestamps_column: time}}}}
  npm: {{interface: NPMFiberPhotometryInterface, clock: box,
         args: {{file_path: npm.csv, excitation_wavelength_in_nm: 470, regions: [Region0G]}}}}
  table: {{interface: ParquetFiberPhotometryInterface, clock: box, args: {{file_path: npm.pqt, data_columns: Region0G,
           timestamps_column: Timestamp, demux_configuration: {{by: column, column: LedState, values: 1}}}}}}
  first: {{interface: DoricFiberPhotometryInterface, clock: box,
           args: {{file_path: a.doric, stream_names: {prefix}_AIN01_Value}}}}
  second: {{interface: DoricFiberPhotometryInterface, clock: box,
            args: {{file_path: a.doric, stream_names: {prefix}_AIN02_Value}}}}
  ppd: {{interface: PyPhotometryFiberPhotometryInterface, clock: box,
         args: {{file_path: a.ppd, stream_name: detector_1_excitation_2}}}}
  pulses: {{interface: PyPhotometryEventsInterface, clock: box, args: {{file_path: a.ppd}}}}
reference_clock: box
""",
    )
    with h5py.File(path) as file:
        held = {name.removeprefix("FiberPhotometryResponseSeries_"): one for name, one in file["acquisition"].items()}
        starts = {name: one["starting_time"][()] for name, one in held.items()}
        rates = {name: one["starting_time"].attrs["rate"] for name, one in held.items()}
        assert starts == pytest.approx({"csv": 0, "npm": 0.02, "table": 0, "first": 0, "second": 0.01, "ppd": 0.01})
        assert rates == pytest.approx(dict.fromkeys(held, 50.0) | {"npm": 25.0, "table": 25.0})
        assert np.abs(held["csv"]["data"][:, 1] - truth.signal[1]).max() < 0.06
        assert held["npm"]["data"][:3].ravel().tolist() == [1, 3, 5]
        assert held["table"]["data"][:3].ravel().tolist() == [0, 2, 4]
        assert held["second"]["data"][:2].ravel().tolist() == [100, 101]
        assert np.abs(held["ppd"]["data"][:] - truth.control[0]).max() < 0.06
        np.testing.assert_allclose(file["events/Digital1/timestamp"], [3.0, 6.0], atol=1e-6)


def test_doric_streams_of_one_series_must_share_their_times(tmp_path):
    """NeuroConv gives all of them the times of the first."""
    doric(tmp_path / "a.doric", {"AIN01": T, "AIN02": T + 0.01})
    names = ", ".join(f"FPC_Signals_Series0001_AIN0{k}_Value" for k in (1, 2))
    args = f"{{file_path: a.doric, stream_names: [{names}]}}"
    with pytest.raises(ClockError, match="the streams of one series have different times") as caught:
        convert(tmp_path, f"  d: {{interface: DoricFiberPhotometryInterface, args: {args}}}\n")
    assert "up to 0.01 s apart" in str(caught.value)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("data_columns: Region9, timestamps_column: Timestamp", "the table has no such column"),
        ("data_columns: a, timestamps_column: t, demux_configuration: {by: column, column: led, values: 7}",
         "no row of the table is chosen"),
    ],
)  # fmt: skip
def test_tables_that_lack_what_is_asked_for_are_refused(tmp_path, args, message):
    pd.DataFrame({"a": [1.0, 2.0], "t": [0.0, 1.0], "led": [1, 2]}).to_parquet(tmp_path / "a.pqt")
    with pytest.raises(SourceError) as caught:
        convert(
            tmp_path, f"  a: {{interface: ParquetFiberPhotometryInterface, args: {{file_path: a.pqt, {args}}}}}\n"
        )
    assert message in str(caught.value)


def test_a_damaged_table_is_refused(tmp_path):
    (tmp_path / "a.pqt").write_bytes(b"PAR1 and no more")
    args = "{file_path: a.pqt, data_columns: a, timestamps_column: t}"
    with pytest.raises(SourceError, match="the table can't be read"):
        convert(tmp_path, f"  a: {{interface: ParquetFiberPhotometryInterface, args: {args}}}\n")
