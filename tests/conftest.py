"""Registers the fixtures of tests/fixtures, and keeps what is imported out of the search for garbage."""

import gc

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
    gc.collect()
    gc.freeze()
