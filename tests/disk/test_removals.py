"""Every removal, rename and truncation in the package, and what guards it: a new one has to be told here."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "nwbpipe"

# What `nwbpipe.disk.remove_file` and `remove_folder` do not do. They take regular files and real folders alone; each
# of their callers names what nwbpipe made: a working name that nobody can foresee, or a folder of scratch or cache.
RANDOM = "a name with random digits that this process made"
SCRATCH = "in the private folder of one run in scratch"
CACHE = "in the user's private cache"
MARK = "only in a folder that bears nwbpipe's own mark"
JOURNAL = "the file's own journal or bytes, opened without following links, under the writers' lock"
STORE = "a store's own object, on condition of its tag"
GUARDS = {
    ("catalog/_packs.py", "Packs._fetch"): CACHE,
    ("catalog/_packs.py", "Packs._sweep"): "an object of the catalogue's own folder of the state store",
    ("converters/_media.py", "place_media"): "rmdir of the folder of the videos: only if it is empty",
    ("converters/_media.py", "_place"): RANDOM,
    ("converters/_upload.py", "_upload_media"): STORE,
    ("demo/_project.py", "open_demo_project"): "a name beside the file that the demo makes",
    ("disk/_remove.py", "remove_file"): "a regular file, by its mark where there is one",
    (
        "disk/_remove.py",
        "remove_folder",
    ): "a real folder, by its mark where there is one; links in it stay links",
    ("export/_write.py", "new_path"): RANDOM,
    ("export/_write.py", "write_arrays.write"): RANDOM,
    ("proposals/_write.py", "write_new"): RANDOM,
    ("project/_doctor.py", "_examine_store"): "an object that it has just written under a random name",
    ("environments/_install.py", "install"): MARK,
    ("environments/_mark.py", "write_mark"): RANDOM,
    ("environments/_mark.py", "discard"): MARK,
    ("environments/_mark.py", "_delete_all_but"): MARK,
    ("environments/_run.py", "run"): SCRATCH,
    ("environments/_worker.py", "run_stages"): SCRATCH,
    ("environments/_worker.py", "main"): SCRATCH,
    (
        "export/_units.py",
        "export_units.keep",
    ): "rmdir of the folder that the user named: only if it is empty",
    ("files/_atomic.py", "move_into_place"): "a finished file takes the name that the user gave, under its lock",
    ("files/_atomic.py", "_place_new"): "a finished file takes a name that no file has",
    ("files/_commit.py", "Placement.truncate_to"): JOURNAL,
    ("files/_commit.py", "Placement.remove_journal"): JOURNAL,
    ("files/_commit.py", "FileCommit.write_tail"): JOURNAL,
    ("files/_commit.py", "FileCommit.undo"): JOURNAL,
    ("files/_os.py", "System.truncate"): JOURNAL,
    ("files/_os.py", "System.unlink"): JOURNAL,
    ("files/_sink.py", "FileSink.truncate"): RANDOM,
    ("machine/_trust.py", "_write"): RANDOM,
    ("processors/ephys/_kept_waveforms.py", "store_waveforms"): SCRATCH,
    ("processors/imaging/extract/_compute.py", "compute"): SCRATCH,
    ("processors/imaging/suite2p/_compute.py", "PlaneRun.compute_arrays"): SCRATCH,
    ("processors/imaging/suite2p/_compute.py", "PlaneRun.register"): SCRATCH,
    ("processors/pose/_deeplabcut_checkpoint.py", "keep_checkpoint"): SCRATCH,
    ("processors/pose/_deeplabcut_train_compute.py", "build_project"): SCRATCH,
    ("review/_pose_project.py", "new_project_folder"): RANDOM,
    ("project/state/_leases.py", "Leases.release"): STORE,
    ("project/state/_leases.py", "Leases._remove_void"): STORE,
    ("provenance/_cache_entries.py", "CacheEntries.store"): RANDOM,
    ("publish/_download.py", "_Fetcher._receive"): RANDOM,
    ("publish/_download.py", "_give_name"): "a finished download takes its name if nothing has it",
    ("report/_page.py", "write_page"): "a page takes the place of a page that nwbpipe wrote, of nothing else",
    ("run/_artefacts.py", "keep_artefact"): RANDOM,
    ("run/_computation.py", "Computation._end_scratch"): SCRATCH,
    ("serve/_inspect.py", "open_by_page"): CACHE,
    ("serve/_inspect.py", "inspect_with_neurosift"): CACHE,
    ("serve/_widgets.py", "inspect_with_widgets"): CACHE,
    ("session/_media.py", "_place_locally"): RANDOM,
    ("session/_media.py", "remove_medium"): STORE,
    ("session/_remove.py", "remove_outputs"): "an object in the file that the record proves to be its run's result",
    ("simulate/_photometry_session.py", "simulate_photometry_session"): "a name beside the file that it makes",
    ("stores/_cache.py", "CachedFile.__init__"): CACHE,
    ("stores/_cache.py", "_remove_unused"): "a cached file that nobody holds, moved aside to a random name first",
    ("stores/_ranges.py", "RangeServer.__exit__"): SCRATCH,
    ("stores/_ranges.py", "_listen_at"): SCRATCH,
    ("stores/_local.py", "LocalStore.remove"): "below the store's root, by its tag where there is one",
    ("stores/_local.py", "LocalStore._move_into_place"): RANDOM,
    ("testing/_faults.py", "FaultyStore.remove"): "the store that a test made",
}
ALWAYS = {"unlink", "rmtree", "rmdir", "removedirs", "truncate", "ftruncate"}


def is_removal(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    name, owner = call.func.attr, ast.unparse(call.func.value)
    if name in ALWAYS:
        return True
    if name in ("replace", "rename"):  # of a path takes one argument, of a text two
        return owner == "os" or (len(call.args) == 1 and not call.keywords)
    return name in ("move", "remove") and (owner in ("shutil", "os") or owner.endswith("store"))


def find_removals() -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()

    def walk(node: ast.AST, name: str, where: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = name
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inside = f"{name}.{child.name}".lstrip(".")
            elif isinstance(child, ast.Call) and is_removal(child):
                found.add((where, name))
            walk(child, inside, where)

    for path in PACKAGE.rglob("*.py"):
        where = path.relative_to(PACKAGE).as_posix()
        if not where.startswith("testing/_stores"):  # tests of stores, which make what they remove
            walk(ast.parse(path.read_text(encoding="utf-8")), "", where)
    return found


def test_each_removal_is_guarded() -> None:
    found = find_removals()
    assert found - GUARDS.keys() == set(), "say here what guards it, or use nwbpipe.disk.remove_file or remove_folder"
    assert GUARDS.keys() - found == set(), "it is gone: take it off the list"
