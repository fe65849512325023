"""Import what a process is certain to need."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module


def preload(*modules: str) -> None:
    """Import modules that this process needs until its end, without the garbage collector.

    It would go over their hundred thousands of objects several times while they are made, and then again and again:
    a tenth of the time of a small command. What was imported is not looked at later either.
    """
    if all(name in sys.modules for name in modules):
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for name in modules:
            import_module(name)
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def preload_beside(*modules: str) -> Iterator[None]:
    """Import modules in a thread while the block waits; they are there, or have failed, when it ends.

    What they failed with is raised by whoever imports them next.
    """
    if all(name in sys.modules for name in modules):
        yield
        return
    importing = threading.Thread(target=_try_preloading, args=modules, name="nwbpipe-imports", daemon=True)
    importing.start()
    try:
        yield
    finally:
        importing.join()


def _try_preloading(*modules: str) -> None:
    with suppress(Exception):
        preload(*modules)
