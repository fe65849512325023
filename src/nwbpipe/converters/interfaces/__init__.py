"""Data interfaces: NeuroConv's by class name, and ours beside them, one file each."""

from nwbpipe.converters.interfaces._guards import guard_source
from nwbpipe.converters.interfaces._registry import (
    build_interface,
    interface_class,
    interface_names,
    missing_reader_error,
)

__all__ = ["build_interface", "guard_source", "interface_class", "interface_names", "missing_reader_error"]
