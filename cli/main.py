"""Entry point: runs a command and turns every way in which it can end into an exit code and at most one message.

0 done; 1 unexpected (our mistake: the traceback is in a log); 2 usage, settings or credentials; 3 data; 4 refused by a
guard or a gate; 5 something outside was busy or did not answer; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from cli.output import INTERRUPTED_ONCE
from cli.redact import redact
from cli.session import current_session, forget_session
from cli.trouble import explain
from warehouse.clock import utcnow
from warehouse.errors import MailwrightError
from warehouse.settings import load_settings

INTERRUPTED = 130


def run() -> None:
    """The `mailwright` script."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line; returns the exit code, and prints an error's message on stderr."""
    import typer

    from cli.app import app

    forget_session()
    wants_json = "--json" in argv
    stdout = sys.stdout
    try:
        with _terminate_like_ctrl_c():
            code = typer.main.get_command(app).main(list(argv), prog_name="mailwright", standalone_mode=False)
        if code == INTERRUPTED:  # Typer turns Ctrl-C into this
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        _tell(
            "Interrupted. What was committed stays; what was half-done rolls back. The same command may be run again."
        )
        return _json_error(wants_json, stdout, "Interrupted", "interrupted", None, None, INTERRUPTED)
    except typer.TyperException as error:  # usage
        _tell(_usage(error))
        return _json_error(wants_json, stdout, "UsageError", error.format_message(), None, None, error.exit_code)
    except MailwrightError as error:
        _tell(f"Error: {error}")
        kind = type(error).__name__
        return _json_error(wants_json, stdout, kind, error.what, error.where, error.todo, error.exit_code)
    except BrokenPipeError:  # the reader of our stdout went away (`| head`)
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        known = explain(error)
        if known is None:
            return _unexpected(error, argv, wants_json, stdout)
        _tell(f"Error: {known}")
        kind = type(known).__name__
        return _json_error(wants_json, stdout, kind, known.what, known.where, known.todo, known.exit_code)
    finally:
        sys.stdout = stdout


def _tell(message: str) -> None:
    sys.stderr.write(redact(message) + "\n")
    sys.stderr.flush()


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "mailwright"
    return f"Error: {error.format_message()}\nWhat to do: see `{path} --help`"


def _json_error(wanted: bool, stdout: Any, kind: str, what: str, where: str | None, todo: str | None, code: int) -> int:
    """With --json, a machine gets a document for a failure too. Returns `code`."""
    if wanted:
        from cli.output import Output

        parts = {"kind": kind, "what": what, "where": where, "todo": todo}
        error = {key: redact(value) if value else None for key, value in parts.items()}
        Output(as_json=True, stdout=stdout).write_json({"ok": False, "exit_code": code, "error": error})
    return code


def _unexpected(error: Exception, argv: Sequence[str], wants_json: bool, stdout: Any) -> int:
    text = redact("".join(traceback.format_exception(error)))
    log = _write_log(f"{utcnow()}Z  mailwright {' '.join(redact(arg) for arg in argv)}\n\n{text}")
    reason = " ".join(redact(str(error)).split())[:300]
    what = f"This should not have happened: {type(error).__name__}: {reason}"
    todo = "`mailwright doctor` finds the usual causes; else report it with that log"
    _tell(f"Error: {what}\nWhere: {log}\nWhat to do: {todo}")
    return _json_error(wants_json, stdout, type(error).__name__, what, log, todo, 1)


def _write_log(text: str) -> str:
    """Write `text` under home/logs, or in the system's temporary folder if that cannot be written."""
    session = current_session()
    homes: list[Path] = []
    with contextlib.suppress(MailwrightError):
        homes.append((session.settings if session else load_settings()).home / "logs")
    for folder in [*homes, Path(tempfile.gettempdir())]:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"error-{utcnow():%Y%m%dT%H%M%S}-{os.getpid()}.log"
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return str(path)
    return "(the log could not be written: is the disk full?)"


@contextlib.contextmanager
def _terminate_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does: `finally` blocks run, subprocesses end, locks are freed; neither is forgotten."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        INTERRUPTED_ONCE.set()  # some libraries swallow the exception while they are imported: the next step ends then
        raise KeyboardInterrupt

    INTERRUPTED_ONCE.clear()
    before: dict[signal.Signals, Any] = {}
    try:
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, interrupt)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell's background job ignores it
            before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not the main thread (a test, an embedding program)
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    run()
