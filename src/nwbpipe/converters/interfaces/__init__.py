"""Data interfaces: NeuroConv's by class name, and ours beside them, one file each."""

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._registry import (
    guard_source,
    interface_class,
    interface_names,
    missing_reader_error,
)

__all__ = ["guard_source", "interface", "interface_class", "interface_names", "missing_reader_error"]
