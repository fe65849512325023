"""The processor ``deeplabcut_train``: a network for pose, from the labelled frames of a DeepLabCut project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from nwbpipe.environments import Tool, Weights
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Input, Params
from nwbpipe.processors._project_scope import Folder
from nwbpipe.processors.pose._deeplabcut_model import NETWORKS, read_snapshot
from nwbpipe.processors.pose._train import LABELLED, TrainParams, TrainProcessor

Network = Literal[
    "resnet10t", "resnet18", "resnet34", "resnet_50", "resnet_101", "hrnet_w18", "hrnet_w32", "hrnet_w48"
]
Size = tuple[int, int]

DEEPLABCUT = Tool(
    name="deeplabcut",
    requirements=("deeplabcut>=3.0.2,<3.1", "torch", "torchvision", "av>=14", "h5py>=3.8", "numpy"),
    python=">=3.10,<3.13",
    licence="LGPL-3.0-only",
    gpu="torch",
    preload=("deeplabcut.pose_estimation_pytorch.apis.utils",),  # its imports take longer than a short video
    weights=tuple(
        Weights(
            network.weights,
            f"https://huggingface.co/{network.hub}/resolve/main/model.safetensors (under this name)",
            needed_for=f'network = "{name}" with start = "imagenet"',
            required=False,
        )
        for name, network in NETWORKS.items()
    ),
)


class DeepLabCutTrainParams(TrainParams):
    """Parameters of ``deeplabcut_train``."""

    network: Network = Field(
        "resnet_50", description="The network's backbone; resnet10t is the smallest. resnet_50 is timm's resnet50_gn."
    )
    start: Literal["random", "imagenet"] = Field(
        "random",
        description="What training starts from, unless the input `weights` is bound: random numbers, or weights "
        "learned on ImageNet, which need fewer labels. Those have to be downloaded beforehand.",
    )
    epochs: int = Field(200, ge=1, description="How often each labelled frame is shown in training.")
    learning_rate: float = Field(
        5e-4,
        gt=0,
        description="At the beginning; a fifth of it after two thirds of the epochs, a twentieth at the end.",
    )
    augment: bool = Field(
        True, description="Show frames turned, scaled, moved and with noise, as DeepLabCut does by default."
    )
    crop: Size | None = Field(
        None,
        description="Width and height of the parts of frames to train on, in pixels; by default 448 (DeepLabCut's).",
    )
    resize: Size | None = Field(
        None, description="Width and height that frames are resized to, in training and later; they keep their shape."
    )
    evaluate_every: int = Field(10, ge=1, description="Epochs between tests, of which the best gives the model.")

    @model_validator(mode="after")
    def _check_sizes(self) -> DeepLabCutTrainParams:
        for name in ("crop", "resize"):
            if (size := getattr(self, name)) is not None and min(size) < 32:
                msg = f"{name}: expected a width and a height of 32 pixels or more; found {list(size)}"
                raise ValueError(msg)
        return self


class DeepLabCutTrain(TrainProcessor):
    """A network that finds keypoints, trained with DeepLabCut on labelled frames.

    They are those of a project of DeepLabCut, of containers `PoseTraining` in session files, or of both. The project
    (``config.yaml``, ``labeled-data``) is read only, and may lie elsewhere than where it was made: videos are not
    needed. Labels are read from the ``.csv`` tables. Projects made for TensorFlow serve: labels have no engine.
    Labelled frames of sessions are taken out of their videos.

    Of a project of several animals (``multianimalproject: true``), which have the same keypoints and look alike, a
    bottom-up network is trained that finds each animal by what joins its keypoints (part affinity fields). Its errors
    are those of the predicted animals that lie nearest to the labelled ones; ``missed`` counts labelled keypoints for
    which none was found. Which animal is which is not learned: ``deeplabcut`` follows them.

    The artefact: ``model.json`` (keypoints, backbone, and the evaluation of each keypoint on the frames of training
    and of the test, in pixels of the frames), ``pytorch_config.yaml``, ``snapshot-best.pt`` (by the test's mAP),
    ``snapshot-last.pt``, ``learning_curve.csv`` and ``.png``, ``training_index.json`` (a digest of each labelled
    frame and of its labels). A training that was ended goes on from its last test (``resumed_at``).

    References
    ----------
    Mathis et al. (2018), "DeepLabCut: markerless pose estimation of user-defined body parts with deep learning",
    Nature Neuroscience 21.
    """

    name: ClassVar[str] = "deeplabcut_train"
    revision: ClassVar[int] = 1
    inputs: ClassVar[Mapping[str, Input]] = {
        **LABELLED,
        "weights": Folder(
            doc="a model to begin with: the folder `train` of a shuffle, or of an artefact", optional=True
        ),
    }
    Params: ClassVar[type[Params]] = DeepLabCutTrainParams
    tool: ClassVar[Tool] = DEEPLABCUT
    compute: ClassVar[str] = "nwbpipe.processors.pose._deeplabcut_train_compute"
    resumable: ClassVar[bool] = True
    several_animals: ClassVar[bool] = True

    def tool_for(self, params: Any) -> Tool:
        """Return DeepLabCut, with the weights that these parameters begin with."""
        return DEEPLABCUT.requiring(NETWORKS[params.network].weights) if params.start == "imagenet" else DEEPLABCUT

    def list_weights(self, folder: Path) -> list[Path]:
        """Return the best snapshot of the folder."""
        return list_weights(folder)


_SNAPSHOTS = "dlc-models-pytorch/*/*/train/snapshot-*.pt"  # of a project


def list_weights(folder: Path) -> list[Path]:
    """Return the files of a model to begin with; refuse one of TensorFlow, and a folder without weights."""
    tensorflow = next(folder.glob("snapshot-*.index"), None) or next(folder.glob("**/pose_cfg.yaml"), None)
    try:
        return [read_snapshot(folder)]
    except ValueError as error:
        if tensorflow is not None:
            msg = "the weights are of DeepLabCut with TensorFlow"
            hint = "the labels of that project can be trained anew: deeplabcut_train, inputs.project"
            raise InputError(
                msg, where=str(folder), expected="snapshot-*.pt", found=tensorflow.name, hint=hint
            ) from error
        msg = "the folder has no weights"
        trained = sorted({path.parent.relative_to(folder) for path in folder.glob(_SNAPSHOTS)})
        listed = f": {', '.join(map(str, trained[:8]))}" if trained else ""
        hint = f"name the folder `train` of a shuffle, below dlc-models-pytorch{listed}"
        raise InputError(msg, where=str(folder), expected="snapshot-*.pt", found="none", hint=hint) from error
