"""Which objects the garbage collector looks at."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from nwbpipe.machine import leave_out_older_objects


class Circle:
    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    """The tests' own start leaves out what they import."""
    gc.unfreeze()
    gc.disable()
    yield
    gc.enable()
    gc.freeze()


def test_only_what_was_made_in_the_block_is_collected_in_it() -> None:
    older = weakref.ref(Circle())
    with leave_out_older_objects():
        with leave_out_older_objects():
            newer = weakref.ref(Circle())
        gc.collect()
        assert newer() is None
        assert older() is not None
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert older() is None


def test_what_another_part_of_the_process_left_out_stays_so() -> None:
    older = weakref.ref(Circle())
    gc.freeze()
    with leave_out_older_objects():
        pass
    gc.collect()
    assert older() is not None
    gc.unfreeze()
    gc.collect()
    assert older() is None
