"""A whole session file as NWB-Zarr, and back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from nwbpipe.errors import FileAccessError, OverwriteError, RequestError
from nwbpipe.export._write import new_path
from nwbpipe.nwb_zarr import convert_to_hdf5, convert_to_zarr, look_at_folder
from nwbpipe.session import SessionFile, SessionReader
from nwbpipe.stores import Stage, is_remote, normalize_path, open_location

_THREADS = 8


def write_zarr(path: Path | str, out: Path | str) -> list[str]:
    """Write a session file as NWB-Zarr: a folder that other programs read chunk by chunk over the network.

    All of the file is there: data in their chunks, results, run records, schemas. Metadata are consolidated. A file
    of an older NWB is written as pynwb's own version, with the schemas of that.

    Parameters
    ----------
    path : path
        A session file, or its address (``s3://…``).
    out : path
        A new folder, or its address.

    Returns
    -------
    list of str
        External files that the session names; they are not copied.

    Raises
    ------
    OverwriteError
        If `out` exists.
    ToolMissingError
        If hdmf-zarr is not installed.
    """
    with _new_output(out) as folder, SessionFile.at(path).open() as reader:
        external = _list_external_files(reader)
        convert_to_zarr(reader.file, folder, str(path))  # hdmf closes the file
        return external


def write_hdf5(path: Path | str, out: Path | str) -> list[str]:
    """Write an NWB-Zarr folder as a session file (HDF5), which nwbpipe processes.

    Parameters
    ----------
    path : path
        The folder, or its address (``s3://…``).
    out : path
        A new file, or its address.

    Returns
    -------
    list of str
        External files that the session names; they are not copied.

    Raises
    ------
    OverwriteError
        If `out` exists.
    UnsupportedFileError
        If the folder is not NWB-Zarr (NWB 2, Zarr 2).
    UnsafeFileError
        If a link leads out of it.
    ToolMissingError
        If hdmf-zarr is not installed.
    """
    with _local_folder(path) as folder, _new_output(out) as target:
        convert_to_hdf5(folder, target, str(path))
        with SessionFile.at(target).open() as reader:
            return _list_external_files(reader)


@contextmanager
def _local_folder(path: Path | str) -> Iterator[Path]:
    if not is_remote(path):
        folder = Path(path)
        if not folder.is_dir():
            msg = "the NWB-Zarr folder does not exist"
            raise RequestError(msg, where=str(path), expected="a folder", hint="check the path")
        look_at_folder(folder)
        yield folder
        return
    store, name = open_location(str(path).rstrip("/"))
    paths = [normalize_path(entry.path) for entry in store.list(name)]
    if not paths:
        raise FileAccessError("no such folder", where=store.location(name), hint="check the address")
    with Stage() as stage:

        def download(source: str) -> None:
            target = stage.folder / source
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(store.read_bytes(source))  # a chunk, or a small text

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(download, paths))
        yield stage.folder / name


@contextmanager
def _new_output(out: Path | str) -> Iterator[Path]:
    """Yield a path on this machine; what is written there becomes the output at the end."""
    if not is_remote(out):
        with new_path(Path(out)) as partial:
            yield partial
        return
    store, name = open_location(str(out).rstrip("/"))
    if store.exists(name) or next(iter(store.list(name)), None) is not None:
        raise OverwriteError("the output exists", where=str(out), expected="a new name", hint="choose another one")
    with Stage() as stage:
        local = stage.folder / name
        yield local
        files = [local] if local.is_file() else sorted(item for item in local.rglob("*") if item.is_file())
        # What makes a reader open the folder comes last.
        for file in sorted(files, key=lambda item: item.parent == local and item.name.startswith(".z")):
            store.put_file(file, file.relative_to(stage.folder).as_posix(), if_absent=store.conditional_writes)


def _list_external_files(reader: SessionReader) -> list[str]:
    names: list[str] = []
    for item in reader.objects:
        if "ImageSeries" in item.lineage and "external_file" in reader.file[item.path]:
            names += [str(name) for name in reader.file[item.path]["external_file"].asstr()[()]]
    return names
