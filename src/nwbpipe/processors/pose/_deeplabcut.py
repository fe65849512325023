"""The processor ``deeplabcut``: keypoints in a video, by a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Results
from nwbpipe.processors._project_scope import Artefact
from nwbpipe.processors.pose._deeplabcut_train import DEEPLABCUT
from nwbpipe.processors.pose._poses import VIDEO, PoseParams, PoseProcessor


class DeepLabCutParams(PoseParams):
    """Parameters of ``deeplabcut``."""


class DeepLabCut(PoseProcessor):
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
    software: ClassVar[str] = "DeepLabCut"
    confidence: ClassVar[str] = "Likelihood as predicted: the peak of DeepLabCut's score map, 0 to 1"
    inputs: ClassVar[Mapping[str, Input]] = {
        "video": VIDEO,
        "model": Artefact("deeplabcut_train", "deeplabcut_model", doc="the trained network"),
    }
    Params: ClassVar[type[Params]] = DeepLabCutParams
    tool: ClassVar[Tool] = DEEPLABCUT
    compute: ClassVar[str] = "nwbpipe.processors.pose._deeplabcut_compute"

    def describe_model(self, results: Results, context: Context) -> str:
        """Return the backbone and the snapshot."""
        return f"backbone {results.summary['backbone']}, {results.summary['snapshot']}"
