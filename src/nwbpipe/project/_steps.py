"""Steps: what they extend, sweep and need."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from nwbpipe.errors import NwbpipeError, ParameterError
from nwbpipe.processors import Artefact, Processor, ProjectProcessor, processor, validate_params
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


def resolve_steps(
    sections: Mapping[str, StepSection], policy: Policy, complain: Complain, declared: Collection[str]
) -> dict[str, Step]:
    """Resolve the steps of a project, in an order in which each comes after those that it needs.

    Parameters
    ----------
    sections : mapping
        The sections that could be read.
    policy : {"exact", "minor", "never"}
        The project's, where a step names none.
    complain : callable
        Takes what is wrong, the key, and more.
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
    at: str | None = name
    while at is not None:
        if at in chain:
            complain(f"the step {name!r} extends itself", "steps", name, "extends", found=" → ".join([*chain, at]))
            return None
        if at not in sections:
            if at not in declared:  # else its own mistakes are named
                near = difflib.get_close_matches(at, sections, n=1)
                complain(
                    f"there is no step {at!r} to extend", "steps", chain[-1], "extends",
                    expected=", ".join(sections), hint=f"did you mean {near[0]!r}?" if near else None,
                )  # fmt: skip
            return None
        chain.append(at)
        at = sections[at].extends
    merged = _MergedStep(None, {}, {}, {}, 0, policy)
    for one in (sections[each] for each in reversed(chain)):
        merged = _MergedStep(
            one.processor or merged.processor,
            {**merged.params, **one.params},
            {**merged.inputs, **one.inputs},
            {**merged.resources, **one.resources.model_dump(exclude_none=True)},
            merged.seed if one.seed is None else one.seed,
            one.tool_versions or merged.policy,
            one.scope or merged.scope,
        )
    return merged


def _resolve_method(
    name: str, section: StepSection, merged: _MergedStep, known: dict[str, Processor], complain: Complain
) -> Processor | None:
    if merged.processor is None:
        complain("'processor' is missing", "steps", name, hint="name a processor, or a step that it extends")
        return None
    try:
        method = known.get(merged.processor) or processor(merged.processor)
        known[merged.processor] = method
    except NwbpipeError as error:
        if section.processor:  # of what it extends it is said once
            one = error.problem
            complain(one.what, "steps", name, "processor", expected=one.expected, hint=one.hint)
        return None
    made = "project" if isinstance(method, ProjectProcessor) else "session"
    if merged.scope != made:
        complain(
            f"{method.name!r} is a processor of {made} scope", "steps", name, *(["scope"] if section.scope else []),
            expected=f'scope = "{made}"', found=f'scope = "{merged.scope}"',
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
    both = sorted(set(section.sweep) & set(section.params))
    if both:
        complain(f"{', '.join(both)}: both set and swept", "steps", name, "sweep", hint="leave one of them out")
        return []
    for parameter, values in section.sweep.items():
        if not values:
            complain("a sweep over no values", "steps", name, "sweep", parameter, expected="a list of values")
            return []
    if section.sweep and section.primary:
        complain("several steps can't all be primary", "steps", name, "primary", hint="a sweep has no primary result")
    resources = replace(method.resources, **merged.resources)
    made: dict[str, Step] = {}
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
        own = f"{name}_{parameters_hash(checked.model_dump(mode='json'))[:8]}" if section.sweep else name
        if own in made:
            complain("a sweep names the same parameters twice", "steps", name, "sweep", found=repr(chosen))
            continue
        made[own] = Step(
            own, method, checked, dict(merged.inputs), (), merged.seed, section.primary, resources, merged.policy
        )
    return list(made.values())


def _find_upstream(
    step: Step, steps: Mapping[str, Step], swept: Mapping[str, list[str]], complain: Complain
) -> tuple[str, ...]:
    found = []
    for name, binding in step.inputs.items():
        first = binding.strip("/").partition("/")[0]
        if first in swept:
            complain(
                f"the input {name!r} of {step.name!r} could be any of a sweep", "steps", step.name, "inputs", name,
                found=first, hint=f"name one: {', '.join(swept[first])}",
            )  # fmt: skip
        elif first in steps:
            found.append(first)
    _check_artefacts(step, steps, complain)
    return tuple(dict.fromkeys(found))


def _check_artefacts(step: Step, steps: Mapping[str, Step], complain: Complain) -> None:
    """Artefacts are bound to the steps that make them, and nothing else is."""
    for name, wanted in step.method.inputs.items():
        binding = step.inputs.get(name, "")
        source = steps.get(binding.strip("/").partition("/")[0])
        maker = source.method.name if source is not None and source.is_project_scope else None
        expected = wanted.processor if isinstance(wanted, Artefact) else None
        if maker != expected or (maker and source is not None and binding != source.name):
            what = f"is an artefact of {expected!r}" if expected else "is no artefact"
            makers = [one.name for one in steps.values() if one.method.name == expected]
            complain(
                f"the input {name!r} of {step.name!r} {what}", "steps", step.name, "inputs", name,
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
    done: dict[str, Step] = {}
    pending = dict(steps)
    while pending:
        ready = [name for name, step in pending.items() if not set(step.upstream) & set(pending)]
        if not ready:
            complain(
                "steps wait for one another", "steps", next(iter(pending)), "inputs", found=_describe_cycle(pending)
            )
            return {}
        for name in ready:
            done[name] = pending.pop(name)
    return done


def _describe_cycle(pending: Mapping[str, Step]) -> str:
    seen: list[str] = []
    at = next(iter(pending))
    while at not in seen:
        seen.append(at)
        at = next(one for one in pending[at].upstream if one in pending)
    return " → ".join([*seen[seen.index(at) :], at])
