"""Checking the section `clocks` of session.yaml: what can be known before any raw data are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nwbpipe.converters.spec._clock_spec import CLOCK_MODELS, PARTS, TimesSpec, TrainSpec, trains_of
from nwbpipe.converters.spec._spec_checker import Checked
from nwbpipe.converters.spec._values import MistakeError, coerce, did_you_mean, found
from nwbpipe.converters.spec._yaml import Tree
from nwbpipe.errors import Problem

# Stand for a part that has mistakes of its own, so that the rest of its clock is checked, too.
_STAND_INS: Mapping[type[BaseModel], BaseModel] = {
    TrainSpec: TrainSpec(source="missing"),
    TimesSpec: TimesSpec(file=Path("missing")),
}


def read_clocks(spec: Checked) -> tuple[dict[str, Any], str]:
    """Read the section `clocks` and `reference_clock`, and check that each source's clock is aligned.

    Returns
    -------
    dict of str to ClockSpec
        None in the place of a clock that has mistakes.
    str
        The reference clock.
    """
    clocks, reference = _clocks(spec), _reference(spec)
    _check_clocks(spec, reference)
    return clocks, reference


def _clocks(spec: Checked) -> dict[str, Any]:
    clocks = {}
    section = spec.section("clocks", required=False)
    for name, tree in section.items():
        path = f"clocks.{name}"
        if not isinstance(tree, Tree):
            spec.problem("the clock is no mapping", section, name, path, found=found(tree))
            continue
        model = CLOCK_MODELS.get(str(tree.get("align")))
        if model is None:
            spec.problem(
                "the way to align is not supported" if "align" in tree else "the way to align is missing",
                tree,
                "align",
                f"{path}.align",
                expected=f"one of {', '.join(CLOCK_MODELS)}",
                found=found(tree.get("align")),
                hint="`{align: start, offset_s: 0.97}`, or by pulses that both recorded: `{align: pulses, "
                "pulses: {source: ..., events: ...}, reference_pulses: {source: ..., channel: ...}}`",
            )
            continue
        clocks[name] = spec.model(model, _clock_values(spec, tree, model, path), path)
        _check_trains(spec, name, clocks[name], tree, path)
    return clocks


def _clock_values(spec: Checked, tree: Tree, model: type[BaseModel], path: str) -> Tree:
    values = Tree(tree.mark)
    values.marks = tree.marks
    values.update(tree)
    for key in ("file", "column"):
        if key not in values or key not in model.model_fields:
            continue
        try:
            annotation: Any = Path if key == "file" else str | int | None
            values[key] = coerce(values[key], annotation, lambda text, _kind: spec.places.resolve(text, "file"))
        except MistakeError as mistake:
            where = spec.place(tree, key, f"{path}.{key}")
            spec.problems.append(Problem(mistake.what, where, mistake.expected, mistake.found, mistake.hint or None))
            values[key] = Path("missing") if key == "file" else None
    for key, part in PARTS.items():
        if key in model.model_fields and values.get(key) is not None:
            values[key] = _part(spec, values[key], tree, key, part, f"{path}.{key}")
    return values


def _part(spec: Checked, tree: Any, parent: Tree, key: str, model: type[BaseModel], path: str) -> BaseModel:
    if not isinstance(tree, Tree):
        spec.problem(f"{path} is no mapping", parent, key, path, expected="`{key: value}`", found=found(tree))
        return _STAND_INS[model]
    part: BaseModel | None = spec.model(model, _clock_values(spec, tree, model, path), path)
    return part or _STAND_INS[model]


def _check_trains(spec: Checked, name: str, clock: Any, tree: Tree, path: str) -> None:
    """Refuse trains of sources that are not there, or that are in the wrong clock."""
    sources = spec.tree.get("sources")
    names = sources if isinstance(sources, Tree) else Tree()
    for key, train in trains_of(clock):
        if train in _STAND_INS.values():
            continue
        if train.source is not None and train.source not in names:
            spec.problem(
                f"no source is called {train.source!r}",
                tree,
                key,
                f"{path}.{key}.source",
                expected="one of " + ", ".join(names),
                hint=did_you_mean(train.source, names, 0.4),
            )
            continue
        of = _clock_of(names, train)
        if of is not None and (of == name) != (key == "pulses"):
            spec.problem(
                f"these pulses are {'not ' if key == 'pulses' else ''}on the clock that they align",
                tree,
                key,
                f"{path}.{key}",
                expected=f"pulses on the clock {name!r}" if key == "pulses" else "pulses on another clock",
                found=f"pulses on the clock {of!r}",
                hint="`pulses` are those of the clock that is aligned, `reference_pulses` the same on another",
            )


def _clock_of(sources: Mapping[str, Any], train: TrainSpec) -> str | None:
    if train.source is None:
        return train.clock
    source = sources[train.source]
    clock = source.get("clock") if isinstance(source, Tree) else None
    return str(clock) if isinstance(clock, str) else train.source


def _used_clocks(spec: Checked) -> dict[str, Any]:
    """Clocks that sources are in, each with the first such source."""
    used: dict[str, Any] = {}
    section = spec.tree.get("sources")
    for name, tree in section.items() if isinstance(section, Tree) else ():
        clock = tree.get("clock") if isinstance(tree, Tree) else None
        used.setdefault(str(clock) if isinstance(clock, str) else name, name)
    return used


def _reference(spec: Checked) -> str:
    used = _used_clocks(spec)
    reference = spec.tree.get("reference_clock")
    if reference is None:
        return next(iter(used), "")
    if reference not in used:
        spec.problem(
            "no source is in the reference clock",
            spec.tree,
            "reference_clock",
            "reference_clock",
            expected="one of " + ", ".join(used),
            found=found(reference),
            hint=did_you_mean(str(reference), used, 0.4),
        )
    return str(reference)


def _check_clocks(spec: Checked, reference: str) -> None:
    used = _used_clocks(spec)
    clocks = spec.tree.get("clocks")
    clocks = clocks if isinstance(clocks, Tree) else Tree(spec.tree.marks.get("clocks") or spec.tree.mark)
    for clock, source in used.items():
        if clock != reference and clock not in clocks and reference in used:
            tree = spec.tree["sources"][source]
            spec.problem(
                f"nothing aligns the clock {clock!r} of the source {source!r} with the reference",
                tree if isinstance(tree, Tree) and "clock" in tree else spec.tree["sources"],
                "clock" if isinstance(tree, Tree) and "clock" in tree else source,
                f"sources.{source}",
                expected=f"an entry clocks.{clock}, or a clock that is aligned ({reference} is the reference)",
                hint=f"add `{clock}: {{align: start, offset_s: ...}}` to clocks, or `clock: {reference}`",
            )
    for clock, tree in clocks.items():
        if clock not in used:
            spec.problem(
                f"no source is in the clock {clock!r}",
                clocks,
                clock,
                f"clocks.{clock}",
                expected="one of " + ", ".join(used),
                hint=did_you_mean(clock, used, 0.4) or "remove it",
            )
        elif clock == reference and isinstance(tree, Tree) and tree.get("align") != "timestamps":
            shifted = tree.get("align") == "start"
            spec.problem(
                f"the reference clock can't be {'shifted' if shifted else 'aligned to itself'}",
                clocks,
                clock,
                f"clocks.{clock}",
                expected="no entry: its time 0 is session_start_time",
                hint="correct session.session_start_time instead",
            )
