"""Arrays and folders of a session for other programs."""

from nwbpipe.export._align import align
from nwbpipe.export._pandas import to_pandas
from nwbpipe.export._pynapple import PynappleSession, to_pynapple
from nwbpipe.export._select import Selection
from nwbpipe.export._spikeinterface import SpikeInterfaceSession, to_spikeinterface
from nwbpipe.export._stored_array import StoredArray
from nwbpipe.export._units import export_units
from nwbpipe.export._write import write_arrays
from nwbpipe.export._xarray import to_xarray
from nwbpipe.export._zarr import write_hdf5, write_zarr

__all__ = [
    "PynappleSession",
    "Selection",
    "SpikeInterfaceSession",
    "StoredArray",
    "align",
    "export_units",
    "to_pandas",
    "to_pynapple",
    "to_spikeinterface",
    "to_xarray",
    "write_arrays",
    "write_hdf5",
    "write_zarr",
]
