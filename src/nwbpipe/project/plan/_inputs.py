"""Resolve a step's inputs to objects of a file; a pattern gives one run per match."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbpipe.errors import InputError
from nwbpipe.files import is_below
from nwbpipe.processors import Artefact, BoundInput, Folder, Input, Processor
from nwbpipe.project._spec import Step
from nwbpipe.provenance import RunRecord
from nwbpipe.run import list_patterns, match_binding, match_many, serves
from nwbpipe.session import NwbObject, SessionFile, retry_after_conflicts


@dataclass(frozen=True)
class StepRun:
    """A run of a step: its name, and the objects that it reads."""

    run: str
    inputs: Mapping[str, BoundInput]


def complete_params(step: Step, run: StepRun, file: Path | str) -> Any:
    """Return the parameters of a run, with what the session file says where its processor asks (it is read then)."""
    if type(step.method).complete_params is Processor.complete_params:
        return step.params
    session = SessionFile.at(file)
    return retry_after_conflicts(
        lambda: session.read(lambda reader: step.method.complete_params(step.params, reader.file, run.inputs))
    )


def expand_runs(
    step: Step,
    candidates: Sequence[NwbObject],
    upstream: Mapping[str, Sequence[tuple[str, RunRecord]]],
    output_paths: Sequence[str],
    given_paths: Sequence[str] = (),
) -> list[StepRun]:
    """Return the runs of a step on one file, without the artefacts that they read.

    Parameters
    ----------
    step : Step
    candidates : sequence of NwbObject
        All objects of the file.
    upstream : mapping
        By step that `step` needs, its runs in the file: the suffix of the run's name ("" if the step does not fan
        out), and its record.
    output_paths : sequence of str
        Paths that steps wrote. A path or pattern never matches them; a step's name does.
    given_paths : sequence of str
        Those of them that a person gave, and no step makes: a path matches them.

    Raises
    ------
    InputError
        No object matches an input, or several do; the message lists them.
    """
    raw = [candidate for candidate in candidates if not is_below(candidate.path, output_paths)]
    fixed: dict[str, NwbObject] = {}
    fanned: dict[str, dict[str, NwbObject]] = {}
    for name, declared in step.method.inputs.items():
        binding = step.inputs.get(name)
        if (binding is None and declared.optional) or isinstance(declared, (Artefact, Folder)):
            continue
        first, _, below = (binding or "").strip("/").partition("/")
        if declared.many:
            fixed |= _choose_all(step, name, raw, candidates, upstream, declared)
        elif binding is None:
            fixed[name] = _choose_only(
                step, name, [candidate for candidate in raw if serves(candidate, declared)], declared
            )
        elif first in upstream:
            objects = {}
            for part, record in upstream[first]:
                outputs = _find_step_outputs(candidates, record, below, declared)
                for suffix, output in _tell_apart(step, name, outputs, record, declared).items():
                    objects["_".join(filter(None, (part, suffix)))] = output
            if set(objects) == {""}:
                fixed[name] = objects[""]
            else:
                fanned[name] = objects
        elif re.search(r"[*?\[]", binding):
            fanned[name] = _match_pattern(step, name, binding, raw, declared)
        else:
            named = match_binding(binding, _list_named(candidates, output_paths, given_paths))
            if named and not any(serves(candidate, declared) for candidate in named):
                msg = f"the object bound to the input {name!r} of {step.name!r} is of the wrong type"
                types = " or ".join(declared.neurodata_types)
                raise InputError(msg, where=named[0].path, expected=types, found=named[0].neurodata_type)
            fixed[name] = _choose_only(
                step, name, [candidate for candidate in named if serves(candidate, declared)], declared
            )
    if not fanned:
        return [StepRun(step.name, _bind_objects(fixed))]
    parts = {frozenset(objects) for objects in fanned.values()}
    if len(parts) > 1:
        msg = f"several inputs of {step.name!r} fan out, but not to the same runs"
        listed = "; ".join(f"{name}: {', '.join(sorted(objects))}" for name, objects in fanned.items())
        raise InputError(msg, found=listed, hint="bind all but one of them to one object")
    return [
        StepRun(
            f"{step.name}_{part}",
            _bind_objects({**fixed, **{name: objects[part] for name, objects in fanned.items()}}),
        )
        for part in sorted(next(iter(parts)))
    ]


def find_absent_input(
    step: Step, candidates: Sequence[NwbObject], output_paths: Sequence[str], given_paths: Sequence[str]
) -> str | None:
    """Return an input that a session lacks and that a step of project scope does without: one that is optional."""
    objects = _list_named(candidates, output_paths, given_paths)
    for name, declared in step.method.inputs.items():
        binding = step.inputs.get(name)
        if not declared.optional or declared.many or binding is None or isinstance(declared, (Artefact, Folder)):
            continue
        if binding.strip("/").partition("/")[0] not in step.upstream and not match_binding(binding, objects):
            return name
    return None


def _list_named(
    candidates: Sequence[NwbObject], output_paths: Sequence[str], given_paths: Sequence[str]
) -> list[NwbObject]:
    """Return the objects that a path means: what no step wrote, or a person gave."""
    return [item for item in candidates if not is_below(item.path, output_paths) or is_below(item.path, given_paths)]


def _bind_objects(chosen: Mapping[str, NwbObject]) -> dict[str, BoundInput]:
    return {
        name: BoundInput(name, object_.path, object_.neurodata_type, object_.object_id)
        for name, object_ in chosen.items()
    }


def _choose_all(
    step: Step,
    name: str,
    raw: Sequence[NwbObject],
    candidates: Sequence[NwbObject],
    upstream: Mapping[str, Sequence[tuple[str, RunRecord]]],
    declared: Input,
) -> dict[str, NwbObject]:
    """Return all objects of an input that takes many, under the names that a run binds them by."""
    binding = step.inputs.get(name)
    chosen: dict[str, NwbObject] = {}
    if binding is None:
        only = _choose_only(step, name, [item for item in raw if serves(item, declared)], declared)
        chosen[only.path] = only
    for pattern in list_patterns(name, binding) if binding is not None else ():
        first, _, below = pattern.strip("/").partition("/")
        if first in upstream:
            for _, record in upstream[first]:
                outputs = _find_step_outputs(candidates, record, below, declared)
                parts = _tell_apart(step, name, outputs, record, declared)
                chosen |= {item.path: item for item in parts.values()}
        else:
            matches = match_many(pattern, declared, raw)
            if not matches:
                raise _no_match_error(step, name, pattern, declared)
            chosen |= {item.path: item for item in matches}
    return {f"{name}:{number}": item for number, item in enumerate(chosen.values(), start=1)}


def _choose_only(step: Step, name: str, objects: Sequence[NwbObject], declared: Input) -> NwbObject:
    if len(objects) == 1:
        return objects[0]
    binding = step.inputs.get(name)
    listed = ", ".join(object_.path for object_ in objects)
    if not objects:
        msg = f"the file has no object for the input {name!r} of {step.name!r}"
        raise InputError(
            msg, expected=" or ".join(declared.neurodata_types), found=f"nothing at {binding!r}" if binding else None,
            hint=f"bind it to the output of another step: inputs.{name} = \"STEP/…\"" if not binding else None,
        )  # fmt: skip
    msg = f"several objects could be the input {name!r} of {step.name!r}"
    raise InputError(msg, found=listed, hint=f'name one: inputs.{name} = "{objects[0].path.strip("/")}"')


def _tell_apart(
    step: Step, name: str, objects: Sequence[NwbObject], record: RunRecord, declared: Input
) -> dict[str, NwbObject]:
    """Return what a run wrote for an input: one object, under "", or those of one kind, as the poses of animals.

    Objects are of one kind if each is a container of the run by itself, ``<Type><Part>_<step>``; they are returned
    by their part in small letters. Any others are refused: which of them is meant is not known.
    """
    outputs = {output.path: output.path.rsplit("/", 1)[-1] for output in record.outputs}
    parts = {}
    for item in objects:
        standard, kind = outputs.get(item.path, "").removesuffix(f"_{record.step}"), item.neurodata_type
        part = standard.removeprefix(kind) if standard.startswith(kind) else ""
        parts[part.lower()] = item
    if len(objects) < 2 or "" in parts or len(parts) < len(objects):
        return {"": _choose_only(step, name, objects, declared)}
    return dict(sorted(parts.items()))


def _find_step_outputs(
    candidates: Sequence[NwbObject], record: RunRecord, below: str, declared: Input
) -> list[NwbObject]:
    """Return objects that a run wrote, by the standard name of a container and the path below it."""
    parts = [part for part in below.split("/") if part]
    objects = []
    for candidate in candidates:
        if not serves(candidate, declared):
            continue
        for output in record.outputs:
            if is_below(candidate.path, [output.path]):
                names = [output.path.rsplit("/", 1)[-1], *candidate.path[len(output.path) :].strip("/").split("/")]
                if all(
                    fnmatch.fnmatchcase(name, part) or fnmatch.fnmatchcase(name, f"{part}_{record.step}")
                    for name, part in zip(names, parts, strict=False)
                ) and len([name for name in names if name]) >= len(parts):
                    objects.append(candidate)
    # A container and an object in it may both match: prefer the one that the binding names exactly.
    named = [candidate for candidate in objects if len(_strip_module(candidate.path)) == len(parts)]
    return named if parts and len(named) == 1 else objects


def _strip_module(path: str) -> list[str]:
    parts = path.strip("/").split("/")
    return parts[2:] if parts[0] == "processing" else parts


def _no_match_error(step: Step, name: str, pattern: str, declared: Input) -> InputError:
    msg = f"no object matches the input {name!r} of {step.name!r}"
    return InputError(msg, expected=" or ".join(declared.neurodata_types), found=f"nothing at {pattern!r}")


def _match_pattern(
    step: Step, name: str, pattern: str, raw: Sequence[NwbObject], declared: Input
) -> dict[str, NwbObject]:
    matches = [
        match
        for match in raw
        if serves(match, declared) and fnmatch.fnmatchcase(match.path.strip("/"), pattern.strip("/"))
    ]
    if not matches:
        raise _no_match_error(step, name, pattern, declared)
    parts: dict[str, NwbObject] = {}
    for match in matches:
        part = re.sub(r"[^a-z0-9]+", "_", match.path.rsplit("/", 1)[-1].lower()).strip("_") or "x"
        if part in parts:
            msg = f"two objects would give runs of {step.name!r} the same name"
            raise InputError(msg, found=f"{parts[part].path} and {match.path}", hint="narrow the pattern")
        parts[part] = match
    return parts
