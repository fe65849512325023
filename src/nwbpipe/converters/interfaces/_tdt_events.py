"""Events of a TDT block; on request without the block's ``.tev``, which holds its signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuroconv.datainterfaces import TDTEventsInterface as _Events
from pydantic import DirectoryPath

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._guards_files import guard_tdt
from nwbpipe.foreign import lend_folder


@interface(extra="photometry", guard=guard_tdt)
class TDTEventsInterface(_Events):  # type: ignore[misc]  # NeuroConv is untyped
    """Epocs of a TDT block (NeuroConv's `TDTEventsInterface`), whole or without its signals.

    Parameters
    ----------
    folder_path : DirectoryPath
        The block's folder.
    exclude_events : list of str, optional
        Epocs to leave out.
    without_signal : bool
        Read the events of a block that has lost its ``.tev``: they are in the ``.tsq``. Otherwise such a block is
        refused.
    metadata_key : str, optional
        Key of the events' metadata.
    verbose : bool
        Not used.
    """

    def __init__(
        self,
        folder_path: DirectoryPath,
        *,
        exclude_events: list[str] | None = None,
        without_signal: bool = False,
        metadata_key: str | None = None,
        verbose: bool = False,
    ) -> None:
        self._without_signal = without_signal
        super().__init__(
            folder_path=folder_path, exclude_events=exclude_events, metadata_key=metadata_key, verbose=verbose
        )

    def load(self, *args: Any, **options: Any) -> Any:
        """Read the block, from a folder of links with an empty ``.tev`` where it is missing.

        Parameters
        ----------
        *args, **options
            As NeuroConv's.
        """
        folder = Path(self.source_data["folder_path"])
        indices = sorted(folder.glob("*.tsq"))
        if not self._without_signal or len(indices) != 1 or indices[0].with_suffix(".tev").exists():
            return super().load(*args, **options)
        with lend_folder() as temporary:
            copy = temporary / folder.name
            copy.mkdir()
            for entry in folder.iterdir():
                if entry.is_file():
                    (copy / entry.name).symlink_to(entry.resolve())
            (copy / indices[0].with_suffix(".tev").name).touch()
            self.source_data["folder_path"] = str(copy)
            try:
                return super().load(*args, **options)
            finally:
                self.source_data["folder_path"] = str(folder)
