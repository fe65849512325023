"""Read sortings and analyzers that SpikeInterface saved, as data: nothing in them is run."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import SourceError, ToolMissingError
from nwbpipe.foreign import load_array

Array = NDArray[Any]
#: Codecs that SpikeInterface writes numbers and text with; others (pickle) could run code, or are not known.
_CODECS = frozenset({"blosc", "zstd", "lz4", "gzip", "zlib", "bz2", "delta", "shuffle", "fixedscaleoffset"})
_MOST_BYTES = 4 << 30
_EXTENSIONS = (
    "templates",
    "unit_locations",
    "spike_amplitudes",
    "spike_locations",
    "quality_metrics",
    "template_metrics",
)
_EXPECTED = (
    "a folder of SpikeInterface: a sorting (numpysorting_info.json, or .zarr) or an analyzer "
    "(spikeinterface_info.json, or .zarr)"
)


@dataclass(frozen=True)
class SavedSorting:
    """A sorting that SpikeInterface saved, with what its analyzer measured.

    Attributes
    ----------
    rate : float
        Sampling rate in Hz.
    unit_ids : tuple of str
    samples, units : ndarray, int64, shape (spikes,)
        Sample of each spike, and index of its unit.
    properties : mapping of str to ndarray, shape (units,)
        Numbers and texts of each unit.
    kind : str
        ``sorting`` or ``analyzer``.
    version : str
        SpikeInterface's, or "unknown".
    channel_ids : tuple of str
        Channels of the analyzer's recording; empty for a sorting.
    recording_samples : int or None
        Length of the analyzer's recording.
    extensions : mapping of str to mapping
        Arrays of the analyzer's extensions that are known here, by name.
    parameters : mapping of str to mapping
        Parameters of these extensions.
    metrics : mapping of str to ndarray, float64, shape (units,)
    sparsity : ndarray, bool, shape (units, channels), or None
    in_microvolts : bool
        Whether templates and amplitudes are in microvolts.
    """

    rate: float
    unit_ids: tuple[str, ...]
    samples: NDArray[np.int64]
    units: NDArray[np.int64]
    properties: Mapping[str, Array]
    kind: str
    version: str = "unknown"
    channel_ids: tuple[str, ...] = ()
    recording_samples: int | None = None
    extensions: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: Mapping[str, Array] = field(default_factory=dict)
    sparsity: Array | None = None
    in_microvolts: bool = False


def is_spikeinterface(folder: Path) -> bool:
    """Return True if a folder looks like a sorting or an analyzer of SpikeInterface."""
    names = ("numpysorting_info.json", "spikeinterface_info.json", "sorting_cached.npz", ".zgroup")
    return folder.is_dir() and any((folder / name).is_file() for name in names)


def list_spikeinterface_files(folder: Path) -> list[Path]:
    """Return the files of a sorting or an analyzer that `read_spikeinterface` reads.

    Raises
    ------
    SourceError
        If the folder is neither, or a link leads out of it.
    """
    store = _open_store(folder)
    files = sorted({path for name in store.parts() for path in _walk(folder / name)})
    for path in files:
        if not path.resolve().is_relative_to(folder.resolve()):
            msg = "a file of the folder is a link to somewhere else"
            raise SourceError(msg, where=str(path), hint="copy the folder with what its links lead to")
    return files


def read_spikeinterface(folder: Path) -> SavedSorting:
    """Read a sorting (folder, zarr, or npz folder) or an analyzer (folder or zarr) of SpikeInterface.

    Raises
    ------
    SourceError
        If it is neither, is damaged or incomplete, or has several segments.
    """
    store = _open_store(folder)
    info, samples, units, properties = store.read_sorting()
    unit_ids = tuple(str(name) for name in info["unit_ids"])
    title = str(folder)
    if int(info["num_segments"]) != 1:
        msg = "the sorting has several segments"
        hint = "save a sorting of one recording: select_segments, or load each segment by itself"
        raise SourceError(msg, where=title, expected="1", found=str(info["num_segments"]), hint=hint)
    if len(set(unit_ids)) < len(unit_ids):
        raise SourceError("two units have one name", where=title, found=", ".join(unit_ids)[:200])
    if len(samples) != len(units) or (len(units) and not (units.min() >= 0 and units.max() < len(unit_ids))):
        msg = "spikes belong to no unit"
        raise SourceError(msg, where=title, expected=f"units 0 to {len(unit_ids) - 1}", found=_span(units))
    if len(samples) and samples.min() < 0:
        raise SourceError("spikes lie before the recording", where=title, found=f"sample {samples.min()}")
    fitting = {
        name: values
        for name, values in properties.items()
        if values.ndim == 1 and len(values) == len(unit_ids) and values.dtype.kind in "iufbUS"
    }
    common = SavedSorting(float(info["sampling_frequency"]), unit_ids, samples, units, fitting, "sorting")
    return store.complete(common)


def _span(units: Array) -> str:
    return f"units {units.min()} to {units.max()}" if len(units) else "no unit of some spikes"


def _walk(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file())
    elif path.is_file():
        yield path


def _open_store(folder: Path) -> _Store:
    if (folder / ".zgroup").is_file():
        return _ZarrStore(folder)
    if is_spikeinterface(folder):
        return _FolderStore(folder)
    msg = "this is not a sorting or an analyzer of SpikeInterface"
    hint = "in Python: sorting.save(folder=…), or analyzer.save_as(folder=…)"
    raise SourceError(msg, where=str(folder), expected=_EXPECTED, hint=hint)


class _Store(ABC):
    """Files of a sorting or an analyzer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def parts(self) -> list[str]:
        """Return the names of the files that are read."""

    @abstractmethod
    def read_sorting(self) -> tuple[Mapping[str, Any], NDArray[np.int64], NDArray[np.int64], dict[str, Array]]:
        """Return its description, samples, units and properties."""

    @abstractmethod
    def complete(self, sorting: SavedSorting) -> SavedSorting:
        """Return the sorting with what an analyzer knows of it."""

    def read_json(self, name: str) -> Any:
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError("the file can't be read", where=str(path), expected="JSON", found=str(error)) from error


