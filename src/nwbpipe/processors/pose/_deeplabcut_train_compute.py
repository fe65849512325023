"""Train a DeepLabCut network on the labelled frames of a project (compute module: see `nwbpipe.processors`).

DeepLabCut 3 works in a project of its own making: one is built in scratch, of the labels that the request has and of
copies of the images. The project itself is read only. Its HDF5 files of labels are not opened: pandas would unpickle
what is in them.
"""

from __future__ import annotations

import copy
import csv
import logging
import re
import shutil
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._deeplabcut_animals import count_missed, mark_absent, match_animals
from ._deeplabcut_checkpoint import (
    choose_snapshots,
    find_checkpoint,
    keep_checkpoint,
    read_weights,
    restore_curve,
)
from ._deeplabcut_files import describe_project, make_label_columns
from ._deeplabcut_model import NETWORKS, choose_device, describe_backbone, format_yaml, read_snapshot
from ._labelled_images import gather_frames, name_points, store_labels
from ._training import check_labels, draw_learning_curve, measure_errors, split_frames

Progress = Callable[[float, str], None]

_PROJECT, _SHUFFLE = "project", 1
_BEFORE, _AFTER = 0.05, 0.92  # fractions of the work when training starts and ends


def build_project(folder: Path, facts: dict[str, Any]) -> Path:
    """Write a project with the labels and copies of the images; return its config.yaml."""
    import pandas as pd
    import yaml
    from PIL import Image

    shutil.rmtree(str(folder), ignore_errors=True)
    columns = make_label_columns("nwbpipe", facts["bodyparts"], facts["individuals"])
    for video in sorted({frame["name"].split("/")[0] for frame in facts["frames"]}):
        frames = [frame for frame in facts["frames"] if frame["name"].split("/")[0] == video]
        labels = folder / "labeled-data" / video
        labels.mkdir(parents=True)
        for frame in frames:
            name = frame["name"].split("/")[1]
            with Image.open(frame["file"]) as image:
                width, height = image.size
            check_labels(frame, name_points(facts), width, height)
            shutil.copyfile(frame["file"], str(labels / name))
        index = pd.MultiIndex.from_tuples([("labeled-data", *frame["name"].split("/")) for frame in frames])
        points = np.array([frame["points"] for frame in frames], dtype=float).reshape(len(frames), -1)
        table = pd.DataFrame(points, index=index, columns=columns)
        table.to_hdf(str(labels / "CollectedData_nwbpipe.h5"), key="df_with_missing", mode="w")
    videos = sorted(path.name for path in (folder / "labeled-data").iterdir())
    sets = {str(folder / "videos" / (name + ".avi")): {"crop": "0, 1, 0, 1"} for name in videos}
    config = describe_project(
        "nwbpipe", "nwbpipe", str(folder), sets, facts["bodyparts"], facts["skeleton"], facts["individuals"]
    )
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def configure(config: dict[str, Any], params: dict[str, Any], seed: int) -> None:
    """Set the network and how it is trained in DeepLabCut's model configuration."""
    network = NETWORKS[params["network"]]
    if network.channels:
        config["model"]["backbone"].update(model_name=network.backbone, output_stride=16)
        config["model"]["backbone_output_channels"] = network.channels
        head = config["model"]["heads"]["bodypart"]
        for part in ("heatmap_config", "locref_config", "paf_config"):  # the last one where there are several animals
            if part in head:
                head[part]["channels"][0] = network.channels
    epochs = params["epochs"]
    train, data = config["train_settings"], config["data"]
    train.update(epochs=epochs, batch_size=params["batch_size"], seed=seed % 2**32, dataloader_workers=0)
    train["display_iters"] = 10**6
    runner = config["runner"]
    runner["eval_interval"] = min(params["evaluate_every"], epochs)
    runner["snapshots"].update(save_epochs=runner["eval_interval"], max_snapshots=2, save_optimizer_state=True)
    runner["optimizer"]["params"]["lr"] = params["learning_rate"]
    # DeepLabCut's milestones assume 200 epochs. Here the rate falls after two thirds of them, and near the end.
    steps = sorted({max(1, round(epochs * 0.66)), max(1, round(epochs * 0.87))})
    rates = [[params["learning_rate"] * factor] for factor in (0.2, 0.05)][: len(steps)]
    runner["scheduler"] = {"type": "LRListScheduler", "params": {"lr_list": rates, "milestones": steps}}
    if params["crop"]:
        data["train"].setdefault("crop_sampling", {"max_shift": 0.4, "method": "hybrid"})
        data["train"]["crop_sampling"].update(width=params["crop"][0], height=params["crop"][1])
    if params["resize"]:
        for mode in ("train", "inference"):
            data[mode]["resize"] = {"width": params["resize"][0], "height": params["resize"][1], "keep_ratio": True}
    if not params["augment"]:
        kept = ("normalize_images", "resize", "crop_sampling", "auto_padding", "collate")
        for name in [name for name in data["train"] if name not in kept]:
            data["train"][name] = False


