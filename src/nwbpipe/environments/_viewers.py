"""Tools that a person looks at session files with; no processor runs them."""

from __future__ import annotations

from nwbpipe.environments._tool import Tool

#: NWB Widgets, shown in a browser by Voila. Its last release, of 2023, imports what setuptools 81 and zarr 3 lack.
NWBWIDGETS = Tool(
    "nwbwidgets",
    (
        "nwbwidgets>=0.11.3,<0.12",
        "pynwb>=4.2,<5",
        "zarr>=2.18,<3",
        "setuptools<81",
        "ipython_genutils>=0.2",
        "ipykernel>=6",
        "voila>=0.5.13,<0.6",
    ),
    python=">=3.11,<3.13",
    licence="BSD-3-Clause",
    module="voila",  # nwbwidgets itself is imported after corrections, by `nwbpipe inspect` alone
    preload=None,
)
