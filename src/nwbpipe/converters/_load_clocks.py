"""Checking the section `clocks` of session.yaml: what can be known before any raw data are read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nwbpipe.converters._clock_spec import CLOCK_MODELS, PARTS, TimesSpec, TrainSpec, trains_of
from nwbpipe.converters._paths import Places
from nwbpipe.converters._values import MistakeError, coerce, found
from nwbpipe.converters._yaml import Tree
from nwbpipe.errors import Problem

# Stand for a part that has mistakes of its own, so that the rest of its clock is checked, too.
_STAND_INS: Mapping[type[BaseModel], BaseModel] = {
    TrainSpec: TrainSpec(source="missing"),
    TimesSpec: TimesSpec(file=Path("missing")),
}


class ClockChecks:
    """The part of the checker that knows clocks; the rest of it is in `_load`."""

    tree: Tree
    places: Places
    problems: list[Problem]

    def _place(self, tree: Any, key: str, path: str) -> str:
        raise NotImplementedError

    def problem(self, what: str, tree: Any, key: str, path: str, **more: str | None) -> None:
        raise NotImplementedError

    def section(self, key: str, required: bool = True) -> Tree:
        raise NotImplementedError

    def model(self, model: type[BaseModel], tree: Tree, path: str) -> Any:
        raise NotImplementedError

    def _clocks(self) -> dict[str, Any]:
        clocks = {}
        section = self.section("clocks", required=False)
        for name, tree in section.items():
            path = f"clocks.{name}"
            if not isinstance(tree, Tree):
                self.problem("the clock is no mapping", section, name, path, found=found(tree))
                continue
            model = CLOCK_MODELS.get(str(tree.get("align")))
            if model is None:
                self.problem(
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
            clocks[name] = self.model(model, self._clock_values(tree, model, path), path)
            self._check_trains(name, clocks[name], tree, path)
        return clocks

    def _clock_values(self, tree: Tree, model: type[BaseModel], path: str) -> Tree:
        values = Tree(tree.mark)
        values.marks = tree.marks
        values.update(tree)
        for key in ("file", "column"):
            if key not in values or key not in model.model_fields:
                continue
            try:
                annotation: Any = Path if key == "file" else str | int | None
                values[key] = coerce(values[key], annotation, self._file)
            except MistakeError as mistake:
                where = self._place(tree, key, f"{path}.{key}")
                self.problems.append(
                    Problem(mistake.what, where, mistake.expected, mistake.found, mistake.hint or None)
                )
                values[key] = Path("missing") if key == "file" else None
        for key, part in PARTS.items():
            if key in model.model_fields and values.get(key) is not None:
                values[key] = self._part(values[key], tree, key, part, f"{path}.{key}")
        return values

    def _part(self, tree: Any, parent: Tree, key: str, model: type[BaseModel], path: str) -> BaseModel:
        if not isinstance(tree, Tree):
            self.problem(f"{path} is no mapping", parent, key, path, expected="`{key: value}`", found=found(tree))
            return _STAND_INS[model]
        part: BaseModel | None = self.model(model, self._clock_values(tree, model, path), path)
        return part or _STAND_INS[model]

    def _check_trains(self, name: str, clock: Any, tree: Tree, path: str) -> None:
        """Refuse trains of sources that are not there, or that are in the wrong clock."""
        sources = self.tree.get("sources")
        names = sources if isinstance(sources, Tree) else Tree()
        for key, train in trains_of(clock):
            if train in _STAND_INS.values():
                continue
            if train.source is not None and train.source not in names:
                near = difflib.get_close_matches(train.source, names, n=2, cutoff=0.4)
                self.problem(
                    f"no source is called {train.source!r}",
                    tree,
                    key,
                    f"{path}.{key}.source",
                    expected="one of " + ", ".join(names),
                    hint=f"did you mean {' or '.join(near)}?" if near else None,
                )
                continue
            of = self._clock_of(names, train)
            if of is not None and (of == name) != (key == "pulses"):
                self.problem(
                    f"these pulses are {'not ' if key == 'pulses' else ''}on the clock that they align",
                    tree,
                    key,
                    f"{path}.{key}",
                    expected=f"pulses on the clock {name!r}" if key == "pulses" else "pulses on another clock",
                    found=f"pulses on the clock {of!r}",
                    hint="`pulses` are those of the clock that is aligned, `reference_pulses` the same on another",
                )

    @staticmethod
    def _clock_of(sources: Mapping[str, Any], train: TrainSpec) -> str | None:
        if train.source is None:
            return train.clock
        source = sources[train.source]
        clock = source.get("clock") if isinstance(source, Tree) else None
        return str(clock) if isinstance(clock, str) else train.source

    def _file(self, text: str, _kind: str) -> Path:
        return self.places.resolve(text, "file")

    def _used_clocks(self) -> dict[str, Any]:
        """Clocks that sources are in, each with the first such source."""
        used: dict[str, Any] = {}
        section = self.tree.get("sources")
        for name, tree in section.items() if isinstance(section, Tree) else ():
            clock = tree.get("clock") if isinstance(tree, Tree) else None
            used.setdefault(str(clock) if isinstance(clock, str) else name, name)
        return used

    def _reference(self) -> str:
        used = self._used_clocks()
        reference = self.tree.get("reference_clock")
        if reference is None:
            return next(iter(used), "")
        if reference not in used:
            near = difflib.get_close_matches(str(reference), used, n=2, cutoff=0.4)
            self.problem(
                "no source is in the reference clock",
                self.tree,
                "reference_clock",
                "reference_clock",
                expected="one of " + ", ".join(used),
                found=found(reference),
                hint=f"did you mean {' or '.join(near)}?" if near else None,
            )
        return str(reference)

    def _check_clocks(self, reference: str) -> None:
        used = self._used_clocks()
        clocks = self.tree.get("clocks")
        clocks = clocks if isinstance(clocks, Tree) else Tree(self.tree.marks.get("clocks") or self.tree.mark)
        for clock, source in used.items():
            if clock != reference and clock not in clocks and reference in used:
                tree = self.tree["sources"][source]
                self.problem(
                    f"nothing aligns the clock {clock!r} of the source {source!r} with the reference",
                    tree if isinstance(tree, Tree) and "clock" in tree else self.tree["sources"],
                    "clock" if isinstance(tree, Tree) and "clock" in tree else source,
                    f"sources.{source}",
                    expected=f"an entry clocks.{clock}, or a clock that is aligned ({reference} is the reference)",
                    hint=f"add `{clock}: {{align: start, offset_s: ...}}` to clocks, or `clock: {reference}`",
                )
        for clock, tree in clocks.items():
            if clock not in used:
                near = difflib.get_close_matches(clock, used, n=2, cutoff=0.4)
                self.problem(
                    f"no source is in the clock {clock!r}",
                    clocks,
                    clock,
                    f"clocks.{clock}",
                    expected="one of " + ", ".join(used),
                    hint=f"did you mean {' or '.join(near)}?" if near else "remove it",
                )
            elif clock == reference and isinstance(tree, Tree) and tree.get("align") != "timestamps":
                shifted = tree.get("align") == "start"
                self.problem(
                    f"the reference clock can't be {'shifted' if shifted else 'aligned to itself'}",
                    clocks,
                    clock,
                    f"clocks.{clock}",
                    expected="no entry: its time 0 is session_start_time",
                    hint="correct session.session_start_time instead",
                )
