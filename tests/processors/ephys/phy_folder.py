"""Folders of a finished sorting, as Kilosort and Phy leave them."""

from pathlib import Path

import numpy as np

from tests.processors.ephys import recording as rec

#: Spikes of the clusters 0 to 3 on 4 channels, 2 s at `rec.RATE`.
COUNTS = {0: 40, 1: 30, 2: 20, 5: 10}


def write_phy(folder: Path, counts=None, *, channels=4, samples=50_000, rate=rec.RATE, **tables) -> Path:
    """Write a folder; `tables` are the texts of ``cluster_<name>.tsv``."""
    counts = COUNTS if counts is None else counts
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    clusters = np.repeat(list(counts), list(counts.values())).astype("int32")
    times = np.sort(rng.choice(samples, len(clusters), replace=False)).astype("uint64")
    rng.shuffle(clusters)
    np.save(folder / "spike_times.npy", times[:, None])
    np.save(folder / "spike_clusters.npy", clusters)
    names = list(counts)
    np.save(folder / "spike_templates.npy", np.array([names.index(cluster) for cluster in clusters], "uint32"))
    templates = np.zeros((len(names), 10, channels), "float32")
    for number in range(len(names)):
        templates[number, 5, number % channels] = -10.0
    np.save(folder / "templates.npy", templates)
    np.save(folder / "channel_map.npy", np.arange(channels, dtype="int32")[:, None])
    lines = [
        "dat_path = r'/somewhere/of/mine/recording.dat'",
        f"n_channels_dat = {channels}",
        "dtype = 'int16'",
        "offset = 0",
        f"sample_rate = {rate}",
        "hp_filtered = True",
    ]
    (folder / "params.py").write_text("\n".join(lines) + "\n")
    for name, text in tables.items():
        (folder / f"cluster_{name}.tsv").write_text(text)
    return folder


def table(column: str, **labels: str) -> str:
    """The text of a table; `labels` are by ``c<cluster>``."""
    rows = [f"{key.removeprefix('c')}\t{label}" for key, label in labels.items()]
    return "\n".join([f"cluster_id\t{column}", *rows]) + "\n"
