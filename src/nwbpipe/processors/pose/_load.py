"""Keep a trained network as an artefact as it is: the common part of the tools."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from nwbpipe.processors._base import Context, Params, Results
from nwbpipe.processors._project_scope import ProjectProcessor
from nwbpipe.processors.pose._models import write_files, write_json


class LoadParams(Params):
    """Parameters of a network that was trained before."""

    likelihood_cutoff: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Likelihood from which on a keypoint counts as found, in what is said of results.",
    )


class LoadProcessor(ProjectProcessor):
    """A network that was trained before, kept as an artefact: the folder is looked at to identify it."""

    def make(self, folder: Path, results: Results, context: Context) -> None:
        """Write the artefact's files."""
        write_files(folder, results)
        model = {**results.summary, "likelihood_cutoff": context.params.likelihood_cutoff, "loaded": True}
        write_json(folder / "model.json", model)
