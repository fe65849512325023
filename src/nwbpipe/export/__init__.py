"""Arrays and folders of a session for other programs."""

from nwbpipe.export._units import export_units

__all__ = ["export_units"]
