"""An orderly stop at Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C (or SIGTERM) ask for a stop; yields what says whether it did. A second one ends at once.

    A KeyboardInterrupt could come anywhere, between a commit and what is told of it, too.
    """
    asked = threading.Event()

    def ask(_number: int, _frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        os.write(2, b"stopping; Ctrl-C again ends at once\n")

    handlers = {signal_number: signal.signal(signal_number, ask) for signal_number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for signal_number, handler in handlers.items():
            signal.signal(signal_number, handler)
