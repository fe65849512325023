"""Bring a model from before into a project: as an artefact, and as a step of nwbpipe.toml that others bind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbpipe.disk import create_file, read_regular
from nwbpipe.environments import use_settings
from nwbpipe.errors import FileAccessError, InputError, RequestError, SpecError
from nwbpipe.files import create_atomically
from nwbpipe.processors import Folder, ProjectProcessor, validate_params
from nwbpipe.processors import processor as find_processor
from nwbpipe.project._load import find_project, load_project, parse_project
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project._trust import require_trust
from nwbpipe.project.plan import Planner
from nwbpipe.provenance import check_step_name
from nwbpipe.run import Run, list_artefacts, make_artefact

_MAX_BYTES = 4_000_000  # of nwbpipe.toml


@dataclass(frozen=True)
class LoadedModel:
    """A model that was brought into a project.

    Attributes
    ----------
    step : str
        The step that other steps bind it by.
    address : str
        ``models://STEP/KEY/IDENTITY``.
    folder : Path
        Its files.
    run : Run
        `computed` is False if the project held it already.
    section : str
        What was added to nwbpipe.toml; empty if the step was there.
    """

    step: str
    address: str
    folder: Path
    run: Run
    section: str


def load_model(
    project: Path | str | None,
    processor: str,
    source: Path | str,
    *,
    step: str | None = None,
    params: Mapping[str, Any] | None = None,
    profile: str | None = None,
    timeout: float | None = None,
    threads: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> LoadedModel:
    """Keep a trained model as an artefact of a project, and add the step that other steps bind it by.

    The artefact is made first: where the model is refused, nwbpipe.toml stays as it is.

    Parameters
    ----------
    project : path, optional
        The nwbpipe.toml, or its folder; the nearest one upwards from the current folder by default.
    processor : str
        The processor that takes such models: ``deeplabcut_model``, ``facemap_model``, ``unitrefine_model``.
    source : path
        Folder of the model, or the only file of weights in it; or the folder's address in a store (``dlc://…``).
    step : str, optional
        Name of the step; the processor's by default. One that exists must be of this processor and model.
    params : mapping, optional
        Parameters that differ from the defaults.
    profile : str, optional
        Profile that gives the stores.
    timeout, threads, progress
        As of `nwbpipe.process`.

    Returns
    -------
    LoadedModel

    Raises
    ------
    RequestError
        If the processor takes no model, or the step is another one.
    InputError
        If the model can't be used: it has no weights, they are of TensorFlow, or its keypoints are others.
    ToolError
        If the tool is missing, or refuses the model.
    """
    path = find_project(project)
    method = find_processor(processor)
    name = check_step_name(method.name if step is None else step)
    inputs = [key for key, item in method.inputs.items() if isinstance(item, Folder) and not item.optional]
    if not isinstance(method, ProjectProcessor) or inputs != list(method.inputs):
        msg = f"the processor {method.name!r} takes no model from before"
        expected = "deeplabcut_model, facemap_model or unitrefine_model"
        hint = "`nwbpipe load FILE.nwb PROCESSOR OUTPUT` adds the finished output of a tool to a session file"
        raise RequestError(msg, expected=expected, found=method.name, hint=hint)
    (key,) = inputs
    spec, section = load_project(path, profile=profile), ""  # it refuses a file that is no text
    text = read_regular(path, _MAX_BYTES).decode("utf-8")
    values = validate_params(method, params or {})
    binding = _write_binding(spec, source)
    if name not in spec.steps:
        section = _write_section(name, method.name, key, binding, params or {})
        spec = _parse_with_section(path, text, section, profile)
        _require_writable(path, section)
    declared = spec.steps[name]
    folder = spec.locate_folder(declared.inputs.get(key, ""))
    if not section:
        _check_same(declared, method, folder, spec.locate_folder(binding), values if params else declared.params)
    require_trust(spec)
    planner = Planner(spec)
    planner.allow_programs()
    with use_settings(planner.tool_settings):
        run = make_artefact(
            method, name, declared.params, declared.seed, [], planner.models,
            folders={key: (declared.inputs[key], folder)}, outdated=lambda _: False, timeout=timeout,
            threads=threads, progress=progress,
        )  # fmt: skip
    if section:
        _append(path, text, section)
    (artefact,) = (item for item in list_artefacts(planner.models, name) if item.record.run_id == run.record.run_id)
    return LoadedModel(name, artefact.address, artefact.folder, run, section)


def _write_binding(spec: ProjectSpec, source: Path | str) -> str:
    """Return a folder as nwbpipe.toml names it: an address, or a path, relative if it lies below the project."""
    if "://" in str(source):
        return str(source)
    path = Path(os.path.abspath(source))  # noqa: PTH100 - links stay as they are
    if not path.exists():
        raise InputError("the model does not exist", where=str(path), expected="a folder, or a file of weights")
    folder = path if path.is_dir() else path.parent
    siblings = [item.name for item in folder.iterdir() if item.suffix == path.suffix and item.name != path.name]
    if folder != path and siblings:  # the processor would choose among them
        msg = "the folder of the model has several files of weights"
        hint = "name the folder, and the best of them is taken; or copy this one, and what belongs to it, to its own"
        listed = ", ".join(sorted(siblings)[:8])
        raise InputError(msg, where=str(folder), expected=f"{path.name} alone", found=listed, hint=hint)
    return folder.relative_to(spec.folder).as_posix() if folder.is_relative_to(spec.folder) else folder.as_posix()


def _write_section(step: str, processor: str, key: str, binding: str, params: Mapping[str, Any]) -> str:
    """Return the step as TOML: JSON's texts, numbers and lists are TOML's, too."""
    lines = [f"[steps.{step}]", f'processor = "{processor}"', 'scope = "project"']
    lines.append(f"inputs.{key} = {json.dumps(binding, ensure_ascii=False)}")
    values = {name: value for name, value in params.items() if value is not None}
    lines += [f"params.{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _parse_with_section(path: Path, text: str, section: str, profile: str | None) -> ProjectSpec:
    try:
        joined = _join(text, section)
        joined.encode("utf-8")  # the name of a file need not be text
        return parse_project(path, joined, profile=profile)
    except (SpecError, UnicodeEncodeError) as error:
        msg = "the step can't be added to nwbpipe.toml"
        hint = f"add it by hand:\n{_show(section)}"
        raise RequestError(msg, where=str(path), found=str(error), hint=hint) from error


def _show(section: str) -> str:
    return section.encode("utf-8", "backslashreplace").decode("utf-8")


def _join(text: str, section: str) -> str:
    """Add the section after an empty line, with the line ends that the text has."""
    joined = f"\n\n{section}"
    return text.rstrip() + (joined.replace("\n", "\r\n") if "\r\n" in text else joined)


def _check_same(declared: Step, method: ProjectProcessor, folder: Path, asked: Path, params: Any) -> None:
    """Refuse a step of that name that takes another model."""
    differences = []
    if declared.method.name != method.name:
        differences.append(f"its processor is {declared.method.name}")
    elif folder.resolve() != asked.resolve():
        differences.append(f"its model is {folder}")
    elif declared.params != params:
        differences.append("its parameters are others")
    if differences:
        msg = f"nwbpipe.toml has another step {declared.name!r}"
        hint = "choose another name: --step NAME; or change that step, and run it"
        raise RequestError(msg, expected=f"{method.name} of {asked}", found=differences[0], hint=hint)


def _require_writable(path: Path, section: str) -> None:
    """Refuse a file that this user may not change, before a model is tried for minutes."""
    path = path.resolve()
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        raise _unwritable_error(path, section, "it, or its folder, is read-only for you")


def _unwritable_error(path: Path, section: str, found: str) -> FileAccessError:
    hint = f"get the right to write it, and its folder, and load the model again; or add\n{section}"
    return FileAccessError("nwbpipe.toml can't be written", where=str(path), found=found, hint=hint)


def _append(path: Path, text: str, section: str) -> None:
    """Add the section to the file as a whole, unless it was changed meanwhile."""
    try:
        with create_atomically(path, overwrite=True) as draft:
            if read_regular(path, _MAX_BYTES).decode("utf-8", "replace") != text:
                msg = "nwbpipe.toml was changed while the model was loaded"
                raise RequestError(msg, where=str(path), hint=f"load it again: it is kept already; or add\n{section}")
            with os.fdopen(create_file(draft), "w", encoding="utf-8", newline="") as file:
                file.write(_join(text, section))
    except FileAccessError as error:
        raise _unwritable_error(path, section, error.problem.what) from error
