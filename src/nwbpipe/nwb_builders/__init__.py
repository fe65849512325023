"""Turn a tool's results into NWB objects, for converters and processors alike."""

from nwbpipe.foreign import load_array, load_pickled_dict, load_pickled_dicts
from nwbpipe.nwb_builders._behavior import Column, make_events_table, make_intervals_table
from nwbpipe.nwb_builders._facemap import FacemapPupil, FacemapRegionSvd, FacemapResults
from nwbpipe.nwb_builders._facemap_nwb import add_facemap_results
from nwbpipe.nwb_builders._phy import (
    PhySorting,
    find_lost_clusters,
    list_phy_files,
    list_tables,
    read_excluded_clusters,
    read_phy,
    read_spikes,
    read_table,
)
from nwbpipe.nwb_builders._spikeinterface import (
    SavedSorting,
    is_spikeinterface,
    list_spikeinterface_files,
    read_spikeinterface,
)
from nwbpipe.nwb_builders._times import Times, regular_times

__all__ = [
    "Column",
    "FacemapPupil",
    "FacemapRegionSvd",
    "FacemapResults",
    "PhySorting",
    "SavedSorting",
    "Times",
    "add_facemap_results",
    "find_lost_clusters",
    "is_spikeinterface",
    "list_phy_files",
    "list_spikeinterface_files",
    "list_tables",
    "load_array",
    "load_pickled_dict",
    "load_pickled_dicts",
    "make_events_table",
    "make_intervals_table",
    "read_excluded_clusters",
    "read_phy",
    "read_spikeinterface",
    "read_spikes",
    "read_table",
    "regular_times",
]
