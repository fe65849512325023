"""The command line: one thin file a verb."""

from nwbpipe.cli._main import main

__all__ = ["main"]
