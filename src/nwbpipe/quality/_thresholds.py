"""Named sets of thresholds, and the verdicts that they give."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nwbpipe.errors import Problem, SpecError

Verdict = Literal["pass", "warn", "fail"]
LEVELS: tuple[Verdict, ...] = ("pass", "warn", "fail")
BOUNDS = ("warn_below", "fail_below", "warn_above", "fail_above")


@dataclass(frozen=True)
class ThresholdSet:
    """Bounds of metrics, by what they are of (``roi``, ``scan``) and by the metric's name.

    Attributes
    ----------
    name : str
    bounds : mapping
        ``{"roi": {"area_um2": {"fail_below": 20.0, …}}, …}``; the bounds are `BOUNDS`, values that equal one are
        within it.
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
        bounds = {of: {name: dict(one) for name, one in metrics.items()} for of, metrics in self.bounds.items()}
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
            For each kind the metrics that there are.
        where : str
            For messages.

        Raises
        ------
        SpecError
            Naming each metric or bound that is unknown, and each value that is no number or contradicts another.
        """
        problems: list[Problem] = []
        bounds: dict[str, dict[str, dict[str, float]]] = {}
        for of, metrics in content.items():
            if of == "name":
                continue
            if not isinstance(metrics, Mapping) or (known is not None and of not in known):
                expected = ", ".join(known) if known is not None else "a table of metrics"
                problems.append(Problem("there is nothing of that kind", of, expected))
                continue
            bounds[of] = {}
            for metric, given in metrics.items():
                at = f"{of}.{metric}"
                if known is not None and metric not in known[of]:
                    near = difflib.get_close_matches(metric, known[of], n=1)
                    hint = f"did you mean {near[0]!r}?" if near else ", ".join(known[of])
                    problems.append(Problem("there is no such metric", at, hint=hint))
                    continue
                problems += _find_faults(at, given)
                if isinstance(given, Mapping):
                    bounds[of][metric] = dict(given)
        name = content.get("name")
        if not isinstance(name, str) or not name:
            problems.append(Problem("the set has no name", "name", 'name = "…"'))
        if problems:
            msg = "the thresholds have mistakes"
            raise SpecError(msg, where=where, problems=problems)
        return cls(str(name), bounds)

    def judge(self, of: str, metrics: Mapping[str, float]) -> tuple[Verdict, list[str]]:
        """Return the verdict on one ROI or scan, and the reasons.

        Parameters
        ----------
        of : str
            ``roi`` or ``scan``.
        metrics : mapping
            Metrics that were measured; one that has bounds and was not measured says nothing, one that could not be
            told (NaN) is a warning.

        Returns
        -------
        str
            "pass", "warn" or "fail".
        list of str
            One reason for each bound that is not kept; of two on one side, the worse.
        """
        worst, reasons = 0, []
        for metric, bounds in self.bounds.get(of, {}).items():
            if metric not in metrics:
                continue
            value = float(metrics[metric])
            if math.isnan(value):
                worst = max(worst, 1)
                reasons.append(f"warn: {metric} can't be told")
                continue
            for side, sign in (("below", 1), ("above", -1)):
                for level in LEVELS[:0:-1]:
                    bound = bounds.get(f"{level}_{side}")
                    if bound is not None and sign * value < sign * bound:
                        worst = max(worst, LEVELS.index(level))
                        reasons.append(f"{level}: {metric} {value:.4g} is {side} {bound:g}")
                        break
        return LEVELS[worst], reasons


def _find_faults(at: str, given: Any) -> list[Problem]:
    if not isinstance(given, Mapping) or not given:
        return [Problem("a metric needs bounds", at, ", ".join(BOUNDS), repr(given))]
    faults = []
    for bound, value in given.items():
        if bound not in BOUNDS:
            faults.append(Problem("unknown bound", f"{at}.{bound}", ", ".join(BOUNDS)))
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            faults.append(Problem("a bound is a number", f"{at}.{bound}", found=repr(value)))
    if not faults:
        for side, sign in (("below", 1), ("above", -1)):
            warn, fail = given.get(f"warn_{side}"), given.get(f"fail_{side}")
            if warn is not None and fail is not None and sign * warn < sign * fail:
                text = f"warn_{side} {warn:g}, fail_{side} {fail:g}"
                faults.append(Problem("what fails must be worse than what warns", at, found=text))
    return faults


def read_thresholds(path: Path, known: Mapping[str, Any] | None = None) -> ThresholdSet:
    """Read a set from a TOML file.

    Raises
    ------
    SpecError
        If it can't be read, or has mistakes.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = "the thresholds can't be read"
        raise SpecError(msg, where=str(path), expected="a TOML file", found=str(error)) from error
    return ThresholdSet.from_dict(content, known, str(path))
