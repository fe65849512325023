"""The work as a table of DataJoint: `_datajoint.py WHAT plain|cached WINDOWS FOLDER`.

WHAT: fill, populate, forget, forget-NUMBER, list (what it knows, as JSON), refresh (give reservations back).
"""

import json
import sys
from pathlib import Path

import _body
import datajoint as dj

what, cached, windows, folder = sys.argv[1:]
schema = dj.Schema(f"bench_{Path(folder).name}")


@schema
class Session(dj.Manual):
    definition = """
    number: int32
    ---
    path: varchar(255)
    """


@schema
class Method(dj.Manual):
    definition = """
    window: int32
    """


@schema
class Rms(dj.Computed):
    definition = """
    -> Session
    -> Method
    """

    def make(self, key):
        path = (Session & key).fetch1("path")
        _body.measure_rms(path, key["window"], cached == "cached")
        self.insert1(key)


def main():
    if what == "fill":
        paths = sorted(Path(folder, "nwb").glob("*.nwb"))
        Session.insert([{"number": int(path.stem[1:]), "path": str(path)} for path in paths], skip_duplicates=True)
    if what in ("fill", "populate"):
        Method.insert([{"window": int(window)} for window in windows.split(",")], skip_duplicates=True)
    if what == "populate":
        done = Rms.populate(reserve_jobs=True, suppress_errors=True)
        sys.exit(bool(done["error_list"]))
    if what == "list":
        jobs = Rms.jobs
        states = {"reserved": jobs.reserved, "errors": jobs.errors} if jobs.is_declared else {}
        rows = {"done": Rms, **states}
        print(json.dumps({state: [row["number"] for row in query.to_dicts()] for state, query in rows.items()}))
    if what == "refresh":
        Rms.jobs.refresh(orphan_timeout=1)
    if what.startswith("forget-"):
        number = {"number": int(what.partition("-")[2])}
        (Rms & number).delete_quick()
        (Rms.jobs & number).delete_quick()
    if what == "forget":
        Rms.delete_quick()
        Rms.jobs.delete_quick()


main()
