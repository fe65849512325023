"""Test kits: inherit them, and your processor, interface, store or executor is held to nwbpipe's contract."""

import pytest

pytest.register_assert_rewrite("nwbpipe.testing._stores")

from nwbpipe.testing._faults import Fault, FaultyStore  # noqa: E402
from nwbpipe.testing._stores import StoreTests  # noqa: E402

__all__ = [
    "Fault",
    "FaultyStore",
    "StoreTests",
]
