"""The declaration of a data set: which sessions, inputs, targets, windows and split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from nwbpipe.errors import SpecError
from nwbpipe.validation import FormatVersion, ProblemCollector, StrictModel, TomlDocument, mistake

PARTS = ("train", "valid", "test")
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_SOURCES = ("units", "events", "series", "column")
# Names in the session files of a data set that are not an input's or a target's own.
_RESERVED = {*PARTS, "domain", "session", "subject", "units", "trials"}


class Stream(StrictModel):
    """An input or a target: exactly one of `units`, `events`, `series` and `column`.

    Attributes
    ----------
    units, events, series : str
        Name, path or pattern of a table of units, of events, or of a series; it must fit one object in a session.
    column : str
        Table and column of the trials that `around` names: one value for each window.
    where : str
        Condition in SQL on the catalogue's table ``units`` (units) or ``rois`` (series of ROIs).
    form : {"counts", "events", "patches"}
        Spikes and events counted in bins, or each with its time; counts or a series in patches of each column.
    patch : float, optional
        Length of the patches (s): whole bins, and the window is whole patches.
    normalise : {"none", "zscore", "pooled_zscore"}
        Subtract the mean and divide by the standard deviation of the training windows: of each column, or of all
        columns of all sessions together.
    method : {"mean", "linear", "nearest", "previous"}
        How a series is brought to the bins; by default ``mean``, ``linear`` for one that is slower than the bins.
    missing : {"leave_out", "keep"}
        What is done with a window that lacks values: it is left out, or they are NaN.
    """

    units: str | None = None
    events: str | None = None
    series: str | None = None
    column: str | None = None
    where: str | None = None
    form: Literal["counts", "events", "patches"] = "counts"
    patch: Seconds | None = None
    normalise: Literal["none", "zscore", "pooled_zscore"] = "none"
    method: Literal["mean", "linear", "nearest", "previous"] | None = None
    missing: Literal["leave_out", "keep"] = "leave_out"

    @model_validator(mode="after")
    def _check(self) -> Self:
        sources = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(sources) != 1:
            msg = "the data are not named" if not sources else "several sources of data are named"
            raise mistake(msg, expected=f"one of {', '.join(_SOURCES)}", found=", ".join(sources) or "none of them")
        if self.where is not None and sources[0] in ("events", "column"):
            raise mistake("a condition applies to units and to series of ROIs", "where", hint="leave it out")
        if self.form == "events" and sources[0] not in ("units", "events"):
            raise mistake("this source has values, not times", "form", expected="counts")
        if self.form == "events" and self.normalise != "none":
            raise mistake("times are not normalised", "normalise", expected="none")
        if (self.patch is not None) != (self.form == "patches"):
            raise mistake("a length of patches belongs to form = 'patches'", "patch", expected="seconds")
        if self.form == "patches" and sources[0] == "column":
            raise mistake("a column of trials has one value a window", "form", expected="counts")
        if self.method is not None and sources[0] != "series":
            raise mistake("a method applies to series", "method", hint="leave it out")
        return self

    @property
    def source(self) -> str:
        """Name of the attribute that is set: units, events, series or column."""
        return next(name for name in _SOURCES if getattr(self, name) is not None)

    @property
    def pattern(self) -> str:
        """Name, path or pattern of its object."""
        return str(getattr(self, self.source))


class Section(StrictModel):
    """Sessions, windows and bins.

    Attributes
    ----------
    name : str
    sessions : str
        SQL on the catalogue, whose answer has the column ``location``, or ``subject_id`` and ``session_id``.
    window : float or pair of float
        Length of the windows (s); around a time of each trial, first and last time from there.
    stride : float, optional
        From the start of a window to that of the next one (s); by default windows do not overlap.
    bin : float
        Length of the bins (s); it divides the window.
    around : str, optional
        Table and column of times: ``trials.go_cue``.
    licence : str, optional
        Licence of the data, for the card.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    sessions: str = "SELECT location FROM sessions"
    window: Seconds | tuple[float, float]
    stride: Seconds | None = None
    bin: Seconds
    around: str | None = None
    licence: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.name.isprintable():
            raise mistake("the name has characters that can't be shown", "name", expected="a line of text")
        if isinstance(self.window, tuple) != (self.around is not None):
            expected = "a length" if self.around is None else "first and last time from there"
            raise mistake(
                "the window does not fit 'around'",
                "window",
                expected=f"{expected}, in seconds",
                found=str(self.window),
            )
        if self.around is not None and self.stride is not None:
            raise mistake("windows around trials have no stride", "stride", hint="leave it out")
        first, last = self.bounds
        bins = (last - first) / self.bin
        if not last > first or round(bins) < 1 or abs(bins - round(bins)) > 1e-6 * bins:
            sizes = f"window {last - first:g} s, bin {self.bin:g} s"
            raise mistake("the window is not a whole number of bins", "bin", found=sizes)
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """First and last time of a window, from its start or from the time of the trial."""
        return (0.0, self.window) if isinstance(self.window, float) else self.window

    @property
    def length(self) -> float:
        """Length of a window, in seconds."""
        return self.bounds[1] - self.bounds[0]