def write_initial_weights(path: Path, config: dict[str, Any], request: dict[str, Any]) -> str:
    """Write the weights that training starts from; return their source in words."""
    import torch
    from deeplabcut.pose_estimation_pytorch.models import PoseModel

    params = request["params"]
    torch.manual_seed(int(request["seed"]))
    model = PoseModel.build(copy.deepcopy(config["model"]), weight_init=None, pretrained_backbone=False)
    source = "random numbers"
    weights = request["inputs"].get("weights")
    if weights:
        snapshot = read_snapshot(Path(weights["folder"]))
        state = torch.load(str(snapshot), map_location="cpu", weights_only=True)["model"]
        own = model.state_dict()
        other = sorted(name for name in own if name not in state or state[name].shape != own[name].shape)
        if any(name.startswith("backbone.") for name in other):
            raise ValueError("the weights are of another network than %s: %s differs" % (params["network"], other[0]))
        model.load_state_dict({name: value for name, value in state.items() if name not in other}, strict=False)
        source = "earlier weights" + (", its head from random numbers: other keypoints" if other else "")
    elif params["start"] == "imagenet":
        from safetensors.torch import load_file

        file = Path(request["tool"]["weights"]) / NETWORKS[params["network"]].weights
        state = load_file(str(file))
        own = model.backbone.model.state_dict()
        missing = sorted(name for name in own if name not in state or state[name].shape != own[name].shape)
        if missing:
            raise ValueError("%s is not of %s: it lacks %s" % (file.name, params["network"], missing[0]))
        model.backbone.model.load_state_dict({name: state[name] for name in own})
        source = "ImageNet, " + file.name
    torch.save({"model": model.state_dict(), "metadata": {"epoch": 0}}, str(path))
    return source


class FollowEpochs(logging.Filter):
    """Turns DeepLabCut's line for each epoch into progress, and then keeps what was trained.

    A filter that lets everything pass: DeepLabCut removes the handlers of others.
    """

    def __init__(self, progress: Progress, keep: Callable[[], None]) -> None:
        super().__init__()
        self.progress, self.keep = progress, keep

    def filter(self, record: logging.LogRecord) -> bool:
        """Show the epoch and its loss."""
        match = re.match(r"Epoch (\d+)/(\d+) .*?train loss ([0-9.]+)", record.getMessage())
        if match:
            part = int(match.group(1)) / int(match.group(2))
            text = "epoch %s of %s, loss %s" % match.groups()
            self.progress(_BEFORE + (_AFTER - _BEFORE) * part, text)
            self.keep()
        return True


def evaluate_model(
    loader: Any, config: Any, snapshot: Path, facts: dict[str, Any], cutoff: float, device: str
) -> dict[str, Any]:
    """Return the errors on the frames of training and of the test, with DeepLabCut's mAP."""
    from deeplabcut.pose_estimation_pytorch.apis.evaluation import evaluate
    from deeplabcut.pose_estimation_pytorch.apis.utils import get_pose_inference_runner

    animals, parts = len(facts["individuals"]) or 1, len(facts["bodyparts"])
    by_name = {
        frame["name"]: np.array(frame["points"], dtype=float).reshape(animals, parts, 2) for frame in facts["frames"]
    }
    runner = get_pose_inference_runner(config, str(snapshot), batch_size=1, device=device, max_individuals=animals)
    evaluation = {}
    for mode in ("train", "test"):
        scores, predictions = evaluate(runner, loader, mode=mode, pcutoff=cutoff)
        names = ["/".join(Path(path).parts[-2:]) for path in predictions]
        labels = [by_name[name] for name in names]
        predicted = [item["bodyparts"][..., :3] for item in predictions.values()]
        missed = {}
        if facts["individuals"]:
            predicted = [match_animals(mark_absent(pose), points) for pose, points in zip(predicted, labels)]
            missed = {"missed": count_missed(np.stack(predicted), np.stack(labels))}
        together = np.concatenate([pose[:animals] for pose in predicted]), np.concatenate(labels)
        errors = measure_errors(*together, facts["bodyparts"], cutoff)
        errors["mAP"], errors["mAR"] = (round(float(scores[name]), 3) for name in ("mAP", "mAR"))
        evaluation[mode] = {"frames": names, **missed, **errors}
    return evaluation


