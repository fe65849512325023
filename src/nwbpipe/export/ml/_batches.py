"""Batches of windows whose populations differ in size, and samplers that stay in one part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.export._libraries import import_library
from nwbpipe.export.ml._dataset import PartOfDataset


class WindowSampler:
    """Numbers of the windows of a part in an order of its own, for the `sampler` of torch's `DataLoader`.

    Parameters
    ----------
    part : PartOfDataset
    shuffle : bool
        Another order in each epoch; else as the windows follow each other.
    by_session : bool
        The windows of a session come together: batches then have one population.
    seed : int
    """

    def __init__(self, part: PartOfDataset, *, shuffle: bool = True, by_session: bool = False, seed: int = 0) -> None:
        self.part, self.shuffle, self.by_session = part, shuffle, by_session
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.part)

    def __iter__(self) -> Iterator[int]:
        order = self._random.permutation(len(self.part)) if self.shuffle else np.arange(len(self.part))
        if self.by_session:
            windows = self.part.dataset.windows
            names = np.array([windows[self.part.numbers[number]].session for number in order], dtype=object)
            sessions = np.array(self.part.sessions, dtype=object)
            sessions = self._random.permutation(sessions) if self.shuffle else sessions
            order = np.concatenate([order[names == name] for name in sessions] or [order])
        return iter(order.tolist())


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join windows to a batch of arrays; smaller populations, and fewer events, are filled up with 0.

    Returns
    -------
    dict
        ``inputs`` and ``targets``: an array each, shape (n_windows, n_bins, most columns), and where the sizes of
        populations differ ``<name>_mask``, shape (n_windows, most columns). Of events ``<name>_times``,
        ``<name>_unit`` and ``<name>_mask``, shape (n_windows, most events); of patches
        ``<name>_values``, too. Lists of ``session``, ``start``, ``window``.
    """
    batch: dict[str, Any] = {name: [item[name] for item in items] for name in ("session", "start", "window")}
    for group in ("inputs", "targets"):
        batch[group] = {}
        for name in items[0][group] if items else ():
            values = [item[group][name] for item in items]
            if isinstance(values[0], dict):
                for key in values[0]:
                    filled, mask = _fill([value[key] for value in values])
                    batch[group] |= {f"{name}_{key}": filled, f"{name}_mask": mask}
            elif np.ndim(values[0]) == 2:
                filled, mask = _fill([value.T for value in values])
                batch[group][name] = np.swapaxes(filled, 1, 2)
                if not mask.all():
                    batch[group][f"{name}_mask"] = mask
            else:
                batch[group][name] = np.stack([np.asarray(value) for value in values])
    return batch


def _fill(rows: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return arrays of different lengths as one, and where it has values."""
    most = max(len(row) for row in rows)
    filled = np.zeros((len(rows), most, *rows[0].shape[1:]), dtype=rows[0].dtype)
    mask = np.zeros((len(rows), most), dtype=bool)
    for number, row in enumerate(rows):
        filled[number, : len(row)], mask[number, : len(row)] = row, True
    return filled, mask


def make_loader(
    part: PartOfDataset,
    *,
    batch_size: int = 32,
    shuffle: bool = True,
    by_session: bool = False,
    seed: int = 0,
    workers: int = 0,
) -> Any:
    """Return a `torch.utils.data.DataLoader` of a part, whose batches are those of `collate`, with tensors.

    Parameters
    ----------
    part : PartOfDataset
    batch_size : int
    shuffle, by_session, seed
        See `WindowSampler`.
    workers : int
        Number of processes that read.

    Raises
    ------
    ToolMissingError
        If torch is not installed.
    """
    sampler = WindowSampler(part, shuffle=shuffle, by_session=by_session, seed=seed)
    loader = import_library("torch.utils.data").DataLoader
    return loader(part, batch_size=batch_size, sampler=sampler, num_workers=workers, collate_fn=collate_tensors)


def collate_tensors(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join windows as `collate` does, to tensors."""
    torch = import_library("torch")
    batch = collate(items)
    for group in ("inputs", "targets"):
        batch[group] = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in batch[group].items()}
    return batch