class Split(StrictModel):
    """Division of the data into training, validation and test parts.

    Attributes
    ----------
    by : {"subject", "session", "day", "block"}
        What is given to one part as a whole. A block is a stretch of each session.
    train, valid, test : float
        Shares of the parts.
    assign : mapping of str to list of str, optional
        Subjects, sessions (``subject/session``) or days (``2024-05-01``) of a part by name, in place of the shares;
        those that are not named are of the training part.
    block : float, optional
        Length of the blocks (s).
    gap : float, optional
        Time that is left out between blocks of different parts (s); by default the length of a window.
    seed : int
    """

    by: Literal["subject", "session", "day", "block"]
    train: Share = 0.7
    valid: Share = 0.15
    test: Share = 0.15
    assign: dict[Literal["valid", "test"], list[str]] | None = None
    block: Seconds | None = None
    gap: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(self.train + self.valid + self.test - 1) > 1e-6:
            shares = f"{self.train:g} + {self.valid:g} + {self.test:g}"
            raise mistake("the shares of the parts are not 1 together", "train", found=shares)
        if self.train == 0:
            raise mistake("the training part is empty", "train", expected="more than 0")
        if (self.block is not None) != (self.by == "block"):
            raise mistake("a length of blocks belongs to by = 'block'", "block", expected="seconds")
        if self.by != "block" and self.gap is not None:
            raise mistake("a gap belongs to by = 'block'", "gap", hint="leave it out")
        if self.assign is not None and self.by == "block":
            raise mistake("blocks are not assigned by name", "assign", hint="leave it out")
        names = [name for part in (self.assign or {}).values() for name in part]
        if len(names) != len(set(names)):
            raise mistake("a name is assigned twice", "assign", expected="each in one part")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are to have data."""
        if self.assign is not None:
            return ("train", *(part for part in PARTS[1:] if self.assign.get(part)))  # type: ignore[call-overload]
        return tuple(part for part in PARTS if getattr(self, part) > 0)


class Declaration(StrictModel):
    """Declaration of a data set; `load_declaration` reads it from a file."""

    nwbpipe: FormatVersion
    dataset: Section
    inputs: Annotated[dict[Name, Stream], Field(min_length=1)]
    targets: Annotated[dict[Name, Stream], Field(default_factory=dict)]
    split: Split

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.inputs.keys() & self.targets.keys():
            raise mistake("an input and a target have one name", "targets", name)
        for name, stream in self.streams.items():
            group = "inputs" if name in self.inputs else "targets"
            if name in _RESERVED or name.endswith(("_units", "_columns", "_observed")):
                raise mistake("the name is used for something else", group, name, hint="choose another name")
            bins = 1.0 if stream.patch is None else stream.patch / self.dataset.bin
            patches = 1.0 if stream.patch is None else self.dataset.length / stream.patch
            if any(round(part) < 1 or abs(part - round(part)) > 1e-6 * part for part in (bins, patches)):
                sizes = f"window {self.dataset.length:g} s, patch {stream.patch:g} s, bin {self.dataset.bin:g} s"
                raise mistake("the window is not whole patches of whole bins", group, name, found=sizes)
            if stream.column is not None and (
                self.dataset.around is None
                or stream.column.rpartition(".")[0] != self.dataset.around.rpartition(".")[0]
            ):
                expected = "dataset.around, a time of the same table"
                raise mistake("a column has a value for each trial", group, name, expected=expected)
        if self.split.block is not None and self.split.block <= self.gap + self.dataset.length:
            msg = "no window would fit into a block"
            expected = f"more than {self.gap + self.dataset.length:g} s, window and gap"
            raise mistake(msg, "split", "block", expected=expected)
        return self

    @property
    def streams(self) -> dict[str, Stream]:
        """Inputs and targets, by name."""
        return self.inputs | self.targets

    @property
    def gap(self) -> float:
        """Time between blocks of different parts, in seconds."""
        return self.dataset.length if self.split.gap is None else self.split.gap


def load_declaration(source: Declaration | Mapping[str, Any] | Path | str) -> Declaration:
    """Read the declaration of a data set.

    Parameters
    ----------
    source : path or mapping
        A TOML file, or its content.

    Raises
    ------
    SpecError
        If anything is wrong with it: each mistake is named, with its line.
    """
    if isinstance(source, Declaration):
        return source
    document: ProblemCollector
    if isinstance(source, Mapping):
        document, content, name = ProblemCollector(), dict(source), "(a mapping)"
    else:
        document = TomlDocument.read(Path(os.fspath(source)), "the declaration")
        content, name = document.content, str(source)
    declaration = document.validate(Declaration, content)
    document.raise_problems("the declaration of the data set", name)
    if not isinstance(declaration, Declaration):
        raise SpecError("the declaration is empty", where=name)
    return declaration
