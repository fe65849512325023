"""A small simulated session, written once for all the tests of a run."""

from __future__ import annotations

import pytest

from nwbpipe.simulate import SimulatedSession


@pytest.fixture(scope="session")
def simulated(small_session: SimulatedSession) -> SimulatedSession:
    return small_session
