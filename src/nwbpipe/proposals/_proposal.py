"""Propose a session.yaml for a folder of raw data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nwbpipe.converters import FILL_IN, find_spec_paths
from nwbpipe.errors import Problem, RequestError
from nwbpipe.proposals._candidate import Candidate, Mark, count, listed, plain
from nwbpipe.proposals._clocks import choose_reference, find_start, propose_clocks
from nwbpipe.proposals._describe import iterate_notes
from nwbpipe.proposals._find import find_candidates
from nwbpipe.proposals._render import clean, render_comment, render_mapping
from nwbpipe.proposals._tables import TEXTS, read_table
from nwbpipe.proposals._tree import RawTree, list_tree
from nwbpipe.proposals._write import write_new

_MOST_ENTRIES = 20
_HEADER = (
    "A proposal of `nwbpipe new`, from what the files of this folder say. Read every line of it.",
    f"What only you know is marked {FILL_IN}; `nwbpipe convert` names each mark that is left, with its line.",
    "Remove a source that you do not want in the NWB file.",
)
_SESSION = {
    "subject_id": "the animal's name",
    "species": "a Latin binomial, such as Mus musculus",
    "sex": "M, F, O (other) or U (unknown)",
    "age": "an ISO 8601 duration: P90D; or write date_of_birth",
}


@dataclass(frozen=True)
class ProposedSource:
    """A source that a proposal has found.

    Attributes
    ----------
    name, interface : str
    args : mapping
        Arguments as the files say them, with absolute paths; those that a person must fill in are left out.
    missing : tuple of str
        Arguments that a person must fill in.
    clock : str
    files : tuple of Path
        What belongs to it.
    notes : tuple of str
        What was read of it.
    """

    name: str
    interface: str
    args: Mapping[str, Any]
    missing: tuple[str, ...] = ()
    clock: str = ""
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A proposed session.yaml. Nothing is written before `write`.

    Attributes
    ----------
    spec : Path
        Where it would be written; its paths are relative to that.
    text : str
        The YAML, with comments.
    sources : tuple of ProposedSource
    clocks : mapping
        How each clock but the reference is aligned: ``pulses``, ``timestamps``, or ``start`` with a mark.
    unrecognized : tuple of str
        Files that no stream was seen in; those of one folder and ending as one entry.
    unreadable : tuple of str
        Files that can't be read, with the reason.
    """

    spec: Path
    text: str
    sources: tuple[ProposedSource, ...]
    clocks: Mapping[str, str] = field(default_factory=dict)
    unrecognized: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def marks(self) -> int:
        """How many values a person must fill in."""
        return sum(1 for line in self.text.splitlines() if re.search(rf": ({FILL_IN}|\S+ {FILL_IN})(   #|$)", line))

    def write(self, *, overwrite: bool = False) -> Path:
        """Write the spec.

        Raises
        ------
        OverwriteError
            There is one already, and `overwrite` is False.
        """
        write_new(self.spec, self.text, "spec", overwrite=overwrite)
        return self.spec

    def as_dict(self) -> dict[str, Any]:
        """Return the proposal as plain values."""
        return {
            "spec": str(self.spec),
            "sources": [
                {
                    "name": source.name,
                    "interface": source.interface,
                    "args": _to_plain(source.args),
                    "missing": list(source.missing),
                    "clock": source.clock,
                    "notes": list(source.notes),
                }
                for source in self.sources
            ],
            "clocks": dict(self.clocks),
            "unrecognized": list(self.unrecognized),
            "unreadable": list(self.unreadable),
            "marks": self.marks,
        }


def _to_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _to_plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def propose(folder: Path | str, spec: Path | str | None = None) -> Proposal:
    """Look through a folder of raw data, and propose a session.yaml. Files are only read, and nothing in them is run.

    Parameters
    ----------
    folder : path
        Raw data of one session.
    spec : path, optional
        The session.yaml to be; ``session.yaml`` in `folder` by default. Paths in the text are relative to it.

    Returns
    -------
    Proposal
        Not written yet: see `Proposal.write`. What a person must fill in is marked in it.

    Raises
    ------
    RequestError
        There is no such folder, it holds more files than a session, or nothing that was recognised.
    """
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay as they are
    target = Path(os.path.abspath(spec)) if spec is not None else root / "session.yaml"  # noqa: PTH100
    tree = list_tree(root)
    candidates = find_candidates(tree)
    if not candidates:
        raise RequestError(
            "nothing in the folder was recognised",
            where=str(root),
            expected="raw data of a format that `nwbpipe interfaces` lists",
            found="; ".join([*_group_files(tree), *_list_unreadable(tree)][:10]) or "no files",
            hint="name the folder of a session; or write a spec by hand: docs/how-do-i-convert-a-session.md",
        )
    return _make_proposal(tree, candidates, target)


