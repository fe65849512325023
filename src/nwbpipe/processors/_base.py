"""The processor contract: a declaration, a compute module, and a write.

A processor is declared here, in the core. Its computation is a *compute module* that runs in a subprocess,
in the tool's own Python. That module imports only the standard library (syntax of Python 3.9), numpy, h5py,
the tool, `nwbpipe_kit`, and parts beside itself (``from ._part import …``), and offers one function::

    def compute(request: dict, results: h5py.File, progress: Callable[[float, str], None]) -> dict:
        ...

``request`` is plain JSON::

    {"inputs": {"movie": {"file": "/abs/session.nwb",      # open it with h5py.File(file, "r", locking=False)
                          "path": "/acquisition/Movie",    # the object
                          "neurodata_type": "TwoPhotonSeries",
                          "data": "/acquisition/Movie/data",            # or null
                          "timestamps": "/acquisition/Movie/timestamps", # or null
                          "rate": 30.0, "starting_time": 0.0,           # or null
                          "external_files": ["/abs/face.avi"]}},        # [] unless the data are external
     "params": {...},       # the validated parameters
     "facts": {...},        # what `Processor.prepare` read from the file
     "seed": 0, "threads": 2, "scratch": "/abs/folder",
     "tool": {"programs": {"GNU Octave": "/usr/bin/octave-cli"},  # those that the `Tool` declares
              "checkout": "/abs/repository", "weights": "/abs/folder"}}  # null where there is none

The arrays that ``compute`` leaves in ``results`` and the JSON-able summary that it returns are all that
reaches `Processor.write`. ``progress(fraction, text)`` prints a progress line; anything that the module prints
goes to the run's log.

A long computation may be cut into stages. For each name in `Processor.stages` the module offers a function::

    def stage_registration(request: dict, folder: str, progress: Callable[[float, str], None]) -> None:
        ...

They are called in order, before ``compute``, each with an empty folder of its own to write to. A stage that has ended
is not run again after a crash or kill: its folder stays until the run is committed. ``request["stages"]`` maps the
names of the stages that have ended to their folders.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._resources import Resources

if TYPE_CHECKING:
    import h5py
    from pynwb import NWBFile, ProcessingModule

_MODULE_DESCRIPTIONS = {
    "ophys": "Calcium imaging: motion correction, segmentation and activity",
    "ecephys": "Extracellular electrophysiology: spike sorting",
    "behavior": "Behaviour: body, face and events",
}


class Params(BaseModel):
    """Parameters of a processor: each documented, validated, and hashed in its canonical form."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_enum_values=True)


@dataclass(frozen=True)
class Input:
    """An object of the session file that a processor needs.

    Parameters
    ----------
    *neurodata_types : str
        NWB types that serve, e.g. ``"TwoPhotonSeries"``; their subtypes serve too.
    but_not : tuple of str
        Subtypes that don't serve, e.g. ``"TwoPhotonSeries"`` where an `ImageSeries` of a camera is meant.
    doc : str
        What it is used for.
    optional : bool
        Whether the processor does without it: it is used only where it is bound by name, never taken by itself.
    many : bool
        Whether all objects that a pattern, a list (``A,B``) or a step that fans out means go to one run. They are
        bound under the names ``NAME:1``, ``NAME:2``, … (`Context.input_names`).
    """

    neurodata_types: tuple[str, ...]
    but_not: tuple[str, ...] = ()
    doc: str = ""
    optional: bool = False
    many: bool = False

    def __init__(
        self,
        *neurodata_types: str,
        but_not: tuple[str, ...] = (),
        doc: str = "",
        optional: bool = False,
        many: bool = False,
    ) -> None:
        object.__setattr__(self, "neurodata_types", neurodata_types)
        object.__setattr__(self, "but_not", but_not)
        object.__setattr__(self, "doc", doc)
        object.__setattr__(self, "optional", optional)
        object.__setattr__(self, "many", many)


@dataclass(frozen=True)
class BoundInput:
    """An object of the file that was taken for one of the inputs; or an artefact, in its `folder`."""

    name: str
    path: str
    neurodata_type: str
    object_id: str
    identity: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Results:
    """Arrays and summary that the compute module produced."""

    arrays: h5py.File
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Loaded:
    """Data that a `Loader` read from the finished output of a tool.

    Attributes
    ----------
    summary : mapping
        As a compute module returns it.
    params : Params
        What `Processor.write` needs to know; not what the run is recorded with.
    parameters : mapping
        What the output itself says that it was made with, and ``loaded: true``; plain JSON, without paths.
    tool_version : str
        Version of the tool that made it, or "unknown".
    """

    summary: Mapping[str, Any]
    params: Params
    parameters: Mapping[str, Any]
    tool_version: str = "unknown"


