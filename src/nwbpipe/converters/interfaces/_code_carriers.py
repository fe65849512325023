"""Interfaces whose formats or readers can carry code, with the reason: read by closed readers, or refused.

The list comes from reading NeuroConv 0.10 and its readers; a test looks for signs of code in the source of each
interface. What is not on the list is held by the second wall of `nwbpipe.foreign.forbid_code`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from nwbpipe.errors import UntrustedError
from nwbpipe.machine import is_trusted


@dataclass(frozen=True)
class CodeCarrier:
    """An interface that would run code.

    Parameters
    ----------
    reason : str
        The code that its reader would run, as the end of "the reader of … ".
    modules : tuple of str
        Modules of the reader that have closed stand-ins; they are imported first.
    is_refused : bool
        True if the reader works only with that code: it is refused unless the user trusts the files.
    """

    reason: str
    modules: tuple[str, ...] = ()
    is_refused: bool = False


_PYTABLES = ("tables.attributeset", "tables.atom")
_PHY = ("spikeinterface.extractors.phykilosortextractors",)
CODE_CARRIERS = {
    "PhySortingInterface": CodeCarrier("runs params.py", _PHY),
    "KiloSortSortingInterface": CodeCarrier("runs params.py", _PHY),
    "DeepLabCutInterface": CodeCarrier(
        "unpickles attributes and arrays of objects of the .h5, and <video>_meta.pickle beside it",
        (*_PYTABLES, "neuroconv.datainterfaces.behavior.deeplabcut._dlc_utils"),
    ),
    "LightningPoseDataInterface": CodeCarrier("unpickles attributes of the .h5 that its guard reads", _PYTABLES),
    "GuppyInterface": CodeCarrier("unpickles attributes and arrays of objects of its .h5", _PYTABLES),
    "Suite2pSegmentationInterface": CodeCarrier("unpickles ops.npy, stat.npy and every other .npy of the folder"),
    "MinianSegmentationInterface": CodeCarrier(
        "decodes arrays that zarr's codec 'pickle' wrote", ("numcodecs.pickles",)
    ),
    "SimaSegmentationInterface": CodeCarrier(
        "unpickles classes of sima, and replaces the raw pickle by another one", is_refused=True
    ),
    "MaxOneRecordingInterface": CodeCarrier(
        "downloads a plug-in of HDF5, or loads the one that hdf5_plugin_path names", is_refused=True
    ),
    "Plexon2RecordingInterface": CodeCarrier("downloads a library, and loads it by wine", is_refused=True),
}


def close_readers(name: str, files: Iterable[Path]) -> None:
    """Import the readers of an interface that have closed stand-ins; refuse one that works only with code.

    Parameters
    ----------
    name : str
        Class name of the interface.
    files : iterable of Path
        The raw files and folders.

    Raises
    ------
    UntrustedError
        The reader runs code, and the user trusts neither the files nor a folder above them.
    """
    carrier = CODE_CARRIERS.get(name)
    if carrier is None:
        return
    if carrier.is_refused:
        paths = [str(path) for path in files]
        msg = f"the reader of {name} {carrier.reason}"
        raise UntrustedError(
            msg, where=", ".join(paths), expected="files or a folder that you trust",
            hint="if you know where they come from: nwbpipe trust FOLDER",
        )  # fmt: skip
    for module in carrier.modules:
        with suppress(ImportError):  # the interface itself reports a reader that is missing
            import_module(module)


def are_trusted(files: Iterable[Path]) -> bool:
    """Return True if the user trusts all these files; False if there are none."""
    paths = list(files)
    return bool(paths) and all(is_trusted(path) for path in paths)
