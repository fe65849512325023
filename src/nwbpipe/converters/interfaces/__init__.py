"""Data interfaces: NeuroConv's by class name, and ours beside them, one file each."""

from nwbpipe.converters.interfaces._code_carriers import CODE_CARRIERS, are_trusted, close_readers
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._registry import (
    guard_source,
    interface_class,
    interface_names,
    missing_reader_error,
)

__all__ = [
    "CODE_CARRIERS",
    "are_trusted",
    "close_readers",
    "guard_source",
    "interface",
    "interface_class",
    "interface_names",
    "missing_reader_error",
]
