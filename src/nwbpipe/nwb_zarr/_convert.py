"""Convert NWB-Zarr folders to HDF5 and back with hdmf-zarr, which is imported when it is needed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nwbpipe.errors import DamagedFileError, NwbpipeError, ToolMissingError


def convert_to_zarr(file: h5py.File, folder: Path, where: str) -> None:
    """Write all of an open session file to a new folder, with consolidated metadata.

    Raises
    ------
    ToolMissingError
        If hdmf-zarr is not installed.
    """
    with prepare_hdmf(where):
        from pynwb import NWBHDF5IO

        from nwbpipe.nwb_zarr._io import ZarrWriter, copy_schemas_to_zarr, is_current

        has_schemas = ".specloc" in file.attrs
        keeps_schemas = has_schemas and is_current(file.attrs["nwb_version"])
        with NWBHDF5IO(file=file, mode="r", load_namespaces=has_schemas) as source:
            with ZarrWriter(folder) as target:
                target.export(src_io=source, write_args={"link_data": False}, cache_spec=not keeps_schemas)
            if keeps_schemas:
                copy_schemas_to_zarr(file, folder)


def convert_to_hdf5(folder: Path, target: Path, where: str) -> None:
    """Write all of an NWB-Zarr folder to a new HDF5 file.

    Raises
    ------
    UnsupportedFileError
        If the folder is not NWB-Zarr (NWB 2, Zarr 2).
    UnsafeFileError
        If a link leads out of it.
    ToolMissingError
        If hdmf-zarr is not installed.
    """
    with prepare_hdmf(where), closed_pickles():
        from nwbpipe.nwb_zarr._io import Hdf5Writer, export_to_hdf5

        with h5py.File(target, "x") as file, Hdf5Writer(str(target), file=file, mode="w") as writer:
            export_to_hdf5(folder, writer, file)


@contextmanager
def closed_pickles() -> Iterator[None]:
    """Read pickles in Zarr arrays as data while the block runs."""
    from numcodecs.registry import codec_registry, get_codec, register_codec

    from nwbpipe.nwb_zarr._io import ClosedPickle

    try:
        earlier = type(get_codec({"id": ClosedPickle.codec_id}))
    except ValueError:  # another version of numcodecs may have none
        earlier = None
    register_codec(ClosedPickle)
    try:
        yield
    finally:
        if earlier is None:
            codec_registry.pop(ClosedPickle.codec_id, None)
        else:
            register_codec(earlier, ClosedPickle.codec_id)


@contextmanager
def prepare_hdmf(where: str) -> Iterator[None]:
    """Import what is needed, and say in one line what hdmf fails with."""
    try:
        import hdmf_zarr  # noqa: F401

        import nwbpipe.extensions  # noqa: F401  (registers our types)
    except ImportError as error:
        msg = "hdmf_zarr is not installed, which reads NWB-Zarr"
        raise ToolMissingError(msg, found=str(error), hint="pip install 'nwbpipe[arrays]'") from error
    try:
        with warnings.catch_warnings():
            for module in ("hdmf", "hdmf_zarr", "pynwb", "zarr"):
                warnings.filterwarnings("ignore", module=rf"{module}(\..*)?$")
            yield
    except (NwbpipeError, OSError, MemoryError):
        raise
    except Exception as error:
        text = next(iter(str(error).splitlines()), "")[:300]
        msg = "hdmf can't export the session"
        hint = "`nwbpipe check FILE.nwb` looks further"
        raise DamagedFileError(msg, where=where, found=f"{type(error).__name__}: {text}", hint=hint) from error