class _FolderStore(_Store):
    """Folders of NumPy arrays and JSON."""

    @property
    def is_analyzer(self) -> bool:
        return (self.folder / "spikeinterface_info.json").is_file()

    @property
    def sorting_folder(self) -> str:
        return "sorting/" if self.is_analyzer else ""

    def parts(self) -> list[str]:
        names = ["numpysorting_info.json", "spikes.npy", "si_folder.json", "npz.json", "sorting_cached.npz"]
        parts = [self.sorting_folder + name for name in (*names, "properties")]
        if not self.is_analyzer:
            return parts
        further = ["spikeinterface_info.json", "settings.json", "sparsity_mask.npy", "recording_info"]
        return [*parts, *further, *(f"extensions/{name}" for name in _EXTENSIONS)]

    def read_sorting(self) -> tuple[Mapping[str, Any], NDArray[np.int64], NDArray[np.int64], dict[str, Array]]:
        folder = self.folder / self.sorting_folder
        properties = {path.stem: load_array(path) for path in sorted((folder / "properties").glob("*.npy"))}
        if not (folder / "numpysorting_info.json").is_file():
            return (*_read_npz(folder / "sorting_cached.npz"), properties)
        info = self.read_json(f"{self.sorting_folder}numpysorting_info.json")
        spikes = load_array(folder / "spikes.npy")
        if not {"sample_index", "unit_index"} <= set(spikes.dtype.names or ()):
            msg = "the file does not hold spikes"
            raise SourceError(
                msg, where=str(folder / "spikes.npy"), expected="sample_index, unit_index", found=str(spikes.dtype)
            )
        return (
            info,
            np.asarray(spikes["sample_index"], np.int64),
            np.asarray(spikes["unit_index"], np.int64),
            properties,
        )

    def complete(self, sorting: SavedSorting) -> SavedSorting:
        if not self.is_analyzer:
            described = (self.folder / "si_folder.json").is_file()
            return replace(sorting, version=_version(self.read_json("si_folder.json") if described else {}))
        attributes = self.read_json("recording_info/recording_attributes.json")
        extensions, parameters, metrics = {}, {}, {}
        for name in _EXTENSIONS:
            folder = self.folder / "extensions" / name
            if not folder.is_dir():
                continue
            extensions[name] = {path.stem: load_array(path) for path in sorted(folder.glob("*.npy"))}
            if (folder / "params.json").is_file():
                parameters[name] = self.read_json(f"extensions/{name}/params.json")
            if (folder / "metrics.csv").is_file():
                metrics.update(_read_metrics(folder / "metrics.csv", sorting.unit_ids))
        mask = self.folder / "sparsity_mask.npy"
        settings = self.read_json("settings.json") if (self.folder / "settings.json").is_file() else {}
        return replace(
            sorting,
            kind="analyzer",
            version=_version(self.read_json("spikeinterface_info.json")),
            extensions=extensions,
            parameters=parameters,
            metrics=metrics,
            sparsity=load_array(mask) if mask.is_file() else None,
            in_microvolts=_in_microvolts(settings),
            **_describe_recording(attributes),
        )


