"""The processor ``facemap_keypoints``: keypoints of the face in a video, by Facemap's network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Results
from nwbpipe.processors._project_scope import Artefact
from nwbpipe.processors.face import FACEMAP
from nwbpipe.processors.pose._models import read_model
from nwbpipe.processors.pose._poses import VIDEO, PoseParams, PoseProcessor

if TYPE_CHECKING:
    from pynwb import NWBFile


class FacemapKeypointsParams(PoseParams):
    """Parameters of ``facemap_keypoints``."""


class FacemapKeypoints(PoseProcessor):
    """Keypoints of a face in each frame of a video, with Facemap.

    The video is an `ImageSeries`, as for ``deeplabcut``; the model is one of ``facemap_train``, or
    one that ``facemap_model`` took from Facemap. Frames are shown
    to the network as in its training, each normalized by itself.

    Results, in the module ``behavior``: ``PoseEstimation_<step>`` with a `PoseEstimationSeries` for each keypoint, at
    the times of the video's own frames, linked to the video and its camera; ``Skeletons_<step>``.

    References
    ----------
    Syeda et al. (2024), "Facemap: a framework for modeling neural activity based on orofacial tracking",
    Nature Neuroscience 27.
    """

    name: ClassVar[str] = "facemap_keypoints"
    revision: ClassVar[int] = 1
    software: ClassVar[str] = "Facemap"
    confidence: ClassVar[str] = "Likelihood as predicted: the sigmoid of the peak of Facemap's heat map, 0.5 to 1"
    inputs: ClassVar[Mapping[str, Input]] = {
        "video": VIDEO,
        "model": Artefact("facemap_train", "facemap_model", doc="the trained network"),
    }
    Params: ClassVar[type[Params]] = FacemapKeypointsParams
    tool: ClassVar[Tool] = FACEMAP
    compute: ClassVar[str] = "nwbpipe.processors.pose._facemap_keypoints_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Return what any network needs, and the network's channels."""
        model = read_model(Path(context.inputs["model"].folder))
        return {**super().prepare(nwbfile, context), "channels": model["channels"]}

    def describe_model(self, results: Results, context: Context) -> str:
        """Return the network's channels."""
        return f"network with {', '.join(map(str, context.facts['channels']))} channels"
