"""The report of the demo: a score for each recovered quantity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nwbpipe.errors import ToolMissingError


@dataclass(frozen=True)
class DemoScore:
    """The score of a recovered quantity.

    Attributes
    ----------
    stream, measure : str
        The data stream, and the measured quantity.
    found : float
        The value.
    bound : float
        The limit: a floor, or a ceiling for an error.
    is_error : bool
        True if `found` must be at most `bound`, not at least.
    unit : str
        Empty for ratios and correlations.
    note : str
        Counts behind the value.
    """

    stream: str
    measure: str
    found: float
    bound: float
    is_error: bool = False
    unit: str = ""
    note: str = ""

    @property
    def passed(self) -> bool:
        """True if the value keeps its limit; NaN never does."""
        return self.found <= self.bound if self.is_error else self.found >= self.bound


@dataclass(frozen=True)
class _ScoredReport:
    """A report with one score per row."""

    rows: tuple[DemoScore, ...]

    @property
    def passed(self) -> bool:
        """True if every value keeps its limit."""
        return all(row.passed for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        values = {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}
        rows = [{**asdict(row), "passed": row.passed} for row in self.rows]
        return {"passed": self.passed, **values, "rows": rows}


@dataclass(frozen=True)
class DemoReport(_ScoredReport):
    """The report of a demo, with the paths of its file, its figure, and the page that shows the file."""

    nwb: Path
    figure: Path | None
    page: Path | None
    seconds: float

    def format_table(self) -> str:
        """Return the rows as a table of text."""
        return format_table(self.rows, self.seconds, self.nwb, self.figure, self.page)


@dataclass(frozen=True)
class ProjectDemoReport(_ScoredReport):
    """The report of a demo of a project, with the project's path."""

    project: Path
    seconds: float

    def format_table(self) -> str:
        """Return the rows as a table of text."""
        return format_table(self.rows, self.seconds, self.project)


def format_table(
    rows: tuple[DemoScore, ...],
    seconds: float,
    location: Path,
    figure: Path | None = None,
    page: Path | None = None,
) -> str:
    """Return rows as a table of text, with a verdict below it."""
    lines = [f"{'stream':<12}{'measure':<30}{'found':>12}{'bound':>14}  ", "-" * 74]
    for row in rows:
        sign = "≤" if row.is_error else "≥"
        value, bound = f"{row.found:.3f} {row.unit}".strip(), f"{sign} {row.bound:g} {row.unit}".strip()
        verdict = "ok" if row.passed else "FAILED"
        lines.append(f"{row.stream:<12}{row.measure:<30}{value:>12}{bound:>14}  {verdict:<7}{row.note}".rstrip())
    lines.append("-" * 74)
    passed = all(row.passed for row in rows)
    lines.append(f"{'all recovered' if passed else 'NOT RECOVERED'} in {seconds:.0f} s: {location}")
    if figure is not None:
        lines.append(f"figure: {figure}")
    if page is not None:
        lines.append(f"report: {page.as_uri()}")
    return "\n".join(lines)


def write_page(nwb: Path) -> Path | None:
    """Write the page of a session file; None without what reports need."""
    try:
        from nwbpipe.report import write_report

        return write_report(nwb)
    except ToolMissingError:  # the core does not depend on jinja2 and Pillow
        return None
