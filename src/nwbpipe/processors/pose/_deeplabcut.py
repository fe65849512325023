"""The processor ``deeplabcut``: keypoints in a video, by a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._project_scope import Artefact
from nwbpipe.processors.pose._deeplabcut_train import DEEPLABCUT
from nwbpipe.processors.pose._poses import PoseParams, prepare_poses, write_poses

if TYPE_CHECKING:
    from pynwb import NWBFile

_CONFIDENCE = "Likelihood as predicted: the peak of DeepLabCut's score map, 0 to 1"


class DeepLabCutParams(PoseParams):
    """Parameters of ``deeplabcut``."""


class DeepLabCut(Processor):
    """Keypoints of one animal in each frame of a video, with DeepLabCut.

    The video is an `ImageSeries`: of external files, one after the other, or with its frames in the NWB file (frames,
    height, width, and 3 for RGB). Its number of frames must be the series'. The model is one of ``deeplabcut_train``,
    or one that ``deeplabcut_model`` took from DeepLabCut. A position is where the network's score is highest, however
    low that is: the likelihood is written as predicted, and nothing is masked.

    Results, in the module ``behavior``: ``PoseEstimation_<step>`` with a `PoseEstimationSeries` for each keypoint, at
    the times of the video's own frames, linked to the video and its camera; ``Skeletons_<step>``.

    References
    ----------
    Mathis et al. (2018), "DeepLabCut: markerless pose estimation of user-defined body parts with deep learning",
    Nature Neuroscience 21.
    """

    name: ClassVar[str] = "deeplabcut"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("PoseEstimation", "Skeletons")
    inputs: ClassVar[Mapping[str, Input]] = {
        "video": Input("ImageSeries", but_not=("TwoPhotonSeries", "OnePhotonSeries"), doc="the video"),
        "model": Artefact("deeplabcut_train", "deeplabcut_model", doc="the trained network"),
    }
    Params: ClassVar[type[Params]] = DeepLabCutParams
    tool: ClassVar[Tool] = DEEPLABCUT
    compute: ClassVar[str] = "nwbpipe.processors.pose._deeplabcut_compute"
    tolerance: ClassVar[float] = 1e-3
    streams_media: ClassVar[bool] = True

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the video and the model; return the number of frames, where each file starts, and the keypoints."""
        return prepare_poses(nwbfile, context)

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the keypoints at the times of the video."""
        summary = results.summary
        text = f"backbone {summary['backbone']}, {summary['snapshot']}"
        write_poses(nwbfile, results, context, software="DeepLabCut", model=text, confidence=_CONFIDENCE)
