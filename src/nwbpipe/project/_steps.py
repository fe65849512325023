"""Resolve the steps of a project: the steps that they extend, sweep and need."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from nwbpipe.errors import NwbpipeError, ParameterError, suggest_names
from nwbpipe.processors import Artefact, Folder, Processor, ProjectProcessor, processor, validate_params
from nwbpipe.project._model import Policy, StepSection
from nwbpipe.project._spec import Step
from nwbpipe.provenance import check_step_name, parameters_hash

Complain = Callable[..., None]


@dataclass(frozen=True)
class _MergedStep:
    """A step with what it extends."""

    processor: str | None
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    resources: Mapping[str, Any]
    seed: int
    policy: Policy
    scope: Literal["session", "project"] = "session"
    report: bool = False


def resolve_steps(
    sections: Mapping[str, StepSection], policy: Policy, complain: Complain, declared: Collection[str]
) -> dict[str, Step]:
    """Resolve the steps of a project, in an order in which each comes after those that it needs.

    Parameters
    ----------
    sections : mapping
        The sections that could be read.
    policy : {"exact", "minor", "never"}
        The project's, for steps that name none.
    complain : callable
        Takes each mistake, its key, and more; see `ProblemCollector.add`.
    declared : collection of str
        Names of all sections, also of those with mistakes of their own.
    """
    steps: dict[str, Step] = {}
    methods: dict[str, Processor] = {}
    swept: dict[str, list[str]] = {}
    for name, section in sections.items():
        try:
            check_step_name(name)
        except NwbpipeError as error:
            complain(error.problem.what, "steps", name, expected=error.problem.expected)
            continue
        merged = _merge_step(name, sections, policy, complain, declared)
        method = _resolve_method(name, section, merged, methods, complain) if merged else None
        if merged is None or method is None:
            continue
        for variant in _expand_sweep(name, section, merged, method, complain):
            if (variant.name in sections and variant.name != name) or variant.name in steps:
                complain(
                    f"two steps are called {variant.name!r}",
                    "steps",
                    name,
                    hint="rename one: they would write one container",
                )
                continue
            steps[variant.name] = variant
            if section.sweep:
                swept.setdefault(name, []).append(variant.name)
    for name, step in steps.items():
        steps[name] = replace(step, upstream=_find_upstream(step, steps, swept, complain))
    _check_primary(steps, complain)
    return _sort_steps(steps, complain)


def _merge_step(
    name: str, sections: Mapping[str, StepSection], policy: Policy, complain: Complain, declared: Collection[str]
) -> _MergedStep | None:
    chain: list[str] = []
    step: str | None = name
    while step is not None:
        if step in chain:
            complain(f"the step {name!r} extends itself", "steps", name, "extends", found=" → ".join([*chain, step]))
            return None
        if step not in sections:
            if step not in declared:  # else its own mistakes are named
                complain(
                    f"there is no step {step!r} to extend", "steps", chain[-1], "extends",
                    expected=", ".join(sections), hint=suggest_names(step, sections),
                )  # fmt: skip
            return None
        chain.append(step)
        step = sections[step].extends
    merged = _MergedStep(None, {}, {}, {}, 0, policy)
    for section in (sections[step] for step in reversed(chain)):
        merged = _MergedStep(
            section.processor or merged.processor,
            {**merged.params, **section.params},
            {**merged.inputs, **section.inputs},
            {**merged.resources, **section.resources.model_dump(exclude_none=True)},
            merged.seed if section.seed is None else section.seed,
            section.tool_versions or merged.policy,
            section.scope or merged.scope,
            section.report or merged.report,
        )
    return merged


def _resolve_method(
    name: str, section: StepSection, merged: _MergedStep, methods: dict[str, Processor], complain: Complain
) -> Processor | None:
    if merged.processor is None:
        complain("the key 'processor' is missing", "steps", name, hint="name a processor, or a step to extend")
        return None
    try:
        method = methods.get(merged.processor) or processor(merged.processor)
        methods[merged.processor] = method
    except NwbpipeError as error:
        if section.processor:  # the mistake of an extended step is named once
            problem = error.problem
            complain(problem.what, "steps", name, "processor", expected=problem.expected, hint=problem.hint)
        return None
    scope = "project" if isinstance(method, ProjectProcessor) else "session"
    if merged.scope != scope:
        complain(
            f"{method.name!r} is a processor of {scope} scope", "steps", name, *(["scope"] if section.scope else []),
            expected=f'scope = "{scope}"', found=f'scope = "{merged.scope}"',
        )  # fmt: skip
    for unknown in sorted(set(section.inputs) - set(method.inputs)):
        complain(
            f"{method.name!r} has no input {unknown!r}",
            "steps",
            name,
            "inputs",
            unknown,
            expected=", ".join(method.inputs),
        )
    return method


def _expand_sweep(
    name: str, section: StepSection, merged: _MergedStep, method: Processor, complain: Complain
) -> list[Step]:
    if twice := sorted(set(section.sweep) & set(section.params)):
        hint = "leave out either the parameter or its sweep"
        complain(f"{', '.join(twice)}: set and swept at once", "steps", name, "sweep", hint=hint)
        return []
    for parameter, values in section.sweep.items():
        if not values:
            complain("the sweep has no values", "steps", name, "sweep", parameter, expected="a list of values")
            return []
    if section.sweep and section.primary:
        complain("several steps can't all be primary", "steps", name, "primary", hint="a sweep has no primary result")
    variants: dict[str, Step] = {}
    for chosen in itertools.product(*section.sweep.values()):
        params = {**merged.params, **dict(zip(section.sweep, chosen, strict=True))}
        try:
            checked = validate_params(method, params)
        except ParameterError as error:
            for problem in error.problems:
                part = "sweep" if (problem.where or "") in section.sweep else "params"
                complain(
                    problem.what,
                    "steps",
                    name,
                    part,
                    *(problem.where or "").split("."),
                    expected=problem.expected,
                    found=problem.found,
                    hint=problem.hint,
                )
            return []
        variant = f"{name}_{parameters_hash(checked.model_dump(mode='json'))[:8]}" if section.sweep else name
        if variant in variants:
            complain("the sweep names the same parameters twice", "steps", name, "sweep", found=repr(chosen))
            continue
        resources = replace(method.resources_for(checked), **merged.resources)
        if resources.gpu_memory_gb and not resources.gpu:
            complain(
                "gpu_memory_gb is a part of a GPU, and the step asks for none", "steps", name, "resources",
                found=f"gpu_memory_gb = {resources.gpu_memory_gb:g}", hint="add gpu = 1",
            )  # fmt: skip
            continue
        variants[variant] = Step(
            variant,
            method,
            checked,
            dict(merged.inputs),
            (),
            merged.seed,
            section.primary,
            resources,
            merged.policy,
            merged.report,
        )
    return list(variants.values())


def _find_upstream(
    step: Step, steps: Mapping[str, Step], swept: Mapping[str, list[str]], complain: Complain
) -> tuple[str, ...]:
    upstream = []
    for name, binding in step.inputs.items():
        if name in step.folders:
            continue
        for part in binding.split(","):
            first = part.strip().strip("/").partition("/")[0]
            if first in swept:
                complain(
                    f"the input {name!r} of {step.name!r} could be any of a sweep", "steps", step.name, "inputs",
                    name, found=first, hint=f"name one: {', '.join(swept[first])}",
                )  # fmt: skip
            elif first in steps:
                upstream.append(first)
    _check_artefacts(step, steps, complain)
    return tuple(dict.fromkeys(upstream))


def _check_artefacts(step: Step, steps: Mapping[str, Step], complain: Complain) -> None:
    """Refuse an artefact that is not bound to a step that makes it, and any other input that is bound to one."""
    choices = step.method.any_of if isinstance(step.method, ProjectProcessor) else ()
    if choices and not set(choices) & set(step.inputs):
        names = " or ".join(choices)
        complain(
            f"{step.name!r} needs one of its inputs {names}, and none is bound", "steps", step.name, "inputs",
            expected=f'{choices[0]} = "…"', hint=step.method.inputs[choices[0]].doc,
        )  # fmt: skip
    for name, declaration in step.method.inputs.items():
        binding = step.inputs.get(name, "")
        if isinstance(declaration, Folder):
            if not binding and not declaration.optional:
                complain(
                    f"the input {name!r} of {step.name!r} is a folder, and none is named", "steps", step.name,
                    "inputs", expected=f'{name} = "STORE://FOLDER", or its path', hint=declaration.doc,
                )  # fmt: skip
            continue
        source = steps.get(binding.strip("/").partition("/")[0])
        maker = source.method.name if source is not None and source.is_project_scope else None
        expected = declaration.processors if isinstance(declaration, Artefact) else ()
        fits = maker in expected if expected else maker is None
        if not fits or (maker and source is not None and binding != source.name):
            names = " or ".join(map(repr, expected))
            description = f"is an artefact of {names}" if expected else "is not an artefact"
            makers = [candidate.name for candidate in steps.values() if candidate.method.name in expected]
            complain(
                f"the input {name!r} of {step.name!r} {description}", "steps", step.name, "inputs", name,
                expected=f"the name of a step of that processor: {', '.join(makers) or 'there is none'}"
                if expected else "an object of the session file, or a step that writes one",
                found=repr(binding),
            )  # fmt: skip


def _check_primary(steps: Mapping[str, Step], complain: Complain) -> None:
    primary: dict[str, str] = {}
    for name, step in steps.items():
        if step.primary and step.is_project_scope:
            complain("an artefact is never primary", "steps", name, "primary", hint="remove it")
        elif step.primary and primary.setdefault(step.method.module, name) != name:
            complain(
                "two steps would write one container", "steps", name, "primary",
                found=f"{primary[step.method.module]} and {name} are both primary", hint="choose one",
            )  # fmt: skip


def _sort_steps(steps: Mapping[str, Step], complain: Complain) -> dict[str, Step]:
    sorted_steps: dict[str, Step] = {}
    pending = dict(steps)
    while pending:
        ready = [name for name, step in pending.items() if not set(step.upstream) & set(pending)]
        if not ready:
            complain(
                "steps wait for one another", "steps", next(iter(pending)), "inputs", found=_describe_cycle(pending)
            )
            return {}
        for name in ready:
            sorted_steps[name] = pending.pop(name)
    return sorted_steps


def _describe_cycle(pending: Mapping[str, Step]) -> str:
    visited: list[str] = []
    at = next(iter(pending))
    while at not in visited:
        visited.append(at)
        at = next(step for step in pending[at].upstream if step in pending)
    return " → ".join([*visited[visited.index(at) :], at])
