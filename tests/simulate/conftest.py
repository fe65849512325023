"""A small simulated session, written once for all the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.simulate import SimulatedSession, simulate_session


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSession:
    folder: Path = tmp_path_factory.mktemp("simulated")
    return simulate_session(folder, seed=3, size="small")
