"""Fixtures of other folders."""

from tests.processors.pose.conftest import lab, small_lab

__all__ = ["lab", "small_lab"]
