"""The entry point: verbs are registered here, and errors become messages and exit codes."""

from __future__ import annotations

import logging
import os
import sys
from copy import copy
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli import (
    cmd_check,
    cmd_compare,
    cmd_convert,
    cmd_curate,
    cmd_demo,
    cmd_doctor,
    cmd_download,
    cmd_edit,
    cmd_export,
    cmd_export_ml,
    cmd_help,
    cmd_init,
    cmd_inspect,
    cmd_interfaces,
    cmd_load,
    cmd_log,
    cmd_new,
    cmd_pose,
    cmd_process,
    cmd_processors,
    cmd_qc,
    cmd_query,
    cmd_report,
    cmd_run,
    cmd_scrub,
    cmd_serve,
    cmd_status,
    cmd_submit,
    cmd_tools,
    cmd_trust,
    cmd_upload,
    cmd_verify,
    cmd_watch,
)
from nwbpipe.cli._echo import ShownFormatter, echo
from nwbpipe.disk import find_full_disk, full_disk_error
from nwbpipe.errors import NwbpipeError, UnsafeFileError, WorkError
from nwbpipe.machine import claim_process

app = typer.Typer(
    name="nwbpipe",
    help="One recording session, one NWB file: converted, processed and traceable.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(cmd_demo.demo)
app.command("new")(cmd_new.new)
app.command("convert")(cmd_convert.convert)
app.command("process")(cmd_process.process)
app.command("load")(cmd_load.load)
app.command("processors")(cmd_processors.processors)
app.command("interfaces")(cmd_interfaces.interfaces)
app.command("schema")(cmd_interfaces.schema)
app.command("init")(cmd_init.init)
app.command("status")(cmd_status.status)
app.command("run")(cmd_run.run)
app.command("submit")(cmd_submit.submit)
app.command("watch")(cmd_watch.watch)
app.command("verify")(cmd_verify.verify)
app.command("log")(cmd_log.log)
app.command("check")(cmd_check.check)
app.command("scrub")(cmd_scrub.scrub)
app.command("trust")(cmd_trust.trust)
app.command("curate")(cmd_curate.curate)
app.command("export")(cmd_export.export)
app.command(cmd_export_ml.VERB)(cmd_export_ml.export_ml)
app.command("compare")(cmd_compare.compare)
app.command("qc")(cmd_qc.qc)
app.command("query")(cmd_query.query)
app.command("download")(cmd_download.download)
app.command("upload")(cmd_upload.upload)
app.command("doctor")(cmd_doctor.doctor)
app.command("report")(cmd_report.report)
app.command("inspect")(cmd_inspect.inspect)
app.command("serve")(cmd_serve.serve)
app.command("help")(cmd_help.show_help)
app.add_typer(cmd_edit.app, name="edit")
app.add_typer(cmd_tools.app, name="tools")
app.add_typer(cmd_pose.app, name="pose")


_INTERRUPTED = 130  # what typer ends with at a KeyboardInterrupt, without a word


def _show_version(value: bool) -> None:
    if value:
        from nwbpipe import __version__

        echo(f"nwbpipe {__version__}")
        raise typer.Exit


@app.callback()
def _register_options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
) -> None:
    """Register the options that every verb takes; `main` reads --debug wherever it stands."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Exits with 0 (done), 1 (the work failed) or 2 (the request was wrong).
    """
    # No process that this one starts imports from the current folder, or (Windows) takes a program from it.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    os.environ.setdefault("NoDefaultCurrentDirectoryInExePath", "1")
    if arguments is None:
        claim_process()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words or bool(os.environ.get("NWBPIPE_DEBUG"))
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(ShownFormatter())
    words = cmd_log.drop_bare_project([word for word in words if word != "--debug"])
    words = cmd_export_ml.join_verb(words)
    try:
        _select_verb(words)(words)
    except NwbpipeError as error:
        if debug:
            raise
        echo(f"error {error.code}: {error}", err=True, lines=True)
        raise SystemExit(error.exit_code) from None
    except SystemExit as ending:
        if ending.code != _INTERRUPTED:
            raise
        echo("stopped; nothing half-done was left", err=True)
        raise SystemExit(1) from None
    except Exception as error:
        if debug:
            raise
        explained = _explain(error)
        if explained is not None:
            echo(f"error {explained.code}: {explained}", err=True, lines=True)
            raise SystemExit(explained.exit_code) from None
        echo(f"error NP000: an error that nwbpipe did not foresee: {type(error).__name__}: {error}", err=True)
        echo("  next:     run the command again with --debug, and report what it shows", err=True)
        raise SystemExit(1) from None


def _select_verb(words: list[str]) -> typer.Typer:
    """Return the application with the verb alone that is asked for: all of them take a tenth of a second.

    `help` shows the others, as do an option before the verb and what is no verb.
    """
    verb = next((word for word in words if not word.startswith("-")), "")
    selected = copy(app)
    selected.registered_commands = [command for command in app.registered_commands if command.name == verb]
    selected.registered_groups = [group for group in app.registered_groups if group.name == verb]
    is_known = len(selected.registered_commands + selected.registered_groups) == 1
    return selected if is_known and words[0] == verb != "help" else app


def _explain(error: Exception) -> NwbpipeError | None:
    """Return the error for what may befall any command: a full disk, or too little memory."""
    if isinstance(error, MemoryError):
        hint = "a file may declare more values than it holds (`nwbpipe check FILE.nwb`), or this machine is too small"
        return WorkError("the memory does not suffice", found=str(error) or None, hint=hint)
    if isinstance(error, RecursionError):
        hint = "`nwbpipe check FILE.nwb` looks for what it is"
        return UnsafeFileError("something in a file is nested without end", hint=hint)
    number = find_full_disk(error)
    if number is None:
        return None
    name = getattr(error, "filename", None)
    return full_disk_error(Path(os.fsdecode(name)).parent if isinstance(name, str | bytes) else Path.cwd(), number)
