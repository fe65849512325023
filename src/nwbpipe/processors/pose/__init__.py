"""Processors of pose: keypoints in videos."""

from nwbpipe.processors.pose._deeplabcut import DeepLabCut, DeepLabCutParams
from nwbpipe.processors.pose._deeplabcut_train import DeepLabCutTrain, DeepLabCutTrainParams

__all__ = ["DeepLabCut", "DeepLabCutParams", "DeepLabCutTrain", "DeepLabCutTrainParams"]