@dataclass(frozen=True)
class Loader:
    """Reader of a tool's finished output, as if a run had produced it.

    It runs in the core: what it reads may come from anywhere, and must not be able to run code.

    Attributes
    ----------
    takes : str
        What it reads, e.g. "a folder of suite2p".
    module : str
        Dotted name of the module that reads it. It offers two functions::

            def output_files(source: Path) -> list[Path]: ...
            def load_output(source: Path, results: h5py.File, facts: Mapping[str, Any], params: Any) -> Loaded: ...

        The first returns the files that are read (their content is the run's identity), or raises SourceError if the
        output is incomplete. The second leaves in `results` what the compute module would; `facts` are what
        `Processor.prepare` returned, `params` the defaults. It raises InputError if the output was not made from the
        bound inputs, SourceError if it is damaged or contradicts itself.
    """

    takes: str
    module: str

    def files(self, source: Path) -> list[Path]:
        """Return the files of an output that are read."""
        paths: list[Path] = import_module(self.module).output_files(source)
        return paths

    def load(self, source: Path, results: h5py.File, context: Context) -> Loaded:
        """Read an output into `results`."""
        loaded: Loaded = import_module(self.module).load_output(source, results, context.facts, context.params)
        return loaded


@dataclass(frozen=True)
class ReportFigure:
    """A picture for a report.

    Attributes
    ----------
    title : str
    picture : bytes or matplotlib.figure.Figure
        A PNG, JPEG or WebP, or a figure of matplotlib.
    caption : str
    """

    title: str
    picture: Any
    caption: str = ""


@dataclass(frozen=True)
class StepResult:
    """The result of a step as it is in a file.

    Attributes
    ----------
    step : str
    parameters : mapping
        Of the run that wrote it.
    outputs : sequence of object
        The pynwb objects that it wrote, as far as they are in the file.
    """

    step: str
    parameters: Mapping[str, Any]
    outputs: Sequence[Any]


@dataclass(frozen=True)
class Context:
    """The run that is being written; `medium` is the path of the file that it placed beside the session file."""

    step: str
    params: Any
    inputs: Mapping[str, BoundInput]
    facts: Mapping[str, Any] = field(default_factory=dict)
    primary: bool = False
    medium: str = ""

    def name(self, standard: str) -> str:
        """Name of a container: ``<StandardName>_<step>``."""
        return f"{standard}_{self.step}"

    def input_names(self, name: str) -> list[str]:
        """Return the names under which the objects of an input that takes many are bound, in order."""
        return [bound for bound in self.inputs if bound.partition(":")[0] == name]

    def input(self, nwbfile: NWBFile, name: str) -> Any:
        """Return the pynwb object of the input `name` in the open `nwbfile`."""
        bound = self.inputs[name]
        nwb_object = nwbfile.objects.get(bound.object_id)
        if nwb_object is None:
            msg = f"the input {name!r} is no longer in the file"
            raise InputError(msg, where=bound.path, found=f"no object {bound.object_id}", hint="run the step again")
        return nwb_object

    @staticmethod
    def module(nwbfile: NWBFile, name: str) -> ProcessingModule:
        """Return the standard `ProcessingModule` of that name; it is made if it is missing."""
        if name in nwbfile.processing:
            return nwbfile.processing[name]
        return nwbfile.create_processing_module(name, _MODULE_DESCRIPTIONS.get(name, f"Results: {name}"))


