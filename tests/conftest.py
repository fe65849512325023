"""Registers the fixtures of tests/fixtures."""

pytest_plugins = [
    "tests.fixtures.archive",
    "tests.fixtures.clocks",
    "tests.fixtures.data",
    "tests.fixtures.faults",
    "tests.fixtures.lab",
    "tests.fixtures.machine",
    "tests.fixtures.plugins",
    "tests.fixtures.processing",
    "tests.fixtures.s3",
    "tests.fixtures.simulated",
    "tests.fixtures.tools",
]
