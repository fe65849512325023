"""EXTRACT: robust cell extraction, run by MATLAB or GNU Octave."""

from nwbpipe.processors.imaging.extract._params import ExtractParams
from nwbpipe.processors.imaging.extract._processor import Extract

__all__ = ["Extract", "ExtractParams"]
