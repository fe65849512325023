"""Named sets of thresholds, and the verdicts that they give."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nwbpipe.errors import SpecError
from nwbpipe.validation import ProblemCollector, StrictModel, TomlDocument, mistake

Verdict = Literal["pass", "warn", "fail"]
LEVELS: tuple[Verdict, ...] = ("pass", "warn", "fail")

_Name = Annotated[str, Field(min_length=1)]
_Bound = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Bounds(StrictModel):
    """The bounds of one metric."""

    warn_below: _Bound | None = None
    fail_below: _Bound | None = None
    warn_above: _Bound | None = None
    fail_above: _Bound | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.model_fields_set:
            raise mistake("a metric needs bounds", expected=", ".join(type(self).model_fields))
        for side, sign in (("below", 1), ("above", -1)):
            warn, fail = getattr(self, f"warn_{side}"), getattr(self, f"fail_{side}")
            if warn is not None and fail is not None and sign * warn < sign * fail:
                text = f"warn_{side} {warn:g}, fail_{side} {fail:g}"
                raise mistake("the bound that fails must be worse than the bound that warns", found=text)
        return self


@dataclass(frozen=True)
class ThresholdSet:
    """Bounds of metrics, by what they are of (``roi``, ``scan``) and by the metric's name.

    Attributes
    ----------
    name : str
    bounds : mapping
        ``{"roi": {"area_um2": {"fail_below": 20.0, …}}, …}``; values that equal a bound
        are within it.
    """

    name: str
    bounds: Mapping[str, Mapping[str, Mapping[str, float]]]

    @property
    def hash(self) -> str:
        """SHA-256 of name and bounds, as JSON with sorted keys."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return the set as plain JSON; `from_dict` reads it."""
        bounds = {of: {name: dict(values) for name, values in metrics.items()} for of, metrics in self.bounds.items()}
        return {"name": self.name, **bounds}

    @classmethod
    def from_dict(
        cls, content: Mapping[str, Any], known: Mapping[str, Any] | None = None, where: str = "the thresholds"
    ) -> ThresholdSet:
        """Check a set and return it.

        Parameters
        ----------
        content : mapping
            ``name``, and for each kind its metrics and their bounds.
        known : mapping, optional
            For each kind its metrics.
        where : str
            For messages.

        Raises
        ------
        SpecError
            Naming each metric or bound that is unknown, is not a number, or contradicts another.
        """
        document = ProblemCollector()
        return cls._check(content, known, document, where)

    @classmethod
    def _check(
        cls, content: Mapping[str, Any], known: Mapping[str, Any] | None, document: ProblemCollector, where: str
    ) -> ThresholdSet:
        name = document.validate(_Name, content.get("name"), "name")
        bounds = {of: metrics for of, metrics in content.items() if of != "name"}
        for of, metrics in bounds.items():
            if known is not None and of not in known:
                document.add_unknown((of,), list(known))
                continue
            document.validate(dict[str, _Bounds], metrics, of)
            for metric in metrics if isinstance(metrics, Mapping) else ():
                if known is not None and metric not in known[of]:
                    document.add_unknown((of, metric), list(known[of]))
        document.raise_problems("the threshold set", where)
        return cls(name, {of: {metric: dict(values) for metric, values in bounds[of].items()} for of in bounds})

    def judge(self, of: str, metrics: Mapping[str, float]) -> tuple[Verdict, list[str]]:
        """Return the verdict on one ROI or scan, and the reasons.

        Parameters
        ----------
        of : str
            ``roi`` or ``scan``.
        metrics : mapping
            Metrics that were measured. One that has bounds and was not measured is left out; one that could not be
            computed (NaN) is a warning.

        Returns
        -------
        str
            "pass", "warn" or "fail".
        list of str
            One reason for each bound that is crossed; of two on one side, the worse.
        """
        worst, reasons = 0, []
        for metric, bounds in self.bounds.get(of, {}).items():
            if metric not in metrics:
                continue
            value = float(metrics[metric])
            if math.isnan(value):
                worst = max(worst, 1)
                reasons.append(f"warn: {metric} is unknown")
                continue
            for side, sign in (("below", 1), ("above", -1)):
                for level in LEVELS[:0:-1]:
                    bound = bounds.get(f"{level}_{side}")
                    if bound is not None and sign * value < sign * bound:
                        worst = max(worst, LEVELS.index(level))
                        reasons.append(f"{level}: {metric} {value:.4g} is {side} {bound:g}")
                        break
        return LEVELS[worst], reasons


def read_thresholds(path: Path, known: Mapping[str, Any] | None = None) -> ThresholdSet:
    """Read a set from a TOML file.

    Raises
    ------
    SpecError
        If it can't be read, or has mistakes.
    """
    document = TomlDocument.read(path, "the threshold set", unreadable=SpecError)
    return ThresholdSet._check(document.content, known, document, str(path))
