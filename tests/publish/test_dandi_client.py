"""The small archive of these tests, held to dandi's own client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe.publish import upload
from tests.fixtures.archive import KEY, Archive


@pytest.mark.long
def test_what_dandis_own_client_uploads_is_unchanged_for_ours(
    archive: Archive, make_session: Callable[..., Path], tmp_path: Path
) -> None:
    file = make_session("mine/sub-M1/sub-M1_ses-a.nwb")
    folder = tmp_path / "dandiset"
    shutil.copytree(tmp_path / "mine", folder)
    (folder / "dandiset.yaml").write_text("identifier: '000123'\nname: Mice\n")
    variables = {"HOME": str(tmp_path), "DANDI_NO_ET": "1", "NO_ET": "1"}
    variables[f"127.0.0.1:{archive.server.server_port}_API_KEY"] = KEY
    command = [sys.executable, "-c", "from dandi.cli.command import main; main()", "upload", "-i", archive.api, "."]
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(archive.contents()) == {"sub-M1/sub-M1_ses-a.nwb", "sub-M1/sub-M1_ses-a/face.mp4"}
    report = upload([file], instance=archive.api, dandiset="000123")
    assert len(report.plan.unchanged) == 2
    assert not report.plan.pending
