"""Checking the section `clocks` of session.yaml: what can be known before any raw data are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nwbpipe.converters.spec._clock_spec import CLOCK_MODELS, PARTS, TimesSpec, TrainSpec, trains_of
from nwbpipe.converters.spec._spec_checker import SpecChecker
from nwbpipe.converters.spec._values import SpecValueError, coerce, describe_value, suggest_names
from nwbpipe.converters.spec._yaml import YamlMapping
from nwbpipe.errors import Problem

# Stand for a part that has mistakes of its own, so that the rest of its clock is checked, too.
_STAND_INS: Mapping[type[BaseModel], BaseModel] = {
    TrainSpec: TrainSpec(source="missing"),
    TimesSpec: TimesSpec(file=Path("missing")),
}


def read_clocks(spec: SpecChecker) -> tuple[dict[str, Any], str]:
    """Read the section `clocks` and `reference_clock`, and check that each source's clock is aligned.

    Returns
    -------
    dict of str to ClockSpec
        None in the place of a clock that has mistakes.
    str
        The reference clock.
    """
    clocks, reference = _read_clock_section(spec), _read_reference(spec)
    _check_clocks(spec, reference)
    return clocks, reference


def _read_clock_section(spec: SpecChecker) -> dict[str, Any]:
    clocks = {}
    section = spec.read_section("clocks", required=False)
    for name, tree in section.items():
        path = f"clocks.{name}"
        if not isinstance(tree, YamlMapping):
            spec.add_problem("the clock is no mapping", section, name, path, found=describe_value(tree))
            continue
        model = CLOCK_MODELS.get(str(tree.get("align")))
        if model is None:
            spec.add_problem(
                "the way to align is not supported" if "align" in tree else "the way to align is missing",
                tree,
                "align",
                f"{path}.align",
                expected=f"one of {', '.join(CLOCK_MODELS)}",
                found=describe_value(tree.get("align")),
                hint="`{align: start, offset_s: 0.97}`, or by pulses that both recorded: `{align: pulses, "
                "pulses: {source: ..., events: ...}, reference_pulses: {source: ..., channel: ...}}`",
            )
            continue
        clocks[name] = spec.validate_model(model, _clock_values(spec, tree, model, path), path)
        _check_trains(spec, name, clocks[name], tree, path)
    return clocks


def _clock_values(spec: SpecChecker, tree: YamlMapping, model: type[BaseModel], path: str) -> YamlMapping:
    values = YamlMapping(tree.mark)
    values.marks = tree.marks
    values.update(tree)
    for key in ("file", "column"):
        if key not in values or key not in model.model_fields:
            continue
        try:
            annotation: Any = Path if key == "file" else str | int | None
            values[key] = coerce(values[key], annotation, lambda text, _kind: spec.paths.resolve(text, "file"))
        except SpecValueError as mistake:
            where = spec.locate(tree, key, f"{path}.{key}")
            spec.problems.append(Problem(mistake.what, where, mistake.expected, mistake.found, mistake.hint or None))
            values[key] = Path("missing") if key == "file" else None
    for key, part in PARTS.items():
        if key in model.model_fields and values.get(key) is not None:
            values[key] = _read_part(spec, values[key], tree, key, part, f"{path}.{key}")
    return values


def _read_part(
    spec: SpecChecker, tree: Any, parent: YamlMapping, key: str, model: type[BaseModel], path: str
) -> BaseModel:
    if not isinstance(tree, YamlMapping):
        spec.add_problem(
            f"{path} is no mapping", parent, key, path, expected="`{key: value}`", found=describe_value(tree)
        )
        return _STAND_INS[model]
    part: BaseModel | None = spec.validate_model(model, _clock_values(spec, tree, model, path), path)
    return part or _STAND_INS[model]


def _check_trains(spec: SpecChecker, name: str, clock: Any, tree: YamlMapping, path: str) -> None:
    """Refuse trains of sources that are not there, or that are in the wrong clock."""
    sources = spec.tree.get("sources")
    names = sources if isinstance(sources, YamlMapping) else YamlMapping()
    for key, train in trains_of(clock):
        if train in _STAND_INS.values():
            continue
        if train.source is not None and train.source not in names:
            spec.add_problem(
                f"no source is called {train.source!r}",
                tree,
                key,
                f"{path}.{key}.source",
                expected="one of " + ", ".join(names),
                hint=suggest_names(train.source, names, 0.4),
            )
            continue
        of = _clock_of(names, train)
        if of is not None and (of == name) != (key == "pulses"):
            spec.add_problem(
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
    clock = source.get("clock") if isinstance(source, YamlMapping) else None
    return str(clock) if isinstance(clock, str) else train.source


def _clocks_in_use(spec: SpecChecker) -> dict[str, Any]:
    """Clocks that sources are in, each with the first such source."""
    used: dict[str, Any] = {}
    section = spec.tree.get("sources")
    for name, tree in section.items() if isinstance(section, YamlMapping) else ():
        clock = tree.get("clock") if isinstance(tree, YamlMapping) else None
        used.setdefault(str(clock) if isinstance(clock, str) else name, name)
    return used


def _read_reference(spec: SpecChecker) -> str:
    used = _clocks_in_use(spec)
    reference = spec.tree.get("reference_clock")
    if reference is None:
        return next(iter(used), "")
    if reference not in used:
        spec.add_problem(
            "no source is in the reference clock",
            spec.tree,
            "reference_clock",
            "reference_clock",
            expected="one of " + ", ".join(used),
            found=describe_value(reference),
            hint=suggest_names(str(reference), used, 0.4),
        )
    return str(reference)


def _check_clocks(spec: SpecChecker, reference: str) -> None:
    used = _clocks_in_use(spec)
    clocks = spec.tree.get("clocks")
    clocks = (
        clocks if isinstance(clocks, YamlMapping) else YamlMapping(spec.tree.marks.get("clocks") or spec.tree.mark)
    )
    for clock, source in used.items():
        if clock != reference and clock not in clocks and reference in used:
            tree = spec.tree["sources"][source]
            spec.add_problem(
                f"nothing aligns the clock {clock!r} of the source {source!r} with the reference",
                tree if isinstance(tree, YamlMapping) and "clock" in tree else spec.tree["sources"],
                "clock" if isinstance(tree, YamlMapping) and "clock" in tree else source,
                f"sources.{source}",
                expected=f"an entry clocks.{clock}, or a clock that is aligned ({reference} is the reference)",
                hint=f"add `{clock}: {{align: start, offset_s: ...}}` to clocks, or `clock: {reference}`",
            )
    for clock, tree in clocks.items():
        if clock not in used:
            spec.add_problem(
                f"no source is in the clock {clock!r}",
                clocks,
                clock,
                f"clocks.{clock}",
                expected="one of " + ", ".join(used),
                hint=suggest_names(clock, used, 0.4) or "remove it",
            )
        elif clock == reference and isinstance(tree, YamlMapping) and tree.get("align") != "timestamps":
            shifted = tree.get("align") == "start"
            spec.add_problem(
                f"the reference clock can't be {'shifted' if shifted else 'aligned to itself'}",
                clocks,
                clock,
                f"clocks.{clock}",
                expected="no entry: its time 0 is session_start_time",
                hint="correct session.session_start_time instead",
            )
