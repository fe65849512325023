"""Pairs of windows for contrastive learning, as CEBRA draws them: which two are alike, and which are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import RequestError, UnknownNameError
from nwbpipe.export._write import new_path
from nwbpipe.export.ml._batches import collate
from nwbpipe.export.ml._dataset import MlDataset, PartOfDataset

ROLES = ("anchor", "positive", "negative")
Numbers = NDArray[np.int64]


def draw_pairs(
    part: PartOfDataset, *, within: float, by: str | None = None, count: int | None = None, seed: int = 0
) -> Numbers:
    """Draw windows, for each one that is like it, and one of the same session at random.

    All three are of one part and one session: populations of two sessions share no neuron.

    Parameters
    ----------
    part : PartOfDataset
    within : float
        How much a window may differ that counts as alike: seconds between the starts of two windows of one stretch;
        with `by`, the difference of the target's mean, in its unit (after normalisation).
    by : str, optional
        A target: windows are alike if its means are. A class is like itself alone.
    count : int, optional
        Number of pairs; by default one for each window that has a like one.
    seed : int

    Returns
    -------
    ndarray of int, shape (n_pairs, 3)
        Numbers in the part of anchor, positive and negative; see `ROLES`.

    Raises
    ------
    UnknownNameError
        If there is no such target, or it is events.
    RequestError
        If no two windows are alike.
    """
    if not within >= 0:
        raise RequestError("the difference of two windows that are alike is negative", found=f"{within:g}")
    random = np.random.default_rng(seed)
    values = _read_targets(part, by) if by is not None else _read_starts(part)
    windows = part.dataset.windows
    names = np.array([windows[number].session for number in part.numbers], dtype=object)
    stretches = _number_stretches(part) if by is None else np.zeros(len(part), dtype=np.int64)
    rows = []
    for session in part.sessions:
        members = np.flatnonzero(names == session)
        for stretch in np.unique(stretches[members]):
            rows.append(_draw_alike(members[stretches[members] == stretch], members, values, within, random))
    pairs = np.concatenate(rows) if rows else np.zeros((0, 3), dtype=np.int64)
    if not len(pairs):
        hint = "name a larger difference, or a shorter stride of the windows"
        raise RequestError("no two windows of the part are alike", expected=f"within {within:g}", hint=hint)
    if count is None:
        return pairs
    chosen = pairs[random.choice(len(pairs), count, replace=count > len(pairs))]
    return np.asarray(chosen, dtype=np.int64)


class PairDataset(Sequence[dict[str, Any]]):
    """Pairs of windows: each item has an ``anchor``, a ``positive`` and a ``negative``, which are items of the part.

    torch's `DataLoader` takes it as it is, with ``collate_fn=collate_pairs``.

    Parameters
    ----------
    part : PartOfDataset
    pairs : ndarray of int, shape (n_pairs, 3)
        From `draw_pairs`; other ones in each epoch with another seed.
    """

    def __init__(self, part: PartOfDataset, pairs: Numbers) -> None:
        self.part, self.pairs = part, pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return PairDataset(self.part, self.pairs[number])
        return {role: self.part[int(row)] for role, row in zip(ROLES, self.pairs[number], strict=True)}


def collate_pairs(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join pairs to a batch: a batch of `collate` for each role."""
    return {role: collate([item[role] for item in items]) for role in ROLES}


