"""Train Facemap's network for keypoints on labelled frames (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

import io
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._deeplabcut_model import choose_device
from ._facemap_model import WEIGHTS, build_network, import_facemap, predict_frames, read_weights, to_gray
from ._labelled_images import gather_frames, store_labels
from ._training import check_labels, draw_learning_curve, measure_errors, split_frames

Progress = Callable[[float, str], None]

_BEFORE, _AFTER = 0.05, 0.95  # where the epochs lie in the progress
_BATCH = 8  # frames of a test that are shown at a time


def read_images(frames: list[dict[str, Any]], bodyparts: list[str]) -> list[np.ndarray]:
    """Return the labelled images as gray levels; refuse labels outside of them, and images of several sizes."""
    import cv2

    images: list[np.ndarray] = []
    for frame in frames:
        image = cv2.imdecode(np.fromfile(frame["file"], dtype=np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("the labelled image %s can't be read" % frame["name"])
        gray = to_gray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        check_labels(frame, bodyparts, gray.shape[1], gray.shape[0])
        if images and gray.shape != images[0].shape:
            raise ValueError(
                "the labelled images differ in size: %s is %d x %d, %s is %d x %d"
                % (frames[0]["name"], *images[0].shape[::-1], frame["name"], *gray.shape[::-1])
            )
        images.append(gray)
    return images


def load_start(network: Any, weights: dict[str, Any] | None) -> str:
    """Load the weights that training starts from; return their source in words."""
    if not weights:
        return "random numbers"
    folder = Path(weights["folder"])
    files = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(folder.glob("*.pt"))
    if len(files) != 1:
        raise ValueError("the folder %s has %d files *.pt; expected one, the weights" % (folder.name, len(files)))
    state, own = read_weights(files[0]), network.state_dict()
    other = sorted(name for name in own if name not in state or state[name].shape != own[name].shape)
    if any(not name.startswith("Conv2_1x1.") for name in other):
        raise ValueError("%s is of a network with other channels: %s differs" % (files[0].name, other[0]))
    network.load_state_dict({name: value for name, value in state.items() if name not in other}, strict=False)
    return "earlier weights" + (", its last layers from random numbers: other keypoints" if other else "")


class Teacher:
    """Trains a network by Facemap's own loop, and keeps the weights that do best on the test frames."""

    def __init__(
        self, params: dict[str, Any], images: list[np.ndarray], labels: np.ndarray, progress: Progress
    ) -> None:
        self.params, self.progress = params, progress
        self.images, self.labels = images, labels
        self.rows: list[dict[str, float]] = []
        self.best: tuple[float, int, dict[str, Any]] | None = None
        self.losses: dict[int, float] = {}
        self.facemap = import_facemap(self.end_epoch)
        self.network: Any = None
        self.test: list[int] = []

    def train(self, network: Any, train: list[int], test: list[int]) -> None:
        """Train on some frames, and test on others from time to time."""
        import torch

        params, facemap = self.params, self.facemap
        self.network, self.test = network, test
        # Facemap writes into the labels that it is given, and has y before x in the box.
        height, width = self.images[0].shape
        dataset = facemap.datasets.FacemapDataset(
            image_data=[self.images[index][None] for index in train],
            keypoints_data=self.labels[train].astype(np.float32),
            bbox=[0, height, 0, width],
            train=params["augment"],
        )
        facemap.transforms.augment_data = self.augment
        facemap.training.print = self.read_loss
        facemap.training.device = network.device
        loader = torch.utils.data.DataLoader(dataset, batch_size=params["batch_size"], shuffle=True)
        facemap.training.train(
            loader,
            network,
            params["epochs"],
            params["learning_rate"],
            params["weight_decay"],
            gui=True,  # our own window, which calls `end_epoch`
            gui_obj=True,
        )

    def augment(self, image: Any, keypoints: Any) -> Any:
        """Change the contrast of a frame, and mirror it, at random."""
        import torch

        if self.params["mirror"] and np.random.rand() > 0.5:
            image = torch.flip(image, dims=(-1,))
            keypoints[:, 0] = image.shape[-1] - 1 - keypoints[:, 0]
        if np.random.rand() > 0.5:
            image = self.facemap.helpers.randomly_adjust_contrast(image)
        return image, keypoints

    def read_loss(self, *words: Any) -> None:
        """Print what Facemap prints, and keep the loss."""
        text = " ".join(map(str, words))
        print(text, flush=True)
        match = re.match(r"Epoch (\d+): train loss ([0-9.]+)", text)
        if match:
            self.losses[int(match.group(1)) + 1] = float(match.group(2))

    def end_epoch(self) -> None:
        """Note an epoch; test the network if it is time."""
        epoch, epochs = len(self.rows) + 1, self.params["epochs"]
        row = {"epoch": float(epoch)}
        if epoch in self.losses:
            row["train_loss"] = self.losses[epoch]
        if epoch % self.params["evaluate_every"] == 0 or epoch == epochs:
            error = measure_errors(self.predict(self.test), self.labels[self.test], [], 0.0)["all"]["rmse"]
            if error is None or not np.isfinite(error):
                raise ValueError("training failed at epoch %d: the test error is not a number" % epoch)
            row["test_rmse"] = error
            if self.best is None or error < self.best[0]:
                state = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
                self.best = (error, epoch, state)
        self.rows.append(row)
        text = "epoch %d of %d" % (epoch, epochs)
        if self.best is not None:
            text += ", test error %.2f px at best" % self.best[0]
        self.progress(_BEFORE + (_AFTER - _BEFORE) * epoch / epochs, text)

    def predict(self, numbers: list[int]) -> np.ndarray:
        """Return what the network finds in some of the labelled frames."""
        import torch

        state = torch.get_rng_state(), np.random.get_state()
        parts = [
            predict_frames(
                self.facemap, self.network, [self.images[index] for index in numbers[start : start + _BATCH]]
            )
            for start in range(0, len(numbers), _BATCH)
        ]
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])
        return np.concatenate(parts)


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Train and evaluate a network; leave the artefact's files in `results`."""
    params, facts, seed = request["params"], gather_frames(request), int(request["seed"])
    bodyparts, frames = list(facts["bodyparts"]), facts["frames"]
    train, test = split_frames(facts, params, seed)
    progress(0.0, "starting Facemap")
    import torch

    torch.set_num_threads(max(1, int(request["threads"])))
    images = read_images(frames, bodyparts)
    labels = np.array([frame["points"] for frame in frames], dtype=float).reshape(len(frames), -1, 2)
    teacher = Teacher(params, images, labels, progress)
    torch.manual_seed(seed)
    device = choose_device()
    network = build_network(teacher.facemap, bodyparts, params["channels"], device)
    started_from = load_start(network, request["inputs"].get("weights"))
    progress(_BEFORE, "training on %d frames, testing on %d, from %s" % (len(train), len(test), started_from))
    teacher.train(network, train, test)
    assert teacher.best is not None
    files = {"facemap-last.pt": network.state_dict(), WEIGHTS: teacher.best[2]}
    network.load_state_dict(teacher.best[2])
    evaluation = {}
    for mode, numbers in (("train", train), ("test", test)):
        errors = measure_errors(teacher.predict(numbers), labels[numbers], bodyparts, params["likelihood_cutoff"])
        evaluation[mode] = {"frames": [frames[index]["name"] for index in numbers], **errors}
    for name, state in files.items():
        buffer = io.BytesIO()
        torch.save(state, buffer)
        results["files/" + name] = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    results["files/learning_curve.png"] = np.frombuffer(draw_learning_curve(teacher.rows), dtype=np.uint8)
    store_labels(results, facts)
    progress(1.0, "test error %.2f px" % evaluation["test"]["all"]["mean"])
    return {
        "channels": params["channels"],
        "device": device,
        "started_from": started_from,
        "best_epoch": teacher.best[1],
        "evaluation": evaluation,
        "learning_curve": teacher.rows,
        "facemap": version("facemap"),
    }