class _ZarrStore(_Store):
    """Stores of zarr (format 2)."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_analyzer = (folder / "sorting" / ".zgroup").is_file()
        self.prefix = "sorting/" if self.is_analyzer else ""

    def parts(self) -> list[str]:
        parts = [self.prefix + name for name in ("spikes", "unit_ids", "properties", ".zattrs", ".zgroup")]
        if not self.is_analyzer:
            return parts
        further = [".zgroup", ".zattrs", "sparsity_mask", "recording_info/.zattrs", "extensions/.zgroup"]
        return [*parts, *further, *(f"extensions/{name}" for name in _EXTENSIONS)]

    def read_sorting(self) -> tuple[Mapping[str, Any], NDArray[np.int64], NDArray[np.int64], dict[str, Array]]:
        info = dict(self.read_json(f"{self.prefix}.zattrs"))
        info["unit_ids"] = self.read(f"{self.prefix}unit_ids").tolist()
        samples, units = (self.read(f"{self.prefix}spikes/{name}") for name in ("sample_index", "unit_index"))
        properties = self.read_group(f"{self.prefix}properties")
        return info, samples.astype(np.int64), units.astype(np.int64), properties

    def complete(self, sorting: SavedSorting) -> SavedSorting:
        root = self.read_json(".zattrs")
        if not self.is_analyzer:
            return replace(sorting, version=_version(root.get("zarr_class_info", {})))
        extensions, parameters, metrics = {}, {}, {}
        for name in _EXTENSIONS:
            folder = self.folder / "extensions" / name
            if not folder.is_dir():
                continue
            extensions[name] = self.read_group(f"extensions/{name}")
            if (folder / ".zattrs").is_file():
                parameters[name] = self.read_json(f"extensions/{name}/.zattrs").get("params", {})
            table = self.read_group(f"extensions/{name}/metrics")
            rows = [str(unit) for unit in table.pop("index", np.asarray(sorting.unit_ids)).tolist()]
            columns = {key: values.tolist() for key, values in table.items()}
            metrics.update(_arrange_metrics(rows, columns, sorting.unit_ids, str(folder / "metrics")))
        attributes = self.read_json("recording_info/.zattrs").get("recording_attributes", {})
        has_mask = (self.folder / "sparsity_mask" / ".zarray").is_file()
        return replace(
            sorting,
            kind="analyzer",
            version=_version(root.get("spikeinterface_info", {})),
            extensions=extensions,
            parameters=parameters,
            metrics=metrics,
            sparsity=self.read("sparsity_mask") if has_mask else None,
            in_microvolts=_in_microvolts(root.get("settings", {})),
            **_describe_recording(attributes),
        )

    def read_group(self, name: str) -> dict[str, Array]:
        """Return the arrays of a group that hold numbers or text."""
        folders = sorted(path for path in (self.folder / name).glob("*") if (path / ".zarray").is_file())
        readable = [path for path in folders if self.read_json(f"{name}/{path.name}/.zarray")["dtype"] != "|O"]
        return {path.name: self.read(f"{name}/{path.name}") for path in readable}

    def read(self, name: str) -> Array:
        """Read an array of numbers or text whose codecs are known."""
        header = self.read_json(f"{name}/.zarray")
        codecs = [header.get("compressor"), *(header.get("filters") or ())]
        unknown = [str(codec.get("id")) for codec in codecs if codec and codec.get("id") not in _CODECS]
        dtype = np.dtype(header["dtype"] if isinstance(header["dtype"], str) else [tuple(x) for x in header["dtype"]])
        size = dtype.itemsize * int(np.prod([int(length) for length in header["shape"]], dtype=object))
        if unknown or dtype.hasobject or size > _MOST_BYTES:
            msg = "the array is not one of numbers or text that SpikeInterface writes"
            contents = f"{dtype} array of shape {tuple(header['shape'])}, codecs {', '.join(unknown) or 'known'}"
            raise SourceError(msg, where=str(self.folder / name), expected="numbers under 4 GB", found=contents)
        try:
            import zarr
        except ImportError as error:
            msg = "to read zarr the package zarr is needed"
            raise ToolMissingError(msg, hint="pip install 'nwbpipe[ephys]'") from error
        try:
            array = zarr.open_array(str(self.folder / name), mode="r")
            if array.nchunks_initialized < array.nchunks and name.startswith(f"{self.prefix}spikes/"):
                raise OSError(f"{array.nchunks - array.nchunks_initialized} of {array.nchunks} chunks are missing")
            values: Array = array[:]
        except Exception as error:  # codecs raise nearly anything on damaged bytes
            msg = "the array is damaged"
            raise SourceError(msg, where=str(self.folder / name), found=f"{type(error).__name__}: {error}") from error
        return values


def _read_npz(path: Path) -> tuple[Mapping[str, Any], NDArray[np.int64], NDArray[np.int64]]:
    """Read the one segment of the format of SpikeInterface up to 0.98."""
    try:
        with np.load(path, allow_pickle=False) as file:
            ids = [str(unit) for unit in file["unit_ids"].tolist()]
            info = {
                "unit_ids": ids,
                "num_segments": int(file["num_segment"][0]),
                "sampling_frequency": float(file["sampling_frequency"][0]),
            }
            samples = file["spike_indexes_seg0"].astype(np.int64)
            labels = [str(label) for label in file["spike_labels_seg0"].tolist()]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SourceError("the file can't be read", where=str(path), found=str(error)) from error
    index = {unit: number for number, unit in enumerate(ids)}
    return info, samples, np.array([index.get(label, -1) for label in labels], dtype=np.int64)


def _read_metrics(path: Path, unit_ids: tuple[str, ...]) -> dict[str, Array]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError("the table can't be read", where=str(path), expected="a CSV", found=str(error)) from error
    columns = {name: [line[k] for line in lines] for k, name in enumerate(header) if k}
    return _arrange_metrics([line[0] for line in lines], columns, unit_ids, str(path))


def _arrange_metrics(
    rows: list[str], columns: Mapping[str, list[Any]], unit_ids: tuple[str, ...], where: str
) -> dict[str, Array]:
    """Return the numeric columns of a table, in the order of the units."""
    if columns and sorted(rows) != sorted(unit_ids):
        msg = "the table is of other units than the sorting"
        raise SourceError(msg, where=where, expected=", ".join(unit_ids)[:200], found=", ".join(rows)[:200])
    order = [rows.index(unit) for unit in unit_ids] if columns else []
    arranged = {}
    for name, values in columns.items():
        try:
            numbers = [float(values[row] if values[row] not in ("", "<NA>") else "nan") for row in order]
        except (TypeError, ValueError):
            continue  # text, such as a label
        arranged[name] = np.asarray(numbers)
    return arranged


def _version(info: Mapping[str, Any]) -> str:
    return str(info.get("version", "unknown"))


def _in_microvolts(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("return_in_uV", settings.get("return_scaled", False)))


def _describe_recording(attributes: Mapping[str, Any]) -> dict[str, Any]:
    lengths = attributes.get("num_samples") or [None]
    return {
        "channel_ids": tuple(str(name) for name in attributes.get("channel_ids", ())),
        "recording_samples": lengths[0] if len(lengths) == 1 else None,
    }
