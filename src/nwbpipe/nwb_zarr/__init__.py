"""NWB-Zarr folders: read one in place as if it were HDF5, and convert it to HDF5 and back."""

from nwbpipe.nwb_zarr._convert import convert_to_hdf5, convert_to_zarr
from nwbpipe.nwb_zarr._folder import is_zarr_folder, look_at_folder
from nwbpipe.nwb_zarr._image import FolderImage, ImageReader, build_image

__all__ = [
    "FolderImage",
    "ImageReader",
    "build_image",
    "convert_to_hdf5",
    "convert_to_zarr",
    "is_zarr_folder",
    "look_at_folder",
]
