"""The session that the pages talk about."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.docs import warmed
from tests.fixtures.kept_files import share_folder


@pytest.fixture(scope="session")
def documented_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a simulated small session in ``raw/``, and its file ``m042.nwb``."""
    import nwbpipe
    from nwbpipe.simulate import simulate_session

    def fill(folder: Path) -> None:
        session = simulate_session(folder / "raw", size="small")
        nwbpipe.convert(session.spec, folder / "m042.nwb", progress=False)

    folder = share_folder(tmp_path_factory, "documented", fill)
    os.environ[warmed.SESSION] = str(folder)  # for the process that the pages' commands are forked from
    return folder


@pytest.fixture
def page_folder(documented_session: Path, tmp_path: Path) -> Path:
    """A copy of it, for one page."""
    folder = tmp_path / "page"
    shutil.copytree(documented_session, folder)
    return folder
