"""Explain how a request differs from the existing result of its step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nwbpipe.errors import ResultExistsError
from nwbpipe.processors import Context, Processor
from nwbpipe.provenance import RunRecord
from nwbpipe.session import SessionFile


def explain_existing_result(
    existing: RunRecord, method: Processor, context: Context, seed: int | None, session: SessionFile
) -> ResultExistsError:
    """Return the error for a step that has another result already; it lists the differences."""
    msg = f"the step {existing.step!r} has a result already"
    return ResultExistsError(
        msg,
        where=str(session),
        found="; ".join(
            describe_differences(
                existing,
                method,
                context.params.model_dump(mode="json"),
                seed,
                {name: bound.identity for name, bound in context.inputs.items()},
            )
        ),
        hint="choose another name with --step, or pass --replace",
    )


def describe_differences(
    existing: RunRecord, method: Processor, params: Mapping[str, Any], seed: int | None, inputs: Mapping[str, str]
) -> list[str]:
    """List the differences between a recorded run and one with these parameters, seed and identities of inputs."""
    if existing.processor != method.name:
        return [f"made by {existing.processor}, not {method.name}"]
    if existing.parameters.get("loaded") or seed is None:
        return ["loaded from other files, or computed" if seed is None else "loaded from a finished output"]
    changes = []
    changed = {
        name: (existing.parameters.get(name), params.get(name))
        for name in sorted({*existing.parameters, *params})
        if existing.parameters.get(name) != params.get(name)
    }
    if changed:
        texts = ", ".join(f"{name} {old!r} → {new!r}" for name, (old, new) in changed.items())
        changes.append(f"params changed: {texts}")
    if existing.revision != method.revision:
        changes.append(f"revision {existing.revision} → {method.revision}")
    if existing.seed != seed:
        changes.append(f"seed {existing.seed} → {seed}")
    recorded = {item.name: item.identity for item in existing.inputs}
    changes += [
        f"the input {name} has other content" for name in sorted(inputs) if recorded.get(name) != inputs[name]
    ]
    return changes or ["its place in the file"]
