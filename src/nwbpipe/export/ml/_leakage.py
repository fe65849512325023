"""Prove that nothing of the validation and test parts is in the training part, or in what was learned from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from nwbpipe.errors import LeakageError, Problem
from nwbpipe.export.ml._dataset import MlDataset, Window
from nwbpipe.export.ml._fit import Scale
from nwbpipe.export.ml._split import find_part, name_group
from nwbpipe_kit.windows import resolve


def assert_no_leakage(dataset: MlDataset) -> None:
    """Check a data set as it is, however it was made.

    1. Windows of one subject, session or day, as the split says, are in one part.
    2. Each window lies as a whole in a stretch of its part.
    3. Between windows of different parts of a session lies the gap of the declaration.
    4. No two sessions of different parts hold the same data under two names.
    5. Means and deviations are those of the training windows, which are read again.
    6. Classes and units that are known are those of the training windows.

    Raises
    ------
    LeakageError
        If any rule is broken: `problems` names each.
    """
    rules = (_check_groups, _check_borders, _check_gaps, _check_copies, _check_fits)
    problems = [problem for rule in rules for problem in rule(dataset)]
    if problems:
        raise LeakageError("the parts of the data set share data", where=dataset.declaration.dataset.name,
                           problems=problems)  # fmt: skip


def _check_groups(dataset: MlDataset) -> Iterator[Problem]:
    split = dataset.declaration.split
    if split.by == "block":
        return
    parts: dict[str, set[str]] = {}
    for window in dataset.windows:
        parts.setdefault(name_group(dataset.sessions[window.session], split), set()).add(window.part)
    for group, several in parts.items():
        if len(several) > 1:
            yield Problem(f"one {split.by} is in several parts", group, "one part", ", ".join(sorted(several)))


def _check_borders(dataset: MlDataset) -> Iterator[Problem]:
    length = dataset.declaration.dataset.length
    for window in dataset.windows:
        stop = window.start + length
        stretches = dataset.stretches[window.session]
        part = find_part(stretches, window.start, stop, resolve(stop))
        if part != window.part:
            location = f"{window.session}, {window.start:g} to {stop:g} s"
            position = "it crosses a border" if part is None else f"the stretch is of the part {part}"
            yield Problem("a window does not lie in a stretch of its part", location, window.part, position)
    for name, stretches in dataset.stretches.items():
        for first, second in pairwise(sorted(stretches, key=lambda stretch: stretch.start)):
            if second.start < first.stop - resolve(first.stop):
                overlap = f"{second.start:g} s is before {first.stop:g} s"
                yield Problem("two stretches overlap", name, "one after the other", overlap)


def _check_gaps(dataset: MlDataset) -> Iterator[Problem]:
    if dataset.declaration.split.by != "block":
        return
    length, gap = dataset.declaration.dataset.length, dataset.declaration.gap
    for name, windows in _group_by_session(dataset.windows).items():
        ends: dict[str, float] = {}  # the last end of a window of each part so far
        for window in sorted(windows, key=lambda window: window.start):
            stop = max((end for part, end in ends.items() if part != window.part), default=-np.inf)
            if window.start - stop < gap - 2 * resolve(window.start + length):
                distance = f"{window.start - stop:g} s before {window.start:g} s"
                yield Problem("windows of two parts are too near", name, f"a gap of {gap:g} s", distance)
            ends[window.part] = max(ends.get(window.part, -np.inf), window.start + length)


def _check_copies(dataset: MlDataset) -> Iterator[Problem]:
    # Of the inputs: sessions may well share a stimulus, or a schedule of trials.
    inputs = [name for name, stream in dataset.declaration.inputs.items() if stream.source != "column"]
    parts: dict[str, set[str]] = {}
    for window in dataset.windows:
        parts.setdefault(window.session, set()).add(window.part)
    holders: dict[str, str] = {}
    for session in dataset.sessions.values():
        for path in {session.paths[name] for name in inputs}:
            holder = holders.setdefault(session.identities[path], session.name)
            shared = parts.get(holder, set()) | parts.get(session.name, set())
            if holder != session.name and len(shared) > 1:
                location, names = f"{holder}, {session.name}: {path}", ", ".join(sorted(shared))
                yield Problem("two sessions hold the same data", location, "each in one session", names)


def _check_fits(dataset: MlDataset) -> Iterator[Problem]:
    refitted = dataset.fit()
    for key in dataset.fits.scales.keys() | refitted.scales.keys():
        first, second = dataset.fits.scales.get(key), refitted.scales.get(key)
        if first is None or second is None or not _is_same(first, second):
            location = ", ".join(part for part in key if part)
            yield Problem("mean and deviation are not those of the training windows", location)
    for name, classes in dataset.fits.classes.items():
        foreign = [item for item in classes if item not in refitted.classes.get(name, [])]
        if foreign:
            yield Problem("classes are not in the training part", name, found=", ".join(foreign))
    trained = set(refitted.units)
    foreign = [unit for unit in dataset.fits.units if unit not in trained]
    if foreign:
        yield Problem("units are not in the training part", found=", ".join(foreign[:5]))


def _is_same(first: Scale, second: Scale) -> bool:
    if first.mean.shape != second.mean.shape or first.deviation.shape != second.deviation.shape:
        return False
    near = 1e-6 * second.deviation + 1e-12 * np.abs(second.mean)  # by the values' own size: volts are small
    is_same_mean = bool((np.abs(first.mean - second.mean) <= near).all())
    return is_same_mean and np.allclose(first.deviation, second.deviation, rtol=1e-6, atol=0.0)


def _group_by_session(windows: Sequence[Window]) -> Mapping[str, list[Window]]:
    groups: dict[str, list[Window]] = {}
    for window in windows:
        groups.setdefault(window.session, []).append(window)
    return groups
