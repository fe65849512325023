"""Movies in HDF5 files: which axis of the dataset is time, channel or plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import SourceError

_AXES = {4: "CTYX"}  # where the spec does not say it; three dimensions may be TYX, or YXT


@dataclass(frozen=True)
class Hdf5Layout:
    """The axes of a dataset.

    Attributes
    ----------
    axes : str
        A letter for each dimension, of ``TCZYX``.
    shape : tuple of int
        Its size in each dimension.
    rate : float, optional
        Attribute ``fr`` of the dataset, in Hz.
    """

    axes: str
    shape: tuple[int, ...]
    rate: float | None

    def size(self, axis: str) -> int:
        """Return the size of an axis; 1 if the dataset does not have it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


def read_layout(file_path: Path, mov_field: str, axes: str | None) -> Hdf5Layout:
    """Read the axes of a movie from the header of its dataset.

    Raises
    ------
    SourceError
        The dataset is missing, or its dimensions do not fit the axes.
    """
    import h5py

    with h5py.File(file_path, "r") as file:
        dataset = file.get(mov_field)
        if not isinstance(dataset, h5py.Dataset):
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            raise SourceError(
                f"the file has no dataset {mov_field!r}",
                where=str(file_path),
                expected="mov_field: " + " or ".join(names[:8]),
                found=mov_field,
            )
        shape, rate = tuple(int(size) for size in dataset.shape), dataset.attrs.get("fr")
    letters = axes or _AXES.get(len(shape), "")
    if len(letters) != len(shape) or set(letters) - set("TCZYX") or len(set(letters)) != len(letters) or not (
        set("TYX") <= set(letters)
    ):  # fmt: skip
        text = " x ".join(map(str, shape))
        example = {3: "TYX", 5: "TZYXC"}.get(len(shape), "CTYX")
        raise SourceError(
            "the axes of the movie are not clear",
            where=f"{file_path}: {mov_field}",
            expected=f"axes: {len(shape)} letters of T (time), C (channel), Z (plane), Y (row) and X (column)",
            found=f"a dataset of {text}" + (f", axes {axes}" if axes else ""),
            hint=f"name the axes in args: the first is that which changes slowest, such as `axes: {example}`",
        )
    return Hdf5Layout(letters, shape, None if rate is None else float(rate))


@account("Hdf5ImagingInterface")
def probe_hdf5(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a movie in an HDF5 file."""
    path = Path(arguments["file_path"])
    layout = read_layout(path, str(arguments.get("mov_field", "mov")), arguments.get("axes"))
    channels, planes = layout.size("C"), layout.size("Z")
    text = f"{' x '.join(map(str, layout.shape))}, with the axes {layout.axes}"
    _check_index("channel_index", channels, "channels", arguments, f"{path}: {text}")
    if arguments.get("plane_index") is not None:
        _check_index("plane_index", planes, "planes", arguments, f"{path}: {text}")
        planes = 1
    frame_shape = (layout.size("Y"), layout.size("X"))
    rate = layout.rate if arguments.get("sampling_frequency") is None else None
    stream = Stream(samples=layout.size("T"), planes=planes, frame_shape=frame_shape, rate=rate)
    unread = [f"channel {number}" for number in range(channels) if number != int(arguments.get("channel_index") or 0)]
    return Account("HDF5", (path,), (stream,), others=tuple(unread))


def _check_index(name: str, count: int, kind: str, arguments: Mapping[str, Any], where: str) -> None:
    chosen = arguments.get(name)
    if (chosen is None and count > 1) or (chosen is not None and not 0 <= int(chosen) < count):
        raise SourceError(
            f"the dataset holds {count} {kind}, and none of these is chosen",
            where=where,
            expected=f"{name}: 0 to {count - 1}",
            found=str(arguments.get(name, f"no {name}")),
            hint="choose it in args; if the dataset's axes are others, name them: `axes: TYXC`",
        )
