"""Test kits: inherit them, and your processor, interface, store or executor is held to nwbpipe's contract."""

import pytest

for _kit in ("content", "executors", "interfaces", "processors", "stores"):
    pytest.register_assert_rewrite(f"nwbpipe.testing._{_kit}")

from nwbpipe.testing._content import assert_same_content  # noqa: E402
from nwbpipe.testing._executors import ExecutorTests  # noqa: E402
from nwbpipe.testing._faults import Fault, FaultyStore  # noqa: E402
from nwbpipe.testing._interfaces import InterfaceTests  # noqa: E402
from nwbpipe.testing._processors import ProcessorTests  # noqa: E402
from nwbpipe.testing._stores import StoreTests  # noqa: E402

__all__ = [
    "ExecutorTests",
    "Fault",
    "FaultyStore",
    "InterfaceTests",
    "ProcessorTests",
    "StoreTests",
    "assert_same_content",
]
