"""The processor ``facemap_model``: a network for keypoints that Facemap trained before, as an artefact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Input, Params
from nwbpipe.processors._project_scope import Folder
from nwbpipe.processors.face import FACEMAP
from nwbpipe.processors.pose._load import LoadParams, LoadProcessor
from nwbpipe.provenance import identify_file

#: The keypoints of Facemap's own networks, in its order.
FACEMAP_KEYPOINTS = (
    "eye(back)",
    "eye(bottom)",
    "eye(front)",
    "eye(top)",
    "lowerlip",
    "mouth",
    "nose(bottom)",
    "nose(r)",
    "nose(tip)",
    "nose(top)",
    "nosebridge",
    "paw",
    "whisker(I)",
    "whisker(III)",
    "whisker(II)",
)


class FacemapModelParams(LoadParams):
    """Parameters of ``facemap_model``."""

    keypoints: tuple[str, ...] = Field(
        FACEMAP_KEYPOINTS,
        min_length=1,
        description="Names of the keypoints in the order of the network, which does not know them; by default those "
        "of Facemap's own networks.",
    )


class FacemapModel(LoadProcessor):
    """A network for keypoints that was trained with Facemap, by its window or a script, taken as it is.

    The folder has one file ``.pt``: the weights as Facemap saves them. They are read without running code that may be
    in the file. The number of features at each depth is read from them. Nothing is trained.

    The artefact: ``model.json`` (keypoints, channels, ``loaded: true``), ``facemap-best.pt``.
    """

    name: ClassVar[str] = "facemap_model"
    revision: ClassVar[int] = 1
    inputs: ClassVar[Mapping[str, Input]] = {"trained": Folder(doc="the folder with the file .pt that Facemap saved")}
    Params: ClassVar[type[Params]] = FacemapModelParams
    tool: ClassVar[Tool] = FACEMAP
    compute: ClassVar[str] = "nwbpipe.processors.pose._facemap_load_compute"

    def identify_folder(self, name: str, folder: Path) -> str:
        """Return the identity of the weights."""
        files = sorted(folder.glob("*.pt"))
        if len(files) != 1:
            msg = "the folder has no weights" if not files else "the folder has several files of weights"
            listed = ", ".join(path.name for path in files) or "none"
            raise InputError(msg, where=str(folder), expected="one file .pt", found=listed)
        return identify_file(files[0]).sha256
