from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.project.state import FileStats
from nwbpipe.project.state._index import are_settled
from nwbpipe.stores import FsspecStore, Stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    found = Stores({"raw": f"memory://{tmp_path.name}/raw", "nwb": str(tmp_path)}, base=tmp_path)
    for name in ("m1/a.bin", "m1/deep/b.bin", "m10/c.bin"):
        found["raw"].write_bytes(name, name.encode())
    return found


@pytest.mark.parametrize("whole", [True, False])
def test_files_elsewhere_are_known_by_tag_and_size(stores: Stores, whole: bool) -> None:
    raw = stores["raw"]
    looks = FileStats(stores)
    looks.refresh(whole_stores=whole)
    place = raw.location("m1/a.bin")
    entry = raw.stat("m1/a.bin")
    assert looks.stat(place) == (entry.tag, entry.size)
    assert looks.read_size(place) == 8
    assert are_settled(looks.stats([place]))  # a tag tells any change
    assert looks.stat(raw.location("m1/none.bin")) is None
    assert looks.stat(raw.location("m1")) is None
    assert looks.list_below(raw.location("m1")) == [place, raw.location("m1/deep/b.bin")]
    assert len(looks.list_below(raw.root)) == 3
    assert looks.stat(raw.root) is None
    assert looks.exists(raw.location("m1/deep"))
    assert not looks.exists(raw.location("m2"))
    raw.write_bytes("m1/a.bin", b"changed")
    assert looks.stat(place) == (entry.tag, entry.size)  # until it looks anew
    looks.refresh(whole_stores=whole)
    assert looks.stat(place) == (raw.stat("m1/a.bin").tag, 7)


def test_a_store_is_listed_once_and_a_session_by_its_folders(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    real = FsspecStore.list

    def count(self: FsspecStore, prefix: str = "", **options: bool):
        listed.append(prefix)
        return real(self, prefix, **options)

    monkeypatch.setattr(FsspecStore, "list", count)
    raw = stores["raw"]
    looks = FileStats(stores)
    for whole, expected in ((True, [""]), (False, ["m1", "m10"])):
        listed.clear()
        looks.refresh(whole_stores=whole)
        for name in ("m1/a.bin", "m1/deep/b.bin", "m10/c.bin", "m1/none.bin"):
            looks.stat(raw.location(name))
        assert listed == expected


def test_files_of_this_machine(tmp_path: Path, stores: Stores) -> None:
    looks = FileStats(stores)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a").write_bytes(b"abc")
    assert looks.read_size(tmp_path / "folder/a") == 3
    assert looks.list_below(tmp_path / "folder") == [str(tmp_path / "folder/a")]
    assert looks.list_below(tmp_path / "folder/a") == []
    assert looks.stat(tmp_path / "none") is None
    assert looks.read_size(tmp_path / "none") == 0
    assert not looks.exists(tmp_path / "none")
