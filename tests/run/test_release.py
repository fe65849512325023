"""A new release of nwbpipe leaves results as they are: its version is in the record, not in the key."""

from __future__ import annotations

from pathlib import Path

import pytest

import nwbpipe
from nwbpipe.provenance import _new_record
from tests.fixtures.processing import Scale, write_session


def test_another_version_makes_no_result_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_session(tmp_path / "session.nwb", "lever")
    nwbpipe.process(path, Scale(), step="twice", inputs={"series": "acquisition/lever"})
    monkeypatch.setattr(_new_record, "__version__", "9.9.9")
    nwbpipe.process(path, Scale(), step="twice", inputs={"series": "acquisition/lever"})
    (record,) = nwbpipe.read_records(path)
    assert record.software == f"nwbpipe {nwbpipe.__version__}"
    nwbpipe.process(path, Scale(), step="again", inputs={"series": "acquisition/lever"})
    assert nwbpipe.read_records(path)[-1].software == "nwbpipe 9.9.9"