def read_learning_curve(path: Path) -> list[dict[str, float]]:
    """Return DeepLabCut's learning statistics: a row for each epoch, with the numbers that it has."""
    names = {
        "step": "epoch",
        "losses/train.total_loss": "train_loss",
        "losses/eval.total_loss": "test_loss",
        "metrics/test.rmse": "test_rmse",
        "metrics/test.mAP": "test_mAP",
    }
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(row[key]) for key, name in names.items() if row.get(key)} for row in rows]


def describe_start(notes: dict[str, Any]) -> str:
    """Return in words what training goes on from."""
    return "epoch %d of an earlier try" % notes["resumed_at"][-1] if notes["resumed_at"] else notes["started_from"]


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Train and evaluate a network; leave the artefact's files in `results`."""
    params, scratch = request["params"], Path(request["scratch"])
    source, made_in = request["inputs"].get("project", {}).get("folder"), request["facts"].get("project_path")
    if source != made_in:
        print("config.yaml says project_path: %s; the project was read from %s" % (made_in, source))
    facts = gather_frames(request)
    train, test = split_frames(facts, params, int(request["seed"]))
    progress(0.0, "starting DeepLabCut")
    import deeplabcut
    import torch
    from deeplabcut.pose_estimation_pytorch.data.dlcloader import DLCLoader
    from deeplabcut.utils import auxiliaryfunctions

    torch.set_num_threads(max(1, int(request["threads"])))
    device = choose_device()
    project = build_project(scratch / _PROJECT, facts)
    progress(0.02, "%d frames to train on, %d to test on" % (len(train), len(test)))
    network = NETWORKS[params["network"]]
    deeplabcut.create_training_dataset(
        str(project),
        Shuffles=[_SHUFFLE],
        trainIndices=[train],
        testIndices=[test],
        net_type=network.net_type,
        userfeedback=False,
    )
    # DeepLabCut names the set by the fraction of the split: read what it wrote.
    config_path = next((scratch / _PROJECT / "dlc-models-pytorch").rglob("pytorch_config.yaml"))
    fraction = int(config_path.parent.parent.name.partition("trainset")[2].partition("shuffle")[0]) / 100
    auxiliaryfunctions.edit_config(str(project), {"TrainingFraction": [fraction]})
    config = auxiliaryfunctions.read_plainconfig(str(config_path))
    configure(config, params, int(request["seed"]))
    auxiliaryfunctions.write_plainconfig(str(config_path), config)
    trained, stages, start = config_path.parent, scratch / "stages", scratch / "start.pt"
    checkpoint = find_checkpoint(stages)
    if checkpoint is None:
        notes: dict[str, Any] = {"started_from": write_initial_weights(start, config, request), "resumed_at": []}
    else:
        start, notes = checkpoint.folder / "newest.pt", checkpoint.notes
        notes["resumed_at"].append(checkpoint.epoch)
        restore_curve(checkpoint, trained)
    first = checkpoint.epoch if checkpoint else 0
    progress(_BEFORE, "training %s on %s, from %s" % (params["network"], device, describe_start(notes)))
    follow = FollowEpochs(progress, lambda: keep_checkpoint(trained, stages, notes))
    logging.getLogger().addFilter(follow)
    deeplabcut.train_network(
        str(project), shuffle=_SHUFFLE, device=device, snapshot_path=str(start), epochs=params["epochs"] - first
    )
    logging.getLogger().removeFilter(follow)
    progress(_AFTER, "evaluating")
    curve = read_learning_curve(trained / "learning_stats.csv")
    snapshots = choose_snapshots(trained, checkpoint, curve)
    loader = DLCLoader(str(project), shuffle=_SHUFFLE)
    frames = {mode: ["/".join(Path(name).parts[-2:]) for name in loader.image_filenames(mode)] for mode in ("test",)}
    wanted = sorted(facts["frames"][index]["name"] for index in test)
    if sorted(frames["test"]) != wanted:
        raise RuntimeError("DeepLabCut tests on other frames than those that were asked for")
    evaluation = evaluate_model(loader, config_path, snapshots["best"], facts, params["likelihood_cutoff"], device)
    config["metadata"].update(project_path="", pose_config_path="")
    files = {
        "pytorch_config.yaml": format_yaml(config),
        "snapshot-best.pt": read_weights(snapshots["best"]),
        "snapshot-last.pt": read_weights(snapshots["last"]),
        "learning_curve.png": draw_learning_curve(curve),
    }
    for name, content in files.items():
        results["files/" + name] = np.frombuffer(content, dtype=np.uint8)
    store_labels(results, facts)
    progress(1.0, "test error %.2f px" % evaluation["test"]["all"]["mean"])
    return {
        "network": params["network"],
        "backbone": describe_backbone(config),
        "device": device,
        **notes,
        "best_epoch": snapshots["best_epoch"],
        "evaluation": evaluation,
        "learning_curve": curve,
        "deeplabcut": str(deeplabcut.__version__),
    }
