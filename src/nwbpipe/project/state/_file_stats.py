"""Read the stats of local files, and the tags of remote files from one listing, to see if they changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from nwbpipe.files import exists_now
from nwbpipe.project.state._index import Stat, Stats, are_final, are_settled, read_local_stat
from nwbpipe.stores import Store, StoreEntry, Stores, is_junk, is_remote, open_location


class FileStats:
    """The stats of a project's files, local and remote.

    Remote files are listed, not requested one by one: complete stores, or only the folders of the files (to look at
    a single session). A listing is kept until the next `refresh`.

    Parameters
    ----------
    stores : Stores
        The stores of the project.
    """

    def __init__(self, stores: Stores) -> None:
        roots = [store for name in stores for store in stores.roots(name) if is_remote(store.root)]
        self._remote = sorted(roots, key=lambda store: -len(store.root))  # inner stores before outer ones
        self._whole = False
        self._listed: dict[tuple[str, str], dict[str, StoreEntry]] = {}

    def refresh(self, *, whole_stores: bool) -> None:
        """Drop all listings.

        Parameters
        ----------
        whole_stores : bool
            List complete stores from now on, because many of their files will be needed.
        """
        self._whole = whole_stores
        self._listed.clear()

    def stat(self, location: Path | str) -> Stat | None:
        """Return the stat of a local file, or tag and size of a remote file; None if it is missing.

        Raises
        ------
        FileAccessError
            A store can't be reached.
        """
        if not is_remote(location):
            return read_local_stat(location)
        store, path = self._find(str(location))
        entry = self._list_folder(store, path.rpartition("/")[0]).get(path)
        return None if entry is None else (entry.tag, entry.size)

    def stats(self, locations: Iterable[Path | str]) -> dict[str, Stat | None]:
        """Return the same for several files."""
        return {str(location): self.stat(location) for location in locations}

    def look(self, locations: Iterable[Path | str]) -> FirstLook:
        """Look at files that are read next, to know later whether what they hold may be kept under their stats."""
        return FirstLook(self, locations)

    def read_size(self, location: Path | str) -> int:
        """Return the size of a file in bytes; 0 if it is missing."""
        stat = self.stat(location)
        return 0 if stat is None else int(stat[1] if is_remote(location) else stat[2])

    def exists(self, location: Path | str) -> bool:
        """Return True if there is a file, or a folder that is not empty."""
        if not is_remote(location):
            return exists_now(location)
        return self.stat(location) is not None or bool(self.list_below(location))

    def list_below(self, location: Path | str) -> list[str]:
        """Return all files below a folder but junk, and for a local folder also its folders; sorted."""
        if not is_remote(location):
            paths = Path(location).rglob("*") if Path(location).is_dir() else ()
            return sorted(str(path) for path in paths if not _is_below_junk(path.relative_to(location)))
        store, folder = self._find(str(location))
        start = f"{folder}/" if folder else ""
        below = [path for path in self._list_folder(store, folder) if path.startswith(start)]
        return sorted(store.location(path) for path in below if not _is_below_junk(PurePosixPath(path[len(start) :])))

    def list_entries(self, store: Store, folder: str = "") -> Iterator[StoreEntry]:
        """Yield the entries of a remote store below a folder."""
        return iter(self._list_folder(store, folder).values())

    def _find(self, url: str) -> tuple[Store, str]:
        for store in self._remote:
            if f"{url}/".startswith(f"{store.root}/"):
                return store, url[len(store.root) + 1 :]
        return open_location(url)

    def _list_folder(self, store: Store, folder: str) -> dict[str, StoreEntry]:
        asked = "" if self._whole and store in self._remote else folder
        listed_folder = PurePosixPath(asked)
        for above in (listed_folder, *listed_folder.parents):  # a folder's listing includes the folders below it
            listing = self._listed.get((store.root, str(above)))
            if listing is not None:
                return listing
        listing = {entry.path: entry for entry in store.list(asked)}
        self._listed[store.root, str(listed_folder)] = listing
        return listing


class FirstLook:
    """The stats of files before they are read."""

    def __init__(self, file_stats: FileStats, locations: Iterable[Path | str]) -> None:
        self._file_stats = file_stats
        self._stats = file_stats.stats(locations)
        self._are_final = are_final(self._stats)

    def finish(self, locations: Iterable[Path | str]) -> Stats | None:
        """Return the stats of all files that were read since; None if a change of one may have left its stat.

        Those of the first look are as they were then; others, which were found by reading, have been at rest.
        """
        stats = self._file_stats.stats(locations)
        new_stats = {name: stat for name, stat in stats.items() if name not in self._stats}
        is_same = self._file_stats.stats(self._stats) == self._stats
        return stats if is_same and self._are_final and are_settled(new_stats) else None


def _is_below_junk(path: PurePath) -> bool:
    return any(is_junk(part) for part in path.parts)
