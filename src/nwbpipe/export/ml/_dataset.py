"""A data set: windows of sessions with inputs and targets, in parts that share nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import RequestError, UnknownNameError
from nwbpipe.export._read_series import Floats
from nwbpipe.export.ml._declaration import PARTS, Declaration, Stream
from nwbpipe.export.ml._fit import UNKNOWN, Fits, Moments, list_classes, require_training
from nwbpipe.export.ml._split import Stretch, find_part, split_sessions
from nwbpipe.export.ml._streams import Labels, Points, Session
from nwbpipe_kit.windows import resolve

NO_TIME = "the trial has no time"
BORDER = "the window crosses a border of a part or of the recording"
MISSING = "values are missing"


@dataclass(frozen=True)
class Window:
    """A window of a session.

    Attributes
    ----------
    session : str
        Name of the session.
    part : {"train", "valid", "test"}
    start : float
        In seconds on the session's clock.
    row : int
        Row of the trial it is cut around; -1 for none.
    """

    session: str
    part: str
    start: float
    row: int = -1


class MlDataset:
    """Windows of many sessions, read as they are asked for.

    `open_dataset` makes one from session files, `load_dataset` from an exported folder. It holds what a `Dataset` of
    torch needs, ``len()`` and ``[number]``, so that a `DataLoader` takes it as it is, or a part of it.

    Attributes
    ----------
    declaration : Declaration
    sessions : mapping of str to Session
    stretches : mapping of str to list of Stretch
        Which part each stretch of a session belongs to.
    windows : list of Window
    fits : Fits
        What was learned from the training part.
    left_out : mapping of str to str
        Sessions that are not in it, and why.
    dropped : mapping of str to int
        Number of windows that are not in it, by reason.
    digest : str
        Of all that it was made from; see `make_digest`.
    """

    def __init__(
        self,
        declaration: Declaration,
        sessions: Sequence[Session],
        stretches: Mapping[str, Sequence[Stretch]],
        *,
        digest: str = "",
        left_out: Mapping[str, str] | None = None,
        windows: Sequence[Window] | None = None,
        fits: Fits | None = None,
        dropped: Mapping[str, int] | None = None,
    ) -> None:
        self.declaration, self.digest = declaration, digest
        self.sessions = {session.name: session for session in sessions if session.name in stretches}
        self.stretches = {name: list(items) for name, items in stretches.items()}
        self.left_out = dict(left_out or {})
        self.dropped = Counter(dropped or {})
        section = declaration.dataset
        bins = round(section.length / section.bin)
        self.edges: Floats = np.arange(bins + 1, dtype=np.float64) * section.bin
        for name in declaration.streams:
            self._require_same_columns(name)
        self.windows = list(windows) if windows is not None else self._cut()
        self.fits = fits if fits is not None else self.fit()
        if fits is None:
            self._require_parts()

    # Items ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return a window: ``inputs`` and ``targets`` by name, ``session``, ``start`` and ``part``.

        Counts and series have the shape (n_bins, n_columns); events are a mapping of ``times`` (from the start of the
        window) and ``unit``; patches have their ``values``, too; a class is its number.
        """
        window = self.windows[number]
        groups = {"inputs": self.declaration.inputs, "targets": self.declaration.targets}
        values = {
            group: {name: self.read_normalised(window, name) for name in streams} for group, streams in groups.items()
        }
        return {**values, "session": window.session, "start": window.start, "part": window.part, "window": number}

    def part(self, name: str) -> PartOfDataset:
        """Return the windows of a part: ``train``, ``valid`` or ``test``.

        Raises
        ------
        UnknownNameError
            If the data set has no such part.
        """
        if name not in PARTS:
            raise UnknownNameError("there is no such part", expected=", ".join(PARTS), found=name)
        return PartOfDataset(self, [number for number, window in enumerate(self.windows) if window.part == name])

    def number_units(self, name: str) -> dict[str, NDArray[np.int64]]:
        """Return a number for each unit, ROI or channel of each session: its row in a table of embeddings.

        No two sessions share a number. The order is that of the columns of an input, and of ``unit`` in its tokens.
        Sessions without a training window have -1: nothing was learned of their units.
        """
        trained = {window.session for window in self.windows if window.part == "train"}
        numbers, count = {}, 0
        for session in sorted(self.sessions):
            data = self.sessions[session].data[name]
            if isinstance(data, Labels) or not data.is_population:
                raise UnknownNameError("the input is not of units, ROIs or channels", found=name)
            size = len(data.labels)
            numbers[session] = np.arange(count, count + size) if session in trained else np.full(size, UNKNOWN)
            count += size if session in trained else 0
        return numbers

    def read(self, window: Window, name: str) -> Any:
        """Return the values of an input or target in a window as the session has them."""
        stream, data = self.declaration.streams[name], self.sessions[window.session].data[name]
        if isinstance(data, Labels):
            return data.values[window.row]
        if isinstance(data, Points) and stream.form == "events":
            return data.tokens(window.start, self.declaration.dataset.length)
        return data.bin(window.start, self.edges)

    def read_normalised(self, window: Window, name: str) -> Any:
        """Return the values of an input or target in a window as an item has them; nothing else is read."""
        values, data = self.read(window, name), self.sessions[window.session].data[name]
        if isinstance(data, Labels) and not data.is_continuous:
            classes = self.fits.classes[name]
            return classes.index(str(values)) if str(values) in classes else UNKNOWN
        if isinstance(values, dict):
            return values
        scale = self.fits.find_scale(name, window.session)
        values = np.atleast_1d(np.asarray(values, dtype=np.float32))
        values = values if scale is None else scale.apply(values)
        patch = self.declaration.streams[name].patch
        return values if patch is None else cut_patches(values, round(patch / self.declaration.dataset.bin), patch)

    # Making -----------------------------------------------------------------------------------------------

    def _cut(self) -> list[Window]:
        windows = []
        for session in self.sessions.values():
            candidates = self._cut_trials(session) if session.anchors is not None else self._cut_stretches(session)
            windows += [window for window in candidates if self._is_whole(window)]
        return windows

    def _cut_trials(self, session: Session) -> Iterator[Window]:
        assert session.anchors is not None
        first, last = self.declaration.dataset.bounds
        for row, anchor in enumerate(session.anchors.tolist()):
            if not np.isfinite(anchor):
                self.dropped[NO_TIME] += 1
                continue
            part = find_part(self.stretches[session.name], anchor + first, anchor + last, resolve(anchor))
            if part is None:
                self.dropped[BORDER] += 1
            else:
                yield Window(session.name, part, anchor + first, row)

    def _cut_stretches(self, session: Session) -> Iterator[Window]:
        length = self.declaration.dataset.length
        stride = self.declaration.dataset.stride or length
        for stretch in self.stretches[session.name]:
            count = int(np.floor((stretch.stop - stretch.start - length) / stride + 1e-6)) + 1
            for number in range(max(count, 0)):
                yield Window(session.name, stretch.part, stretch.start + number * stride)

    def _is_whole(self, window: Window) -> bool:
        for name, stream in self.declaration.streams.items():
            if stream.missing == "leave_out" and not self._has_values(window, name, stream):
                self.dropped[f"{name}: {MISSING}"] += 1
                return False
        return True

    def _has_values(self, window: Window, name: str, stream: Stream) -> bool:
        data = self.sessions[window.session].data[name]
        if isinstance(data, Points) and stream.form == "events":
            return data.is_observed(window.start, self.declaration.dataset.length)
        values = np.asarray(self.read(window, name))
        return values.dtype.kind != "f" or bool(np.isfinite(values).all())

    def fit(self) -> Fits:
        """Return means, deviations and classes of the training windows."""
        training = [window for window in self.windows if window.part == "train"]
        fits = Fits()
        trained = {window.session for window in training}
        for name, stream in self.declaration.streams.items():
            first = next(iter(self.sessions.values())).data[name]
            if isinstance(first, Labels) and not first.is_continuous:
                fits.classes[name] = list_classes(str(self.read(window, name)) for window in training)
            elif stream.normalise != "none":
                self._fit_scales(fits, name, stream, training, trained)
        populations = [
            data.ids
            for session in self.sessions.values()
            if session.name in trained
            for data in session.data.values()
            if isinstance(data, Points) and data.is_population
        ]
        fits.units = sorted({unit for ids in populations for unit in ids})
        return fits

    def _fit_scales(
        self, fits: Fits, name: str, stream: Stream, training: Sequence[Window], trained: set[str]
    ) -> None:
        is_population = any(session.data[name].is_population for session in self.sessions.values())
        pooled = stream.normalise == "pooled_zscore"
        is_own = is_population and not pooled
        moments: dict[str, Moments] = {}
        for window in training:
            key = window.session if is_own else ""
            values = np.asarray(self.read(window, name), dtype=np.float64)
            values = values.reshape(1, -1) if values.ndim == 0 else values
            moments.setdefault(key, Moments(pooled=pooled)).add(values)
        if is_own:
            for session in self.sessions:
                require_training(name, session, session in trained)
        fits.scales |= {(name, key): value.scale() for key, value in moments.items()}

    def _require_same_columns(self, name: str) -> None:
        labels: dict[tuple[str, ...], str] = {}
        for session in self.sessions.values():
            data = session.data[name]
            if not isinstance(data, Labels) and not data.is_population:
                labels.setdefault(tuple(data.labels), session.name)
        if len(labels) > 1:
            columns = "; ".join(f"{session}: {', '.join(names)}" for names, session in labels.items())
            hint = "leave sessions out by dataset.sessions, or name another series"
            raise RequestError(f"the columns of {name} differ between sessions", found=columns, hint=hint)

    def _require_parts(self) -> None:
        counts = Counter(window.part for window in self.windows)
        empty = [part for part in self.declaration.split.parts if not counts[part]]
        if empty:
            reasons = [f"{count} windows: {reason}" for reason, count in self.dropped.items()]
            reasons += [f"{name}: {reason}" for name, reason in self.left_out.items()]
            raise RequestError(
                f"the part {' and '.join(empty)} has no window",
                found="; ".join(reasons) or "sessions that are shorter than a window",
                hint="make windows, blocks or the gap shorter, or add sessions",
            )


