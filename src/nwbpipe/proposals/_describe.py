"""Say in words what the account of a source holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nwbpipe.converters import Account, read_source_account
from nwbpipe.errors import NwbpipeError
from nwbpipe.proposals._candidate import Candidate, Mark, Noted, count, listed, plain

_STREAMS = 4


def add_account(candidate: Candidate, root: Path) -> list[Candidate]:
    """Read the account of a candidate, and add what it says; one of several channels becomes a source for each."""
    if not candidate.is_accounted or isinstance(candidate.interface, Mark):
        return [candidate]
    try:
        account, reason = read_source_account(candidate.interface, plain(candidate.args), [root])
    except NwbpipeError as error:
        channels = _read_choices(error.problem.expected, "channel_name")
        if channels and "channel_name" not in candidate.args:
            return [part for channel in channels for part in add_account(_choose(candidate, channel), root)]
        if (error.problem.expected or "").startswith("axes: ") and "axes" not in candidate.args:
            candidate.args["axes"] = Mark(str(error.problem.expected).removeprefix("axes: "))
        if not isinstance(candidate.args.get("axes"), Mark):
            candidate.notes.append(f"PROBLEM: {_one_line(error)}")
        return [candidate]
    if account is None:
        if "failed" in reason:
            candidate.notes.append(f"PROBLEM: {reason.removeprefix('not accounted: ')}")
        return [candidate]
    _apply(candidate, account)
    return [candidate]


def _choose(candidate: Candidate, channel: str) -> Candidate:
    arguments = {**candidate.args, "channel_name": channel}
    return replace(candidate, name=f"{candidate.name}_{channel}", args=arguments, notes=list(candidate.notes))


def _read_choices(expected: str | None, name: str) -> list[str]:
    if expected is None or not expected.startswith(f"{name}: "):
        return []
    return [choice.strip(" '") for choice in expected.removeprefix(f"{name}: ").split(" or ")]


def _apply(candidate: Candidate, account: Account) -> None:
    candidate.account = account
    candidate.files += [path for path in account.files if path not in candidate.files]
    candidate.start = candidate.start or account.start
    position = len(candidate.notes) if candidate.role == "pose" else 0
    candidate.notes[position:position] = describe_account(account)
    if account.streams:
        first = account.streams[0]
        candidate.samples = candidate.samples or first.samples
        candidate.rate = candidate.rate or first.true_rate or first.rate
        if first.samples and candidate.rate and candidate.span is None:
            begin = first.first_time or 0.0
            candidate.span = (begin, begin + first.samples / candidate.rate)
    if candidate.rate and isinstance(candidate.args.get("sampling_frequency"), Mark):
        candidate.args["sampling_frequency"] = Noted(candidate.rate, "by the file")


def describe_account(account: Account) -> list[str]:
    """Return the account as lines of comment."""
    lines = [text for stream in account.streams[:_STREAMS] if (text := _describe_stream(stream))]
    if len(account.streams) > _STREAMS:
        lines.append(f"and {len(account.streams) - _STREAMS} more parts")
    if len(account.files) > 1:
        lines.append(f"{count(len(account.files), 'file')}: {listed((path.name for path in account.files), 4)}")
    if account.start is not None:
        lines.append(
            f"began at {account.start.isoformat()}{'' if account.start.tzinfo else ' (without a time zone)'}"
        )
    if account.others:
        lines.append(f"also recorded there: {listed(account.others, 12)}")
    lines += list(account.notes)
    lines += [f"PROBLEM: {_describe_problem(problem)}" for _, problem in account.problems]
    return lines


def _describe_stream(stream: Any) -> str:
    parts = []
    noun = "frame" if stream.frame_shape else "sample"
    if stream.channels:
        parts.append(count(stream.channels, "channel"))
    if stream.samples is not None:
        size = " of " + " x ".join(map(str, stream.frame_shape)) + " pixels" if stream.frame_shape else ""
        parts.append(count(stream.samples, noun) + size)
    if stream.planes and stream.planes > 1:
        parts.append(count(stream.planes, "plane"))
    rate = stream.true_rate or stream.rate
    if rate:
        parts.append(f"{rate:,.10g} Hz")
        if stream.samples:
            parts.append(f"{stream.samples / rate:.3f} s")
    if stream.first_time:
        parts.append(f"the first at {stream.first_time:.6f} s")
    return ", ".join(parts)


def _describe_problem(problem: Any) -> str:
    parts = [problem.what]
    parts += [f"expected {problem.expected}"] if problem.expected else []
    parts += [f"found {problem.found}"] if problem.found else []
    return "; ".join(parts)


def _one_line(error: NwbpipeError) -> str:
    return _describe_problem(error.problem)


def iterate_notes(candidate: Candidate) -> Iterator[str]:
    """Yield each note once, as one line without control characters."""
    for note in dict.fromkeys(candidate.notes):
        yield "".join(character if character.isprintable() else " " for character in note)[:300]
