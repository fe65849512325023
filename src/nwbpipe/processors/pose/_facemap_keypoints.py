"""The processor ``facemap_keypoints``: keypoints of the face in a video, by Facemap's network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._project_scope import Artefact
from nwbpipe.processors.face import FACEMAP
from nwbpipe.processors.pose._models import read_model
from nwbpipe.processors.pose._poses import PoseParams, prepare_poses, write_poses

if TYPE_CHECKING:
    from pynwb import NWBFile

_CONFIDENCE = "Likelihood as predicted: the sigmoid of the peak of Facemap's heat map, 0.5 to 1"


class FacemapKeypointsParams(PoseParams):
    """Parameters of ``facemap_keypoints``."""


class FacemapKeypoints(Processor):
    """Keypoints of a face in each frame of a video, with Facemap.

    The video is an `ImageSeries`, as for ``deeplabcut``; the model is what ``facemap_train`` made. Frames are shown
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
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("PoseEstimation", "Skeletons")
    inputs: ClassVar[Mapping[str, Input]] = {
        "video": Input("ImageSeries", but_not=("TwoPhotonSeries", "OnePhotonSeries"), doc="the video"),
        "model": Artefact("facemap_train", doc="the trained network"),
    }
    Params: ClassVar[type[Params]] = FacemapKeypointsParams
    tool: ClassVar[Tool] = FACEMAP
    compute: ClassVar[str] = "nwbpipe.processors.pose._facemap_keypoints_compute"
    tolerance: ClassVar[float] = 1e-3

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the video and the model; return the number of frames, the keypoints, and the network's channels."""
        model = read_model(Path(context.inputs["model"].folder))
        return {**prepare_poses(nwbfile, context), "channels": model["channels"]}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the keypoints at the times of the video."""
        channels = ", ".join(map(str, context.facts["channels"]))
        text = f"network with {channels} channels"
        write_poses(nwbfile, results, context, software="Facemap", model=text, confidence=_CONFIDENCE)
