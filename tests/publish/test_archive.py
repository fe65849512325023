"""A DANDI archive that is not ours: NWBPIPE_ARCHIVE_URL (http://localhost:8000/api) and NWBPIPE_ARCHIVE_KEY name it.

It creates a dandiset there, so it is never run on the production archive.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import h5py
import pytest

from nwbpipe.publish import _upload, download, upload
from tests.publish.test_upload import PROJECT

URL, KEY = os.environ.get("NWBPIPE_ARCHIVE_URL", ""), os.environ.get("NWBPIPE_ARCHIVE_KEY", "")
PARTS_BYTES = 70 * 2**20  # more than one part


@pytest.mark.archive
@pytest.mark.skipif(not (URL and KEY), reason="NWBPIPE_ARCHIVE_URL and NWBPIPE_ARCHIVE_KEY name no archive")
def test_sessions_go_up_and_come_down_the_same(
    make_session: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "dandiarchive.org" not in URL or "sandbox" in URL
    monkeypatch.setenv(re.sub(r"\W", "_", urlsplit(URL).netloc.upper()) + "_API_KEY", KEY)
    monkeypatch.setattr(_upload, "SHA256_WAIT_S", 60.0)
    file = make_session(video=os.urandom(PARTS_BYTES))
    (tmp_path / "nwbpipe.toml").write_text(PROJECT)
    report = upload([tmp_path], instance=URL, create=True)
    assert report.in_order, report.receipt.problems
    assert all(asset.sha256_confirmed for asset in report.receipt.assets)
    dandiset = report.receipt.dandiset
    again = upload([tmp_path], instance=URL, dandiset=dandiset)
    assert len(again.plan.unchanged) == 2
    assert not again.plan.pending
    with h5py.File(file, "r+") as opened:
        opened["general/lab"][()] = "Lab"[::-1]
    changed = upload([tmp_path], instance=URL, dandiset=dandiset)
    assert [planned.asset.path for planned in changed.plan.changed] == ["sub-M1/sub-M1_ses-a.nwb"]
    assert changed.in_order
    here = download(f"{dandiset}/draft", instance=URL, output=tmp_path / "down")
    assert here.is_complete
    assert (tmp_path / "down" / "sub-M1" / "sub-M1_ses-a.nwb").read_bytes() == file.read_bytes()
