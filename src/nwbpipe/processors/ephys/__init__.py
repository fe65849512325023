"""Processors of extracellular electrophysiology."""

from nwbpipe.processors.ephys._parameters import SpikeSortingParams
from nwbpipe.processors.ephys._spikesorting import SpikeSorting

__all__ = ["SpikeSorting", "SpikeSortingParams"]
