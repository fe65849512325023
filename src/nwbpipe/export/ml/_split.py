"""Divide sessions, or stretches of them, into training, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nwbpipe.errors import RequestError
from nwbpipe.export.ml._declaration import PARTS, Declaration, Split
from nwbpipe.export.ml._streams import Session
from nwbpipe.provenance import digest


@dataclass(frozen=True)
class Stretch:
    """A stretch of a session that belongs to one part.

    Attributes
    ----------
    part : {"train", "valid", "test"}
    start, stop : float
        In seconds on the session's clock.
    """

    part: str
    start: float
    stop: float


def split_sessions(
    sessions: Sequence[Session], declaration: Declaration
) -> tuple[dict[str, list[Stretch]], dict[str, str]]:
    """Return the stretches of each session by its name, and the sessions that are too short, with the reason.

    Raises
    ------
    RequestError
        If a part would have no session, or a name that was assigned fits none.
    """
    split = declaration.split
    if split.by == "block":
        return _split_blocks(sessions, declaration)
    groups: dict[str, list[Session]] = {}
    for session in sessions:
        groups.setdefault(name_group(session, split), []).append(session)
    parts = _assign(list(groups), split)
    stretches = {
        session.name: [Stretch(parts[group], *session.domain)]
        for group, members in groups.items()
        for session in members
    }
    return stretches, {}


def name_group(session: Session, split: Split) -> str:
    """Return the name of what a session shares with others that must be in its part."""
    if split.by == "subject":
        return session.subject
    return session.day if split.by == "day" else f"{session.subject}/{session.session}"


def _assign(groups: Sequence[str], split: Split) -> dict[str, str]:
    if split.assign is not None:
        parts = {name: str(part) for part, names in split.assign.items() for name in names}
        unknown = [name for name in parts if name not in groups]
        if unknown:
            msg = f"the split assigns a {split.by} that the data set lacks"
            raise RequestError(msg, expected=f"one of {', '.join(sorted(groups))}", found=", ".join(unknown))
        assigned = {group: parts.get(group, "train") for group in groups}
        if "train" not in assigned.values():
            raise RequestError(f"no {split.by} is left for the training part", found=", ".join(sorted(groups)))
        return assigned
    ordered = sorted(groups, key=lambda group: digest(f"{split.seed}:{group}"))
    counts = share_out(len(ordered), split)
    if counts is None:
        raise RequestError(
            "the split leaves a part empty",
            expected=f"at least {len(split.parts)} ({', '.join(split.parts)})",
            found=f"{len(ordered)} by {split.by}: {', '.join(sorted(groups))}",
            hint="add sessions, give a part the share 0, or split by something else",
        )
    return dict(zip(ordered, [part for part in PARTS for _ in range(counts[part])], strict=True))


def share_out(count: int, split: Split) -> dict[str, int] | None:
    """Return how many of some things each part gets, at least one each; None if they are too few."""
    if count < len(split.parts):
        return None
    exact = {part: count * float(getattr(split, part)) for part in PARTS}
    counts = {part: max(int(exact[part]), 1 if part in split.parts else 0) for part in PARTS}
    while sum(counts.values()) != count:
        step = 1 if sum(counts.values()) < count else -1
        candidates = [part for part in split.parts if step > 0 or counts[part] > 1]
        part = max(candidates, key=lambda name: step * (exact[name] - counts[name]))
        counts[part] += step
    return counts


def _split_blocks(
    sessions: Sequence[Session], declaration: Declaration
) -> tuple[dict[str, list[Stretch]], dict[str, str]]:
    split, gap = declaration.split, declaration.gap
    stretches: dict[str, list[Stretch]] = {}
    left_out: dict[str, str] = {}
    for session in sessions:
        start, stop = session.domain
        if not np.isfinite((start, stop)).all():
            start, stop = _span_trials(session, declaration)
        count = int((stop - start) / float(split.block or 1)) if stop > start else 0
        counts = share_out(count, split)
        if counts is None:
            left_out[session.name] = f"{stop - start:g} s have no {len(split.parts)} blocks of {split.block:g} s"
            continue
        parts = [part for part in PARTS for _ in range(counts[part])]
        seed = int(digest(f"{split.seed}:{session.name}")[:16], 16)
        order = np.random.default_rng(seed).permutation(count)
        edges = np.linspace(start, stop, count + 1)
        stretches[session.name] = _join([parts[number] for number in order], edges.tolist(), gap)
    if not stretches:
        raise RequestError(
            "no session is long enough to be split into blocks",
            found="; ".join(f"{name}: {reason}" for name, reason in left_out.items()),
            hint="make split.block shorter",
        )
    return stretches, left_out


def _span_trials(session: Session, declaration: Declaration) -> tuple[float, float]:
    times = session.anchors[np.isfinite(session.anchors)] if session.anchors is not None else np.zeros(0)
    if not len(times):
        return 0.0, 0.0
    first, last = declaration.dataset.bounds
    return float(times.min()) + first, float(times.max()) + last


def _join(parts: Sequence[str], edges: Sequence[float], gap: float) -> list[Stretch]:
    """Join blocks of one part that touch, and leave out half of the gap on each side of a border."""
    joined: list[Stretch] = []
    for number, part in enumerate(parts):
        if joined and joined[-1].part == part:
            joined[-1] = Stretch(part, joined[-1].start, edges[number + 1])
        else:
            joined.append(Stretch(part, edges[number], edges[number + 1]))
    last = len(joined) - 1
    return [
        Stretch(s.part, s.start + (gap / 2 if i else 0.0), s.stop - (gap / 2 if i < last else 0.0))
        for i, s in enumerate(joined)
    ]


def find_part(stretches: Sequence[Stretch], start: float, stop: float, slack: float) -> str | None:
    """Return the part of the stretch that a window lies in as a whole; None if it crosses a border."""
    inside = (s.part for s in stretches if start >= s.start - slack and stop <= s.stop + slack)
    return next(inside, None)


def describe_stretches(stretches: Mapping[str, Sequence[Stretch]]) -> dict[str, list[dict[str, object]]]:
    """Return the stretches as JSON values."""
    return {name: [vars(stretch) for stretch in items] for name, items in stretches.items()}
