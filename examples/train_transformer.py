"""Train a small transformer on the spikes of several sessions at once, and hold it to what the simulation allows.

    python examples/train_transformer.py FOLDER

Three simulated sessions have other neurons, and more or fewer of them. Each neuron has an embedding of its own, each
session another one, so that one network reads all of them: the windows of a batch are of any session. It fails if the
network is far below the best decoder of single bins on the test part of a session, or decodes shuffled targets. Needs
`pip install 'nwbpipe[ml]' torch`; half a minute on two cores.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decode_speed import DECLARATION, find_best_score, simulate_session
from torch import nn

from nwbpipe.export import ml

SESSIONS = (("M1", 1, 20), ("M1", 2, 30), ("M2", 3, 40))  # subject, day, number of units
WIDTH, BINS = 32, 20
CHANGES = {"window": 2.0, "stride": 0.5, "bin": 0.1}


class Decoder(nn.Module):
    """Read a population of any size bin by bin, let the bins attend to each other, and say the speed in each."""

    def __init__(self, units: int, sessions: int) -> None:
        super().__init__()
        self.unit = nn.Embedding(units, WIDTH)
        self.session = nn.Embedding(sessions, WIDTH)
        self.position = nn.Parameter(torch.zeros(BINS, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.2, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.speed = nn.Linear(WIDTH, 1)
        nn.init.normal_(self.unit.weight, std=0.1)
        nn.init.normal_(self.session.weight, std=0.02)

    def forward(self, counts: torch.Tensor, units: torch.Tensor, mask: torch.Tensor, session: torch.Tensor) -> Any:
        """Return the speed, shape (n_windows, n_bins), of counts of shape (n_windows, n_bins, most units)."""
        embedding = self.unit(units) * mask[..., None]
        tokens = counts @ embedding + self.session(session)[:, None] + self.position
        return self.speed(self.encoder(tokens))[..., 0]


class Batches:
    """Batches of a part for the network: counts, numbers of the units, mask, number of the session, speed."""

    def __init__(self, dataset: ml.MlDataset, part: str) -> None:
        self.part, self.units = dataset.part(part), dataset.number_units("spikes")
        self.sessions = sorted(dataset.sessions)
        self.items = list(self.part)  # each window is read once, not once in each epoch

    def make(self, numbers: list[int]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the inputs of the network for some windows, and the speed."""
        batch = ml.collate([self.items[number] for number in numbers])
        counts = batch["inputs"]["spikes"]
        units = np.zeros((len(counts), counts.shape[2]), dtype=np.int64)
        mask = np.zeros(units.shape, dtype=np.float32)
        for row, name in enumerate(batch["session"]):
            own = self.units[name]
            units[row, : len(own)], mask[row, : len(own)] = own, 1
        session = np.array([self.sessions.index(name) for name in batch["session"]])
        inputs = [torch.from_numpy(array) for array in (counts, units, mask, session)]
        return inputs, torch.from_numpy(batch["targets"]["speed"][..., 0])


def train(dataset: ml.MlDataset, epochs: int, *, shuffle: bool = False, seed: int = 0) -> dict[str, float]:
    """Train on the training part; return R² on the test part of each session.

    With `shuffle` the targets of the training windows are exchanged: what is decoded then has leaked.
    """
    torch.manual_seed(seed)
    batches, random = Batches(dataset, "train"), np.random.default_rng(seed)
    others = random.permutation(len(batches.items)) if shuffle else np.arange(len(batches.items))
    targets = torch.stack([torch.from_numpy(batches.items[row]["targets"]["speed"][:, 0]) for row in others])
    count = sum(len(units) for units in batches.units.values())
    network = Decoder(count, len(batches.sessions))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = epochs * -(-len(batches.items) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    network.train()
    for epoch in range(epochs):
        sampler = list(ml.WindowSampler(batches.part, seed=seed + epoch))
        for first in range(0, len(sampler), 32):
            numbers = sampler[first : first + 32]
            inputs, _ = batches.make(numbers)
            loss = nn.functional.mse_loss(network(*inputs), targets[numbers])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    scores = {}
    with torch.no_grad():
        test = Batches(dataset, "test")
        for session in test.sessions:
            numbers = [row for row, item in enumerate(test.items) if item["session"] == session]
            inputs, speed = test.make(numbers)
            residual = ((network(*inputs) - speed) ** 2).sum()
            scores[session] = float(1 - residual / ((speed - speed.mean()) ** 2).sum())
    return scores


def main(folder: Path, seconds: float = 240.0, epochs: int = 40) -> dict[str, tuple[float, float, float]]:
    """Return R² of the network, of the best decoder of single bins, and of shuffled targets, for each session."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        simulate_session(folder / f"{subject}_{day}.nwb", subject, day, seconds, units=units)
        for subject, day, units in SESSIONS
    ]
    declaration = {**DECLARATION, "dataset": {**DECLARATION["dataset"], **CHANGES}}
    dataset = ml.open_dataset(files, declaration)
    ml.assert_no_leakage(dataset)
    found, chance = train(dataset, epochs), train(dataset, epochs // 2, shuffle=True)
    scores = {name: (found[name], find_best_score(dataset, name), chance[name]) for name in found}
    for name, values in scores.items():
        print("{}: R² {:.2f}, of single bins {:.2f} at most, shuffled {:.2f}".format(name, *values))
    return scores


def is_right(found: float, best: float, chance: float) -> bool:
    """Return True if a score is near that of the best decoder of single bins, and shuffled targets are at chance."""
    return found > 0.85 * best and chance < 0.1


if __name__ == "__main__":
    if not all(is_right(*scores) for scores in main(Path(sys.argv[1])).values()):
        sys.exit("the network is far below the best decoder, or decodes shuffled targets")
