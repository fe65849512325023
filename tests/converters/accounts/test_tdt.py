"""TDT blocks: what the account of a photometry's stores says, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwbpipe.converters.accounts import read_account
from tests.converters.accounts.raw_tdt import POINTS, START, write_block

RATE = 1017.2526


def write_photometry(folder: Path) -> dict[str, object]:
    """Two stores of ten records, sampled together; three records are missing after the fourth."""
    numbers = np.arange(10) + 3 * (np.arange(10) >= 4)
    stamps = 0.25 + numbers * POINTS / RATE
    data = np.zeros((10 * POINTS, 1), np.int16)
    write_block(
        folder / "b", {"405A": (RATE, stamps, data), "465A": (RATE, stamps, data), "Wav": (RATE, stamps, data)}
    )
    return {"folder_path": folder / "b", "stream_names": ["_405A", "_465A"]}


def test_stores_that_are_columns_of_one_series(tmp_path: Path) -> None:
    account, _ = read_account("TDTFiberPhotometryInterface", write_photometry(tmp_path))
    assert account is not None
    (stream,) = account.complete().streams
    assert (stream.samples, stream.first_time) == (640, pytest.approx(0.25, abs=1e-6))
    assert [(gap.sample, round(gap.missing, 2)) for gap in stream.gaps] == [(256, 192.0)]
    assert stream.times is not None
    assert stream.times()[256] == pytest.approx(0.25 + 7 * POINTS / RATE, abs=1e-6)
    assert {"PAB/", "Wav"} <= set(account.others)
    assert account.start is not None
    assert account.start.timestamp() == START
    assert {path.suffix for path in account.files} == {".tsq", ".tev", ".Tbk", ".tdx"}


def test_stores_that_were_not_sampled_together_are_refused(tmp_path: Path) -> None:
    data = np.zeros((2 * POINTS, 1), np.int16)
    stores = {name: (RATE, first + np.arange(2) * POINTS / RATE, data) for name, first in (("A_", 0.0), ("B_", 0.5))}
    write_block(tmp_path / "b", stores)
    account, _ = read_account(
        "TDTFiberPhotometryInterface", {"folder_path": tmp_path / "b", "stream_names": ["A_", "B_"]}
    )
    assert account is not None
    ((kind, problem),) = account.problems
    assert (kind, problem.what) == ("shape", "the stores A_ and B_ were not sampled together")


def test_a_tev_that_ends_early_is_refused(tmp_path: Path) -> None:
    arguments = write_photometry(tmp_path)
    (tev,) = (tmp_path / "b").glob("*.tev")
    tev.write_bytes(tev.read_bytes()[:1000])
    account, _ = read_account("TDTFiberPhotometryInterface", arguments)
    assert account is not None
    assert {kind for kind, _ in account.problems} == {"samples"}
    assert "the .tev is shorter" in account.problems[0][1].what
