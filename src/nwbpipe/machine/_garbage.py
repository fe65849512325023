"""Let the garbage collector look at what a piece of work made, not at all that the process holds besides."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_users = 0
_is_frozen = False


@contextmanager
def leave_out_older_objects() -> Iterator[None]:
    """Let ``gc.collect()`` within the block look only at objects that were made since it began.

    Those before it are the modules of a whole process mostly: to look at them takes longer than the rest of a small
    conversion. Blocks may be nested and run in threads: the first one sets the border for all.
    """
    global _users, _is_frozen
    with _lock:
        if not _users and not gc.get_freeze_count():  # else another part of the process has chosen what to leave out
            gc.freeze()
            _is_frozen = True
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _is_frozen:
                gc.unfreeze()
                _is_frozen = False