class Processor(ABC):
    """One method, run on data in a session file.

    Class attributes
    ----------------
    name : str
        Name on the command line.
    revision : int
        Raised whenever the same inputs and parameters would give another result.
    module : str
        Name of the `ProcessingModule` that the results go to.
    containers : tuple of str or None
        Standard names of what `write` may add to `module`, as it gives them to `Context.name`: a step is refused
        before it computes where another object has one of these names. None: they are not known beforehand.
    inputs : mapping of str to Input
    Params : subclass of `nwbpipe.Params`
    tool : Tool
    further_tools : tuple of Tool
        Others that `tool_for` may return instead, so that ``nwbpipe tools`` knows them.
    compute : str
        Dotted name of the compute module.
    resources : Resources
        What a run needs of a machine.
    tolerance : float
        How far results of the same run may differ, relative to the largest value: 0, unless the tool's threads or
        hardware make a difference. `nwbpipe verify` asks.
    stages : tuple of str
        Names of stages that come before ``compute``, in order; see `nwbpipe.processors._base`.
    resumable : bool
        Whether the compute module cuts its own work: it goes on from what an earlier try with the same key, tool and
        source left in the folder ``stages`` of its scratch folder. It must hold finished stages only.
    streams_media : bool
        Whether the compute module opens external files by `nwbpipe_kit.media.open_media`: those of a session in S3
        are then read by ranges, and not downloaded.
    medium : str or None
        Name of a file, such as a video, that the compute module leaves in its scratch folder: it is placed in the
        folder of the session's media, and `Context.medium` is its path, relative to the session file.
    loader : Loader or None
        What takes a finished output of the tool (`nwbpipe.load`).
    """

    name: ClassVar[str]
    revision: ClassVar[int]
    module: ClassVar[str]
    containers: ClassVar[tuple[str, ...] | None] = None
    inputs: ClassVar[Mapping[str, Input]]
    Params: ClassVar[type[Params]] = Params
    tool: ClassVar[Tool]
    further_tools: ClassVar[tuple[Tool, ...]] = ()
    compute: ClassVar[str]
    compute_parts: ClassVar[tuple[str, ...]] = ()  # until 0.3: what the compute module imported by hand
    resources: ClassVar[Resources] = Resources()
    tolerance: ClassVar[float] = 0.0
    stages: ClassVar[tuple[str, ...]] = ()
    resumable: ClassVar[bool] = False
    streams_media: ClassVar[bool] = False
    medium: ClassVar[str | None] = None
    loader: ClassVar[Loader | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__dict__.get("compute_parts"):
            msg = f"{cls.__name__}.compute_parts is not needed: import parts relatively (from ._part import …)"
            warnings.warn(msg, FutureWarning, stacklevel=2)

    def complete_params(self, params: Any, file: h5py.File, inputs: Mapping[str, BoundInput]) -> Any:
        """Return the parameters of a run on these inputs, where the session file itself says what they leave open.

        What is filled in is recorded, and its change makes the result stale. Plans call it for each session.

        Parameters
        ----------
        params : Params
            As the step gives them.
        file : h5py.File
            The session file.
        inputs : mapping of str to BoundInput
            Objects in it.

        Raises
        ------
        InputError
            If the file contradicts itself.
        """
        return params

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the bound inputs before anything runs, and return the facts that the computation needs.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
            Open for reading.
        context : Context

        Returns
        -------
        mapping
            Plain JSON: numbers, texts, lists. It is handed to the compute module and to `write`.

        Raises
        ------
        InputError
            If an input can't be used, e.g. a series without a rate.
        """
        return {}

    def tool_for(self, params: Any) -> Tool:
        """Return the tool that these parameters need (a spike sorter may be a tool of its own)."""
        return self.tool

    def resources_for(self, params: Any) -> Resources:
        """Return what a run with these parameters needs of a machine (a GPU for one sorter, none for another)."""
        return self.resources

    def keep_medium(self, params: Any, results: Results) -> timedelta | None:
        """Return how long the `medium` is kept before a project's run removes it; None: always."""
        return None

    def may_write(self, path: str, step: str) -> bool:
        """Return True if a container that a step adds to `module` may have this path."""
        standard = path.removeprefix(f"/processing/{self.module}/").removesuffix(f"_{step}")
        if path != f"/processing/{self.module}/{standard}_{step}":
            return False
        return standard.isalnum() if self.containers is None else standard in self.containers

    @abstractmethod
    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the results to the file, open within a transaction.

        Containers are named by `context.name`, and go into ``context.module(nwbfile, self.module)``.
        """

    def figures(self, nwbfile: NWBFile, result: StepResult) -> Iterable[ReportFigure]:
        """Return pictures of a result for reports (`nwbpipe report`, `nwbpipe serve`); none by default.

        It runs in the core, on a file that may come from anywhere; what it raises is told in the report.
        """
        return ()
