"""Turns a tool's results into NWB objects, for converters and processors alike."""

from nwbpipe.nwb_builders._behavior import Column, events_table, intervals_table
from nwbpipe.nwb_builders._facemap import FacemapPupil, FacemapResults, FacemapSvd
from nwbpipe.nwb_builders._facemap_nwb import add_facemap_results
from nwbpipe.nwb_builders._restricted_npy import load_pickled_dict, load_pickled_dicts
from nwbpipe.nwb_builders._times import Times, regular_times

__all__ = [
    "Column",
    "FacemapPupil",
    "FacemapResults",
    "FacemapSvd",
    "Times",
    "add_facemap_results",
    "events_table",
    "intervals_table",
    "load_pickled_dict",
    "load_pickled_dicts",
    "regular_times",
]
