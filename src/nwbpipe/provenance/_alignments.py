"""Write and read the records of a file's clock alignments."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from nwbpipe.errors import DamagedFileError
from nwbpipe.provenance._records import LOCATION
from nwbpipe.provenance._write_records import get_record_container

_ARRAYS = ("knots", "residuals")


@dataclass(frozen=True, eq=False)
class AlignmentRecord:
    """The evidence for one clock's alignment to the session's reference clock.

    Attributes
    ----------
    clock, reference : str
        Names of the clocks.
    method : str
        ``pulses``, ``frames``, ``intervals`` or ``timestamps``.
    verdict : str
        ``accepted``, or what was wrong with an alignment that was used nonetheless (``on_misfit: warn``).
    anchor : str
        Evidence that decided which pulses are the same: ``intervals``, ``gaps``, ``start_within_s`` or ``order``.
    pulses, reference_pulses : str
        Sources of the pulses.
    repair : str
        Rules by which times were repaired, and their counts; empty if none were.
    n_matched, n_missed, n_extra : int
        Paired pulses; pulses of the reference alone, and of this clock alone, while both were recorded.
    offset_s, drift_ppm : float
        ``t_reference = t_clock * (1 + drift_ppm * 1e-6) + offset_s``: the straight line, even where `knots` bend.
    drift_error_ppm : float
        Standard error of the drift.
    residual_median_s, residual_95_s, residual_max_s : float
        Median, 95th percentile and maximum of the absolute residuals, in seconds.
    tolerance_s : float
        Limit of their 95th percentile; NaN if there was none.
    knots : ndarray of float64, shape (n_knots, 2)
        The map: times of the clock, and of the reference, in seconds.
    residuals : ndarray of float64, shape (n_samples, 2)
        A sample of the pairs: time on the reference, residual, in seconds.
    """

    clock: str
    reference: str
    method: str
    verdict: str
    anchor: str
    pulses: str
    reference_pulses: str
    repair: str
    n_matched: int
    n_missed: int
    n_extra: int
    offset_s: float
    drift_ppm: float
    drift_error_ppm: float
    residual_median_s: float
    residual_95_s: float
    residual_max_s: float
    tolerance_s: float
    knots: npt.NDArray[np.float64]
    residuals: npt.NDArray[np.float64]

    @property
    def accepted(self) -> bool:
        """True if the evidence held."""
        return self.verdict == "accepted"

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values, without the sample of residuals; NaN and infinity become None."""
        values: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if name == "knots":
                values[name] = value.tolist()
            elif name != "residuals":
                values[name] = None if isinstance(value, float) and not math.isfinite(value) else value
        return values

    def __str__(self) -> str:
        lines = [
            f"{self.clock}: {self.method}, {self.verdict}; {self.n_matched} matched, {self.n_missed} missed, "
            f"{self.n_extra} extra",
            f"offset {self.offset_s:.6f} s, drift {self.drift_ppm:+.3f} ± {self.drift_error_ppm:.3f} ppm"
            + (f", {len(self.knots) - 1} pieces" if len(self.knots) > 2 else ""),
            f"residual {_format_ms(self.residual_median_s)} median, {_format_ms(self.residual_95_s)} 95 %, "
            f"{_format_ms(self.residual_max_s)} largest"
            + ("" if math.isnan(self.tolerance_s) else f" (tolerance {_format_ms(self.tolerance_s)})"),
        ]
        return "\n".join(lines + ([f"repaired: {self.repair}"] if self.repair else []))


def _format_ms(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"


def read_alignments(file: h5py.File) -> list[AlignmentRecord]:
    """Return the alignments of a file's clocks, in the order of their names.

    Raises
    ------
    DamagedFileError
        A record can't be read.
    """
    container = file.get(LOCATION)
    records = []
    for group in container.values() if isinstance(container, h5py.Group) else ():
        kind = group.attrs.get("neurodata_type", "")
        if (kind.decode() if isinstance(kind, bytes) else kind) == "ClockAlignment":
            records.append(_read_alignment(group))
    return sorted(records, key=lambda record: record.clock)


def _read_alignment(group: h5py.Group) -> AlignmentRecord:
    values: dict[str, Any] = {}
    try:
        for field in fields(AlignmentRecord):
            if field.name in _ARRAYS:
                values[field.name] = group[field.name][()] if field.name in group else np.empty((0, 2))
            else:
                value = group.attrs[field.name]
                values[field.name] = {"int": int, "float": float}.get(str(field.type), _decode_text)(value)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise DamagedFileError(
            "a clock's alignment can't be read",
            where=f"{group.file.filename}:{group.name}",
            expected="a ClockAlignment of ndx-nwbpipe",
            found=str(error),
            hint="it was changed by another program, or written by a later nwbpipe",
        ) from error
    return AlignmentRecord(**values)


def _decode_text(value: Any) -> str:
    if isinstance(value, h5py.Empty):
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)


def add_alignment(nwbfile: Any, record: AlignmentRecord) -> None:
    """Add a clock's alignment to an NWB file that is open for writing, or new.

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
        See `add_record`.
    record : AlignmentRecord
        The record.
    """
    from nwbpipe.extensions import ClockAlignment

    values = {field.name: getattr(record, field.name) for field in fields(record)}
    if not len(record.residuals):
        values.pop("residuals")
    get_record_container(nwbfile).add_clock_alignment(ClockAlignment(name=f"clock_{record.clock}", **values))
