"""Processors of pose: keypoints in videos."""

from nwbpipe.processors.pose._deeplabcut import DeepLabCut, DeepLabCutParams
from nwbpipe.processors.pose._deeplabcut_load import DeepLabCutModel, DeepLabCutModelParams
from nwbpipe.processors.pose._deeplabcut_train import DeepLabCutTrain, DeepLabCutTrainParams
from nwbpipe.processors.pose._facemap_keypoints import FacemapKeypoints, FacemapKeypointsParams
from nwbpipe.processors.pose._facemap_train import FacemapTrain, FacemapTrainParams

__all__ = [
    "DeepLabCut",
    "DeepLabCutModel",
    "DeepLabCutModelParams",
    "DeepLabCutParams",
    "DeepLabCutTrain",
    "DeepLabCutTrainParams",
    "FacemapKeypoints",
    "FacemapKeypointsParams",
    "FacemapTrain",
    "FacemapTrainParams",
]
