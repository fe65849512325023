"""``nwbpipe curate``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo


def curate(
    file: Annotated[Path, typer.Argument(metavar="FILE.nwb", help="The session file.")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step whose ROIs or units are labelled.")],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="Of ROIs: suite2p's edited iscell.npy, or a CSV with roi and label. Of units: a CSV with unit and "
            "label, SpikeInterface's curation.json with labels, merges, splits and removals, or the folder that "
            "`nwbpipe export --to phy` made, after Phy.",
        ),
    ],
    who: Annotated[str, typer.Option(help="Whose labels they are; it is written into the file.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace earlier labels of the step.")] = False,
    lock_timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for another writer.")] = 60.0,
) -> None:
    """Add a person's labels of ROIs, or curation of units, beside the tool's own."""
    from nwbpipe.review import curate as add_labels

    record = add_labels(file, step, labels, who=who, replace=replace, lock_timeout=lock_timeout)
    counts = Counter(record.parameters["labels"].values())
    echo(f"{record.step}: " + ", ".join(f"{number} {label}" for label, number in sorted(counts.items())))
    echo(f"  {record.outputs[0].path}")
