"""Fixtures of these tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that another user can reach, too (pytest's own are closed to them)."""
    if os.name == "nt":
        pytest.skip("no mode bits on Windows")
    folder = Path(tempfile.mkdtemp(prefix="nwbpipe-test-"))
    folder.chmod(0o755)
    yield folder.resolve()
    folder.chmod(0o700)
    shutil.rmtree(folder)