def export_pairs(
    dataset: MlDataset, out: Path | str, name: str, *, within: float, by: str | None = None, seed: int = 0
) -> list[str]:
    """Write the windows of each session as arrays with their pairs, for CEBRA and programs like it.

    ``<part>/<session>.npz`` holds the input under its name, shape (n_windows, n_columns) if a window is one bin, else
    (n_windows, n_bins, n_columns); each target that is no event, ``_start`` of the windows, and the rows
    ``_anchor``, ``_positive`` and ``_negative`` from `draw_pairs`. ``cebra.load_data(file, key=name)`` reads it.
    ``pairs.json`` says how they were drawn, and the digest of the data set.

    Parameters
    ----------
    dataset : MlDataset
    out : path
        A new folder.
    name : str
        The input: counts or a series.
    within, by, seed
        See `draw_pairs`.

    Returns
    -------
    list of str
        The files; a session without two windows that are alike has none.

    Raises
    ------
    OverwriteError
        If `out` exists.
    """
    written: list[str] = []
    _require_array(dataset, name)
    with new_path(Path(out)) as folder:
        folder.mkdir()
        for part_name in dataset.declaration.split.parts:
            part = dataset.part(part_name)
            (folder / part_name).mkdir()
            for session in part.sessions:
                session_part = part.of_session(session)
                try:
                    pairs = draw_pairs(session_part, within=within, by=by, seed=seed)
                except RequestError:
                    continue
                arrays = {key: session_part.stack(key) for key in (name, *_list_arrays(dataset))}
                arrays = {key: _drop_single_bins(values) for key, values in arrays.items()}
                starts = np.array([dataset.windows[number].start for number in session_part.numbers])
                arrays |= {f"_{role}": pairs[:, column] for column, role in enumerate(ROLES)} | {"_start": starts}
                np.savez(folder / part_name / f"{session}.npz", allow_pickle=False, **arrays)
                written.append(f"{part_name}/{session}.npz")
        facts = {"dataset": dataset.digest, "input": name, "within": within, "by": by, "seed": seed, "files": written}
        (folder / "pairs.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
        if not written:
            raise RequestError("no two windows of any session are alike", expected=f"within {within:g}")
    return written


def _draw_alike(rows: Numbers, session: Numbers, values: Any, within: float, random: np.random.Generator) -> Numbers:
    """Return the pairs of some windows, of which the negatives are of the whole session."""
    order = np.argsort(values[rows], kind="stable")
    sorted_values = values[rows][order]
    slack = 1e-9 * max(1.0, float(np.abs(sorted_values).max(initial=0.0)))
    first = np.searchsorted(sorted_values, sorted_values - within - slack, side="left")
    last = np.searchsorted(sorted_values, sorted_values + within + slack, side="right")
    positions = np.arange(len(rows))
    candidates = last - first - 1  # without itself
    is_paired = (candidates > 0) & (len(session) > 1)
    chosen = first[is_paired] + (random.random(is_paired.sum()) * candidates[is_paired]).astype(np.int64)
    chosen += chosen >= positions[is_paired]
    anchors, positives = rows[order[positions[is_paired]]], rows[order[chosen]]
    negatives = (random.random(len(anchors)) * (len(session) - 1)).astype(np.int64)
    negatives += negatives >= np.searchsorted(session, anchors)
    return np.stack([anchors, positives, session[negatives]], axis=1).astype(np.int64)


def _read_starts(part: PartOfDataset) -> NDArray[np.float64]:
    return np.array([part.dataset.windows[number].start for number in part.numbers], dtype=np.float64)


def _read_targets(part: PartOfDataset, name: str) -> NDArray[np.float64]:
    dataset, targets = part.dataset, part.dataset.declaration.targets
    if name not in targets or targets[name].form != "counts":
        expected = ", ".join(targets) or "none"
        raise UnknownNameError("there is no such target with values", expected=expected, found=name)
    # A class that was not trained, -1, is like itself.
    values = (dataset.read_normalised(dataset.windows[number], name) for number in part.numbers)
    return np.array([float(np.mean(value)) for value in values], dtype=np.float64)


def _number_stretches(part: PartOfDataset) -> Numbers:
    numbers = []
    for row in part.numbers:
        window = part.dataset.windows[row]
        stretches = part.dataset.stretches[window.session]
        inside = [number for number, item in enumerate(stretches) if item.start <= window.start + 1e-6]
        numbers.append(max(inside, default=0))
    return np.array(numbers, dtype=np.int64)


def _require_array(dataset: MlDataset, name: str) -> None:
    inputs = {key for key, stream in dataset.declaration.inputs.items() if stream.form == "counts"}
    if name not in inputs:
        expected = ", ".join(sorted(inputs)) or "none"
        raise UnknownNameError("there is no such input with values in bins", expected=expected, found=name)


def _list_arrays(dataset: MlDataset) -> list[str]:
    return [key for key, stream in dataset.declaration.targets.items() if stream.form == "counts"]


def _drop_single_bins(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, 0] if values.ndim == 3 and values.shape[1] == 1 else values
