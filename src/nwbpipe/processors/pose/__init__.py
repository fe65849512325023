"""Processors of pose: keypoints in videos, and their filter."""

from nwbpipe.processors.pose._deeplabcut import DeepLabCut, DeepLabCutParams
from nwbpipe.processors.pose._deeplabcut_load import DeepLabCutModel, DeepLabCutModelParams
from nwbpipe.processors.pose._deeplabcut_train import DeepLabCutTrain, DeepLabCutTrainParams
from nwbpipe.processors.pose._facemap_keypoints import FacemapKeypoints, FacemapKeypointsParams
from nwbpipe.processors.pose._facemap_load import FacemapModel, FacemapModelParams
from nwbpipe.processors.pose._facemap_train import FacemapTrain, FacemapTrainParams
from nwbpipe.processors.pose._labeled_video import LabeledVideo, LabeledVideoParams
from nwbpipe.processors.pose._pose_filter import PoseFilter, PoseFilterParams

__all__ = [
    "DeepLabCut",
    "DeepLabCutModel",
    "DeepLabCutModelParams",
    "DeepLabCutParams",
    "DeepLabCutTrain",
    "DeepLabCutTrainParams",
    "FacemapKeypoints",
    "FacemapKeypointsParams",
    "FacemapModel",
    "FacemapModelParams",
    "FacemapTrain",
    "FacemapTrainParams",
    "LabeledVideo",
    "LabeledVideoParams",
    "PoseFilter",
    "PoseFilterParams",
]