class PartOfDataset(Sequence[dict[str, Any]]):
    """The windows of one part, or some of them.

    Attributes
    ----------
    dataset : MlDataset
    numbers : list of int
        Of the windows in the whole data set.
    """

    def __init__(self, dataset: MlDataset, numbers: Sequence[int]) -> None:
        self.dataset, self.numbers = dataset, list(numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return PartOfDataset(self.dataset, self.numbers[number])
        return self.dataset[self.numbers[number]]

    @property
    def sessions(self) -> list[str]:
        """Names of the sessions that its windows are of."""
        return sorted({self.dataset.windows[number].session for number in self.numbers})

    def of_session(self, name: str) -> PartOfDataset:
        """Return the windows of one session."""
        windows = self.dataset.windows
        return PartOfDataset(self.dataset, [number for number in self.numbers if windows[number].session == name])

    def stack(self, name: str) -> NDArray[Any]:
        """Return the values of an input or target of all windows, first axis windows; of one session's neurons.

        Raises
        ------
        RequestError
            If the windows have different shapes: those of several sessions, or events.
        """
        windows = self.dataset.windows
        values = [self.dataset.read_normalised(windows[number], name) for number in self.numbers]
        if len({np.shape(value) for value in values}) > 1 or any(isinstance(value, dict) for value in values):
            hint = "of_session(…) takes those of one session, collate(…) pads them"
            raise RequestError(f"the windows of {name} have different shapes", hint=hint)
        return np.stack([np.asarray(value) for value in values]) if values else np.zeros(0)


def cut_patches(values: NDArray[Any], bins: int, length: float) -> dict[str, NDArray[Any]]:
    """Cut traces into patches, the tokens of a transformer.

    Parameters
    ----------
    values : ndarray, shape (n_bins, n_columns)
        Traces of a window.
    bins : int
        Bins of a patch.
    length : float
        Length of a patch, in seconds.

    Returns
    -------
    dict
        ``values``, shape (n_patches, bins): those of the first column, then those of the next one. ``times``: when
        each begins, in seconds from the start of the window. ``unit``: number of its column.
    """
    patches = len(values) // bins
    columns = values.shape[1]
    cut = values[: patches * bins].reshape(patches, bins, columns).transpose(2, 0, 1).reshape(-1, bins)
    times = np.tile(np.arange(patches) * length, columns)
    return {"values": np.ascontiguousarray(cut), "times": times, "unit": np.repeat(np.arange(columns), patches)}


def make_dataset(
    declaration: Declaration, sessions: Sequence[Session], left_out: Mapping[str, str], digest: str
) -> MlDataset:
    """Split sessions, cut their windows, and fit what is fitted."""
    stretches, too_short = split_sessions(sessions, declaration)
    return MlDataset(declaration, sessions, stretches, digest=digest, left_out={**left_out, **too_short})
