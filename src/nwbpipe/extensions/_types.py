"""Classes of the neurodata types that ``ndx-nwbpipe`` defines."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from hdmf.container import MultiContainerInterface
from hdmf.utils import docval, popargs, popargs_to_dict
from pynwb import register_class
from pynwb.core import NWBContainer
from pynwb.file import LabMetaData

NAMESPACE = "ndx-nwbpipe"

# Attributes in the order of the spec; all are text except these.
_INTEGERS = ("revision", "seed")
_ATTRIBUTES = (
    "key",
    "run_id",
    "step",
    "processor",
    "revision",
    "tool",
    "tool_version",
    "parameters_hash",
    "started",
    "ended",
    "host",
    "python",
    "exit_state",
    "compute_digest",
    "software",
    "superseded_by",
)
_JSON = ("parameters", "packages", "resources")
_JSON_IF_ANY = ("sources", "inputs", "outputs")
_COLUMNS = tuple(
    f"{kind}_{column}"
    for kind in ("input", "output")
    for column in ("name", "path", "object_id", "neurodata_type", "identity")
)


def _make_argument(name: str) -> dict[str, Any]:
    if name in _INTEGERS:
        return {"name": name, "type": (int, np.integer), "doc": f"see the spec: {name}"}
    return {"name": name, "type": str, "doc": f"see the spec: {name}"}


@register_class("ProcessingRun", NAMESPACE)
class ProcessingRun(NWBContainer):  # type: ignore[misc]  # pynwb is untyped
    """Record of one execution of a processing step.

    The fields are those of `nwbpipe.provenance.RunRecord`, as the file holds them: times are ISO 8601
    text in UTC, `parameters`, `packages`, `resources`, `sources`, `inputs` and `outputs` are JSON text, of which the
    last three are absent if there are none. Until version 0.3.0 of the extension, inputs and outputs were 1-D text
    datasets of equal length (`input_name`, `input_path`, …).
    """

    __nwbfields__ = (*_ATTRIBUTES, "seed", "record_digest", *_JSON, *_JSON_IF_ANY, *_COLUMNS)

    @docval(  # type: ignore[untyped-decorator]
        {"name": "name", "type": str, "doc": "<step>_<first 8 of the run id>"},
        *(_make_argument(name) for name in (*_ATTRIBUTES, *_JSON)),
        {"name": "seed", "type": (int, np.integer), "doc": "seed of the run", "default": None},
        {"name": "record_digest", "type": str, "doc": "binds the record", "default": None},
        *({"name": name, "type": str, "doc": f"see the spec: {name}", "default": None} for name in _JSON_IF_ANY),
        *(
            {"name": name, "type": ("array_data", "data"), "shape": (None,), "doc": name, "default": None}
            for name in _COLUMNS
        ),
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict(list(self.__nwbfields__), kwargs)
        super().__init__(**kwargs)
        for name, value in fields.items():
            setattr(self, name, value)


_ALIGNMENT_TEXTS = ("clock", "reference", "method", "verdict", "anchor", "pulses", "reference_pulses", "repair")
_ALIGNMENT_COUNTS = ("n_matched", "n_missed", "n_extra")
_ALIGNMENT_FIGURES = (
    "offset_s",
    "drift_ppm",
    "drift_error_ppm",
    "residual_median_s",
    "residual_95_s",
    "residual_max_s",
    "tolerance_s",
)
_ALIGNMENT = (*_ALIGNMENT_TEXTS, *_ALIGNMENT_COUNTS, *_ALIGNMENT_FIGURES, "knots", "residuals")


@register_class("ClockAlignment", NAMESPACE)
class ClockAlignment(NWBContainer):  # type: ignore[misc]
    """Evidence for the alignment of one clock: the fields of `nwbpipe.provenance.AlignmentRecord`.

    `knots` and `residuals` are float64 of shape (n, 2), in seconds.
    """

    __nwbfields__ = _ALIGNMENT

    @docval(  # type: ignore[untyped-decorator]
        {"name": "name", "type": str, "doc": "the clock's name"},
        *({"name": name, "type": str, "doc": f"see the spec: {name}"} for name in _ALIGNMENT_TEXTS),
        *({"name": name, "type": (int, np.integer), "doc": f"see the spec: {name}"} for name in _ALIGNMENT_COUNTS),
        *(
            {"name": name, "type": (float, np.floating), "doc": f"see the spec: {name}"}
            for name in _ALIGNMENT_FIGURES
        ),
        {"name": "knots", "type": ("array_data", "data"), "shape": (None, 2), "doc": "see the spec"},
        {"name": "residuals", "type": ("array_data", "data"), "shape": (None, 2), "doc": "see", "default": None},
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict(list(_ALIGNMENT), kwargs)
        super().__init__(**kwargs)
        for name, value in fields.items():
            setattr(self, name, value)


@register_class("Provenance", NAMESPACE)
class Provenance(LabMetaData, MultiContainerInterface):  # type: ignore[misc]
    """Provenance of a file, at ``/general/nwbpipe``: a `ProcessingRun` per run, a `ClockAlignment` per clock."""

    __clsconf__: ClassVar[list[dict[str, Any]]] = [
        {
            "attr": attribute,
            "type": kind,
            "add": f"add_{attribute[:-1]}",
            "get": f"get_{attribute[:-1]}",
            "create": f"create_{attribute[:-1]}",
        }
        for attribute, kind in (("processing_runs", ProcessingRun), ("clock_alignments", ClockAlignment))
    ]

    @docval(  # type: ignore[untyped-decorator]
        {"name": "name", "type": str, "doc": "always 'nwbpipe'", "default": "nwbpipe"},
        {"name": "processing_runs", "type": (list, tuple, dict), "doc": "the records", "default": None},
        {"name": "clock_alignments", "type": (list, tuple, dict), "doc": "the clocks' alignments", "default": None},
    )
    def __init__(self, **kwargs: Any) -> None:
        runs, alignments = popargs("processing_runs", "clock_alignments", kwargs)
        if kwargs["name"] != "nwbpipe":
            raise ValueError(f"a Provenance container is named 'nwbpipe', not {kwargs['name']!r}")
        super().__init__(**kwargs)
        if runs:
            self.processing_runs = runs
        if alignments:
            self.clock_alignments = alignments
