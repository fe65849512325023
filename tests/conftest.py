"""Registers the fixtures of tests/fixtures, and keeps what is imported out of the search for garbage."""

from __future__ import annotations

import gc
import sys
from typing import Any

_MANY = 40  # modules that tests imported since the last look
_frozen = 0

pytest_plugins = [
    "tests.fixtures.archive",
    "tests.fixtures.clocks",
    "tests.fixtures.containers",
    "tests.fixtures.data",
    "tests.fixtures.faults",
    "tests.fixtures.lab",
    "tests.fixtures.machine",
    "tests.fixtures.nfs",
    "tests.fixtures.plugins",
    "tests.fixtures.processing",
    "tests.fixtures.s3",
    "tests.fixtures.schedulers",
    "tests.fixtures.simulated",
    "tests.fixtures.slurm",
    "tests.fixtures.tools",
    "tests.fixtures.validator",
]


def pytest_collection_finish() -> None:
    """Spare each conversion, which calls `gc.collect`, a look at all that the tests import."""
    _leave_out_modules()


def pytest_runtest_teardown(item: Any, nextitem: Any) -> None:
    """Do the same for what the tests of a module imported while they ran."""
    is_last = nextitem is None or nextitem.path != item.path
    if is_last and len(sys.modules) > _frozen + _MANY:
        _leave_out_modules()


def _leave_out_modules() -> None:
    global _frozen
    gc.collect()
    gc.freeze()
    _frozen = len(sys.modules)
