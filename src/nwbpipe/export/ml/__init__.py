"""Data sets for machine learning: windows of many sessions, in parts that share nothing."""

from nwbpipe.export.ml._batches import WindowSampler, collate, make_loader
from nwbpipe.export.ml._dataset import MlDataset, PartOfDataset, Window
from nwbpipe.export.ml._declaration import Declaration, load_declaration
from nwbpipe.export.ml._export import export_dataset, load_dataset, open_dataset
from nwbpipe.export.ml._leakage import assert_no_leakage
from nwbpipe.export.ml._pairs import PairDataset, collate_pairs, draw_pairs, export_pairs

__all__ = [
    "Declaration",
    "MlDataset",
    "PairDataset",
    "PartOfDataset",
    "Window",
    "WindowSampler",
    "assert_no_leakage",
    "collate",
    "collate_pairs",
    "draw_pairs",
    "export_dataset",
    "export_pairs",
    "load_dataset",
    "load_declaration",
    "make_loader",
    "open_dataset",
]
