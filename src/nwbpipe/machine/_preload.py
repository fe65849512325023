"""Import what a process is certain to need."""

from __future__ import annotations

import gc
import sys
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