def _make_proposal(tree: RawTree, candidates: list[Candidate], target: Path) -> Proposal:
    problems: list[Problem] = []
    paths = find_spec_paths(target, problems)
    names = _name_sources(candidates)
    for index, candidate in enumerate(candidates):
        candidate.device = _as_name(candidate.device) if candidate.device else names[index]
    devices = {candidate.device for candidate in candidates}
    reference = choose_reference(candidates)
    clocks = propose_clocks(candidates, names, reference)
    sources = [_make_source(candidate, names[index]) for index, candidate in enumerate(candidates)]
    unrecognized, unreadable = _group_files(tree), _list_unreadable(tree)
    lines = [*render_comment([*_HEADER, *_compare_days(candidates)]), "nwbpipe: 1", "subject:"]
    lines += render_mapping({name: Mark(hint) for name, hint in _SESSION.items()}, paths.display, 2)
    session = {
        "session_id": Mark("a name of the session", "") if not _as_id(tree.root.name) else _as_id(tree.root.name),
        "session_start_time": find_start(candidates, reference),
        "session_description": Mark("what was done in the session, in a sentence"),
    }
    lines += ["session:", *render_mapping(session, paths.display, 2)]
    if len(devices) > 1:
        lines.append(f"reference_clock: {reference}")
    lines += ["sources:", *_render_sources(candidates, names, paths.display)]
    if clocks:
        lines.append("clocks:")
        for name, clock in clocks.items():
            lines += [*render_comment(clock.notes, 2), *render_mapping({name: clock.entry}, paths.display, 2)]
    lines += _render_rest(unrecognized, unreadable)
    entries = {name: str(clock.entry["align"]) for name, clock in clocks.items()}
    text = "\n".join(lines) + "\n"
    return Proposal(target, text, tuple(sources), entries, tuple(unrecognized), tuple(unreadable))


def _compare_days(candidates: Sequence[Candidate]) -> Iterator[str]:
    """Yield a warning if recordings began on days that are far from each other: they are of several sessions."""
    days = sorted({candidate.start.date() for candidate in candidates if candidate.start is not None})
    if len(days) > 1 and (days[-1] - days[0]).days > 1:
        yield f"PROBLEM: the recordings began on different days ({listed(days)}): are they of one session?"


def _render_sources(candidates: Sequence[Candidate], names: Mapping[int, str], display: Any) -> Iterator[str]:
    for index, candidate in enumerate(candidates):
        yield from render_comment(iterate_notes(candidate), 2)
        entry: dict[str, Any] = {"interface": candidate.interface}
        if candidate.device != names[index]:
            entry["clock"] = candidate.device
        entry["args"] = candidate.args
        if candidate.options:
            entry["options"] = candidate.options
        yield from render_mapping({names[index]: entry}, display, 2)


def _render_rest(unrecognized: Iterable[str], unreadable: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for title, entries in (("Not recognised, and in no source:", unrecognized), ("Can't be read:", unreadable)):
        entries = list(entries)
        if entries:
            lines += ["", f"# {title}", *render_comment(f"- {entry}" for entry in entries)]
    return lines


def _make_source(candidate: Candidate, name: str) -> ProposedSource:
    interface = "" if isinstance(candidate.interface, Mark) else candidate.interface
    missing = tuple(key for key, value in candidate.args.items() if isinstance(value, Mark))
    notes = tuple(iterate_notes(candidate))
    files = tuple(candidate.files)
    return ProposedSource(name, interface, plain(candidate.args), missing, candidate.device, files, notes)


def _name_sources(candidates: Sequence[Candidate]) -> dict[int, str]:
    """Return a name for each source, all different: a repeated one is numbered."""
    names: dict[int, str] = {}
    for index, candidate in enumerate(candidates):
        base = name = _as_name(candidate.name)
        number = 1
        while name in names.values():
            number += 1
            name = f"{base}_{number}"
        names[index] = name
    return names


def _as_name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return name if name[:1].isalpha() else f"s_{name}" if name else "source"


def _as_id(text: str) -> str:
    """Return a folder's name where it can be an id, as a file's name holds it; "" if not."""
    name = clean(text)
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._+=-]{0,78}", name) else ""


def _group_files(tree: RawTree) -> list[str]:
    """Return what no stream was seen in: files of one folder and ending together, with what they seem to be."""
    groups: dict[tuple[Path, str, str], list[Path]] = {}
    for path in tree.files:
        if path not in tree.claimed or path in tree.dismissed:
            groups.setdefault((path.parent, path.suffix.lower(), tree.dismissed.get(path, "")), []).append(path)
    entries = []
    for (folder, suffix, reason), files in groups.items():
        text = f": {clean(reason)}" if reason else ""
        if len(files) > 3:
            parent = tree.shorten(folder)
            entries.append(f"{'' if parent == '.' else parent + '/'}*{suffix} ({count(len(files), 'file')}){text}")
        else:
            entries += [f"{clean(tree.shorten(path))}{text or _describe_table(path)}" for path in files]
    entries += [
        f"{clean(tree.shorten(path))}: {reason}" for path, reason in tree.ignored.items() if reason != "of nwbpipe"
    ]
    return entries


def _describe_table(path: Path) -> str:
    if path.suffix.lower() not in TEXTS:
        return ""
    with suppress(Exception):  # only words for a comment
        table = read_table(path)
        if table is not None:
            columns = f"columns {listed(table.names)}" if table.is_headed else count(len(table.names), "column")
            return (
                f": a table, {count(table.rows, 'row')}, {columns} (TrialsInterface, BehaviorEventsInterface, "
                "SeriesInterface, or the file of a clock)"
            )
    return ""


def _list_unreadable(tree: RawTree) -> list[str]:
    return [f"{clean(tree.shorten(path))}: {clean(reason)}" for path, reason in sorted(tree.unreadable.items())]
