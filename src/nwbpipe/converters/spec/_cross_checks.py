"""Check what the sections of a session.yaml say of each other: clocks, sources and devices.

The checks read the texts, so that a mistake in one section hides none between others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nwbpipe.converters.spec._clock_spec import TRAINS
from nwbpipe.converters.spec._yaml import SpecDocument, YamlMapping
from nwbpipe.errors import suggest_names
from nwbpipe.validation import describe_value


def choose_reference(tree: YamlMapping) -> str | None:
    """Return the reference clock that a spec names, or that of its first source."""
    reference = tree.get("reference_clock")
    return next(iter(_clocks_in_use(tree)), "") if reference is None else reference


def check_references(document: SpecDocument) -> None:
    """Add each mistake between the sections of a spec.

    Parameters
    ----------
    document : SpecDocument
        The spec, its reference clock filled in.
    """
    _check_age(document)
    _check_devices(document)
    _check_reference(document)
    _check_clocks(document)
    _check_trains(document)


def _read_mapping(tree: Any, *keys: str) -> Mapping[str, Any]:
    """Return a mapping inside a tree; an empty one if there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree if isinstance(tree, Mapping) else {}


def _check_age(document: SpecDocument) -> None:
    subject = document.tree.get("subject")
    if isinstance(subject, Mapping) and not subject.get("age") and not subject.get("date_of_birth"):
        expected = "age or date_of_birth, as DANDI asks for one of them"
        hint = "add `age: P90D` (an ISO 8601 duration)"
        document.add("the key 'age' is missing", "subject", "age", expected=expected, hint=hint)


def _check_devices(document: SpecDocument) -> None:
    implants = _read_mapping(document.tree, "subject").get("implants")
    devices = _read_mapping(document.tree, "devices")
    for index, implant in enumerate(implants if isinstance(implants, list) else ()):
        name = _read_mapping(implant).get("device")
        if isinstance(name, str) and name not in devices:
            document.add(
                f"there is no device {str(name)!r}", "subject", "implants", index, "device",
                expected="one of devices: " + ", ".join(devices), found=name, hint="describe it in `devices`",
            )  # fmt: skip


def _clock_of(tree: Mapping[str, Any], source: str) -> str:
    clock = _read_mapping(tree, "sources", source).get("clock")
    return str(clock) if isinstance(clock, str) else source


def _clocks_in_use(tree: Mapping[str, Any]) -> dict[str, str]:
    """Return the clocks that sources are in, each with the first such source."""
    clocks: dict[str, str] = {}
    for source in _read_mapping(tree, "sources"):
        clocks.setdefault(_clock_of(tree, source), source)
    return clocks


def _check_reference(document: SpecDocument) -> None:
    used = _clocks_in_use(document.tree)
    reference, clocks = document.tree["reference_clock"], _read_mapping(document.tree, "clocks")
    if not isinstance(reference, str):
        return  # said by the model
    # Constants carry all sources to session_start_time itself.
    constant = all(_read_mapping(clocks, clock).get("align") in ("start", "unix") for clock in used)
    if reference not in used and used and not constant:
        document.add(
            "no source is in the reference clock", "reference_clock", expected="one of " + ", ".join(used),
            found=describe_value(reference), hint=suggest_names(str(reference), used, cutoff=0.4),
        )  # fmt: skip


def _check_clocks(document: SpecDocument) -> None:
    used, clocks = _clocks_in_use(document.tree), _read_mapping(document.tree, "clocks")
    reference = document.tree["reference_clock"]
    if not isinstance(reference, str):
        return
    for clock, source in used.items():
        if clock != reference and clock not in clocks and reference in used:
            document.add(
                f"nothing aligns the clock {clock!r} of the source {source!r} with the reference", "sources", source,
                *(["clock"] if clock != source else []),
                expected=f"an entry clocks.{clock}, or a clock that is aligned ({reference} is the reference)",
                hint=f"add `{clock}: {{align: start, offset_s: ...}}` to clocks, or `clock: {reference}`",
            )  # fmt: skip
    for clock in clocks:
        align = _read_mapping(clocks, clock).get("align")
        if clock not in used:
            document.add(
                f"no source is in the clock {clock!r}", "clocks", clock, expected="one of " + ", ".join(used),
                hint=suggest_names(clock, used, cutoff=0.4) or "remove it",
            )  # fmt: skip
        elif clock == reference and align not in (None, "timestamps"):
            document.add(
                f"the reference clock can't be {'shifted' if align in ('start', 'unix') else 'aligned to itself'}",
                "clocks", clock, expected="no entry: its time 0 is session_start_time",
                hint="name another clock with `reference_clock: session`, whose time 0 is session_start_time"
                if align == "unix" else "correct session.session_start_time instead",
            )  # fmt: skip


def _check_trains(document: SpecDocument) -> None:
    """Refuse pulse trains of sources that do not exist, or that are in the wrong clock."""
    sources, clocks = _read_mapping(document.tree, "sources"), _read_mapping(document.tree, "clocks")
    for clock, key in ((clock, key) for clock in clocks for key in TRAINS):
        train = _read_mapping(clocks, clock, key)
        source, declared_clock = train.get("source"), train.get("clock")
        if isinstance(source, str) and source not in sources:
            document.add(
                f"no source is called {str(source)!r}", "clocks", clock, key, "source",
                expected="one of " + ", ".join(sources), hint=suggest_names(source, sources, cutoff=0.4),
            )  # fmt: skip
            continue
        train_clock = _clock_of(document.tree, source) if isinstance(source, str) else declared_clock
        if isinstance(train_clock, str) and (train_clock == clock) != (key == "pulses"):
            document.add(
                f"these pulses are {'not ' if key == 'pulses' else ''}on the clock that they align",
                "clocks", clock, key,
                expected=f"pulses on the clock {clock!r}" if key == "pulses" else "pulses on another clock",
                found=f"pulses on the clock {str(train_clock)!r}",
                hint="`pulses` are those of the clock that is aligned, `reference_pulses` the same on another",
            )  # fmt: skip
