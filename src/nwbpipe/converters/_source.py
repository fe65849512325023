"""One raw data stream on its way into the file: its interface, its metadata, its clock and the objects it added."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from nwbpipe.converters._added import AddedObjects, Times, collect_added
from nwbpipe.converters._names import name_after_source
from nwbpipe.converters._reader_faults import hint_at_fault, refuse_empty
from nwbpipe.converters._screen import screen_raw_files
from nwbpipe.converters._warnings import find_loss, log_warnings
from nwbpipe.converters.accounts import Account, raise_unaccepted, read_account, reconcile
from nwbpipe.converters.neuroconv_fixes import allow_missing_rate, read_frame_numbers, refuse_missing_rate
from nwbpipe.converters.spec._model import SourceSpec
from nwbpipe.converters.spec._paths import SpecPaths
from nwbpipe.errors import FileAccessError, NwbpipeError, Problem, SourceError
from nwbpipe.foreign import ReadScope, forbid_code
from nwbpipe.stores import hide_junk

if TYPE_CHECKING:
    from pynwb import NWBFile

logger = logging.getLogger("nwbpipe")

# Arguments that name what a source writes; the source's name is their default.
_KEYS = ("metadata_key", "es_key")
BUFFER_GB = 0.5


@dataclass
class Source:
    """A source of a session.

    Parameters
    ----------
    name : str
        The source's name.
    spec : SourceSpec
        Its section of the session.yaml.
    clock : str
        The clock that its times are in.
    paths : SpecPaths
        The places that the spec's paths are relative to.
    interface : BaseDataInterface
        NeuroConv's, or one of ours; `open` sets it.
    options : dict
        Conversion options; `open` sets them.
    stub : bool
        True if only the first samples are read; `open` sets it.
    added : AddedObjects
        Objects of the session's file that came from this source.
    account : Account, optional
        What the raw files hold, independently of the reader; `open` sets it.
    unaccounted : str
        Reason why there is no account.
    notes : list of str
        Warnings of the reader and what was put right: shown once, and kept in the file's record.
    is_reference : bool
        True if the source's clock is the session's reference.
    """

    name: str
    spec: SourceSpec
    clock: str
    paths: SpecPaths
    interface: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    stub: bool = False
    added: AddedObjects = field(default_factory=AddedObjects)
    account: Account | None = None
    unaccounted: str = ""
    notes: list[str] = field(default_factory=list)
    is_reference: bool = False
    _losses: list[tuple[str, Problem]] = field(default_factory=list)
    _reader: type[Any] | None = None
    _preview: AddedObjects | None = None

    @property
    def where(self) -> str:
        """Path of the source in the spec, for messages."""
        return f"sources.{self.name}"

    @property
    def files(self) -> list[Path]:
        """Raw files and folders that the arguments name."""
        return list(find_paths(self.spec.args))

    @cached_property
    def is_trusted(self) -> bool:
        """True if the user trusts the raw files, which may then run code (``nwbpipe trust``)."""
        from nwbpipe.converters.interfaces import are_trusted

        return are_trusted(self.files)

    @property
    def file_names(self) -> str:
        """The raw files as a spec would write them, for messages."""
        return ", ".join(self.paths.display(path) for path in self.files)

    def open(self, *, stub: bool = False, timed: bool = False, progress: bool = False) -> None:
        """Check the raw files and build the interface.

        Parameters
        ----------
        stub : bool
            Read only the first samples, where the interface can.
        timed : bool
            True if the source's clock gives each sample its time.
        progress : bool
            Let the data show a progress bar on stderr while they are written.

        Raises
        ------
        SourceError, ToolMissingError, FileAccessError
            If the reader refuses the files, a package is missing, or a file can't be read.
        """
        from nwbpipe.converters.interfaces import close_readers, guard_source, interface_class

        self._reader = interface_class(
            "InternalVideoInterface" if self.spec.video == "embed" else self.spec.interface
        )
        screen_raw_files(self.files, () if self.is_trusted else self.paths.list_roots())
        with self.translate_errors():
            if not self.is_trusted:
                close_readers(self.spec.interface, self.files)
            problems = guard_source(self.spec.interface, self.spec.args)
        if problems:
            problems = [
                Problem(p.what, f"{self.where}: {p.where or ''}", p.expected, p.found, p.hint) for p in problems
            ]
            raise SourceError(f"the source {self.name!r} can't be used", where=self.where, problems=problems)
        with self.translate_errors():
            account, self.unaccounted = read_account(self.spec.interface, self.spec.args)
            self.account = None if account is None else account.complete()
        try:
            with self.translate_errors():
                self.interface = self._reader(**self._choose_arguments(self._reader))
        except SourceError:
            if self.account is not None:  # it says more than an error of the reader
                raise_unaccepted(list(self.account.problems), self.where, self.spec.accept or ())
            raise
        if timed:
            allow_missing_rate(self.interface)
        else:
            refuse_missing_rate(self.interface, f"{self.where}: {self.file_names}")
        refuse_empty(self.interface, f"{self.where}: {self.file_names}")
        self.options = self._choose_options(stub, progress)
        self.stub = stub or bool(self.options.get("stub_test"))

    def read_metadata(self) -> dict[str, Any]:
        """Read the metadata of the raw files: objects named after the source, no absolute path of this machine."""
        with self.translate_errors():
            metadata = self.interface._get_metadata_for_writing()
            tree: dict[str, Any] = deepcopy(metadata.to_dict() if hasattr(metadata, "to_dict") else dict(metadata))
        if getattr(self.interface, "metadata_key", None) == self.name:
            series = str(self.options.get("photon_series_type", "TwoPhotonSeries"))
            name_after_source(tree, self.name, self.interface, series, is_video=self.spec.video is not None)
        public: dict[str, Any] = self._hide_local_paths(tree)
        return public

    def add_to(self, nwbfile: NWBFile, metadata: dict[str, Any]) -> None:
        """Write the source into a file in memory; `added` holds the new objects."""
        with self.translate_errors(), collect_added(nwbfile) as added:
            self.interface.add_to_nwbfile(nwbfile=nwbfile, metadata=metadata, **self.options)
        self._reconcile(added)
        self.added = added

    def _reconcile(self, added: AddedObjects) -> None:
        """Hold what was added to the account of the raw files, and to what the reader warned of."""
        accept = self.spec.accept or ()
        if self.account is None:
            self.tell(*raise_unaccepted(self._losses, self.where, accept))
            return
        with self.translate_errors():
            notes = reconcile(self.account, added, where=self.where, accept=accept, stub=self.stub)
        losses = [(kind, problem) for kind, problem in self._losses if not self.account.settles(kind)]
        self.tell(*self.account.notes, *notes, *raise_unaccepted(losses, self.where, accept))

    def tell(self, *notes: str) -> None:
        """Show notes to the user, once each, and keep them for the record."""
        for note in notes:
            if note not in self.notes:
                self.notes.append(note)
                logger.warning("%s: %s", self.name, note)

    def _hear(self, warning: str) -> None:
        """Take a warning of the reader: known ones mean a loss."""
        text = str(self._hide_local_paths(warning)).replace(str(self.paths.folder), ".")
        loss = find_loss(text)
        if loss is not None:
            kind, hint = loss
            problem = Problem("the reader warns of a loss", f"{self.where}: {self.file_names}", found=text, hint=hint)
            if (kind, problem) not in self._losses:
                self._losses.append((kind, problem))
        else:
            self.tell(text)

    def preview(self, start: datetime | None) -> AddedObjects:
        """Return the objects that the whole source writes, in a file of its own: for its pulses and events."""
        if self._preview is None:
            from pynwb import NWBFile

            start = start or datetime(1970, 1, 1, tzinfo=UTC)
            nwbfile = NWBFile(session_description="scratch", identifier=self.name, session_start_time=start)
            options = {key: value for key, value in self.options.items() if key != "stub_test"}
            with self.translate_errors(), collect_added(nwbfile) as added:
                metadata = self.interface.get_metadata()
                self.interface.add_to_nwbfile(nwbfile=nwbfile, metadata=metadata, **options)
            self._reconcile(added)
            self._preview = added
        return self._preview

    def frame_numbers(self) -> Times | None:
        """Return the frame of the video that each sample belongs to, where the raw file gives it."""
        with self.translate_errors():
            return read_frame_numbers(self.interface)

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Run the reader; whatever it raises becomes an error that names source and file.

        Raises
        ------
        SourceError
            If the reader refuses.
        ToolMissingError
            If a package that it needs is not installed.
        FileAccessError
            If the file may not be read.
        """
        from nwbpipe.converters.interfaces import missing_reader_error

        hidden = () if self.account is None else self.account.hidden
        try:
            with log_warnings(self.where, self._hear), hide_junk(*hidden), self.forbid_code():
                yield
        except NwbpipeError as error:
            location = error.problem.where or ""
            if self.where not in location:  # one of our interfaces, which knows its file but not the source's name
                error.problem = replace(error.problem, where=f"{self.where}: {location}".rstrip(": "))
            raise
        except ImportError as error:
            raise missing_reader_error(self.spec.interface, error, self._reader) from error
        except MemoryError as error:
            raise SourceError(
                f"there is not enough memory to read {self.name!r}", where=self.where, hint="close other programs"
            ) from error
        except PermissionError as error:
            raise FileAccessError(
                f"a file of {self.name!r} can't be read", where=str(error.filename), hint="ask for permission"
            ) from error
        except Exception as error:
            text = " ".join(str(error).split())
            raise SourceError(
                f"the source {self.name!r} can't be read",
                where=f"{self.where}: {self.file_names}",
                expected=f"what {self.spec.interface} reads",
                found=f"{type(error).__name__}: {text if len(text) < 600 else text[:600] + ' …'}",
                hint=hint_at_fault(error, self.spec.interface, self.files),
            ) from error

    def forbid_code(self) -> AbstractContextManager[None]:
        """Keep readers from running what the raw files hold, unless the user trusts these."""
        if self.is_trusted:
            return nullcontext()
        hint = "if you know where they come from, and want it to run or be read: nwbpipe trust FOLDER"
        return forbid_code(f"{self.where}: {self.file_names}", hint, self.scope)

    @cached_property
    def scope(self) -> ReadScope:
        """The files that the reader may open."""
        return ReadScope(self.files, self.paths.list_roots())

    def _choose_arguments(self, reader: type[Any]) -> dict[str, Any]:
        arguments = {**(self.account.arguments if self.account is not None else {}), **self.spec.args}
        if self.spec.video == "embed":
            files = arguments.pop("file_paths")
            if len(files) != 1:
                raise SourceError(
                    "only a single video file can be embedded",
                    where=f"{self.where}.args.file_paths",
                    found=f"{len(files)} files",
                    hint="give each file a source of its own, or use `video: link`",
                )
            arguments["file_path"] = files[0]
        parameters = inspect.signature(reader).parameters
        for key in _KEYS:
            if key in parameters and key not in arguments:
                arguments[key] = self.name
                break
        if self.spec.video is not None and "video_name" not in arguments:
            arguments["video_name"] = f"ImageSeries_{self.name}"
        if "verbose" in parameters:
            arguments["verbose"] = False
        return arguments

    def _choose_options(self, stub: bool, progress: bool) -> dict[str, Any]:
        from nwbpipe.converters.spec._arguments import option_parameters

        options = dict(self.spec.options)
        parameters = set(option_parameters(type(self.interface))[0])
        if stub and "stub_test" in parameters:
            options.setdefault("stub_test", True)
        is_chunked = "iterator_options" in parameters and options.get("iterator_type", "v2") == "v2"
        # Memory stays bounded: half a gigabyte is read at a time, whatever the recording's size.
        if is_chunked and not options.get("stub_test"):
            chosen = options.get("iterator_options") or {}
            if not {"buffer_gb", "buffer_shape"} & set(chosen):
                chosen = options["iterator_options"] = {"buffer_gb": BUFFER_GB, **chosen}
            if progress:
                bar = {"display_progress": True, "progress_bar_options": {"desc": self.name, "leave": False}}
                options["iterator_options"] = {**bar, **chosen}
        return options

    def _hide_local_paths(self, value: Any) -> Any:
        """Replace absolute paths of this machine in texts: session files become public."""
        if isinstance(value, Mapping):
            values = {key: self._hide_local_paths(item) for key, item in value.items()}
            videos = values.get("original_videos")
            if isinstance(videos, list):
                values["original_videos"] = [PureWindowsPath(PurePosixPath(str(item)).name).name for item in videos]
            return values
        if isinstance(value, list):
            return [self._hide_local_paths(item) for item in value]
        if isinstance(value, str):
            for path in self.files:
                value = value.replace(str(path), self.paths.display(path))
            return value.replace(f"{self.paths.folder}/", "")
        return value


def find_paths(value: Any) -> Iterator[Path]:
    """Iterate over the paths in a source's arguments."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from find_paths(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from find_paths(item)
