"""How every fer-* command starts and ends: its streams and log, one sentence for an error, and the exit codes."""

import gc
import io
import logging
import math
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

import click

from fer_runtime.cli import streams
from fer_runtime.errors import FerError
from fer_runtime.system.redact import redact_text

# Debian packages of what the wheels of OpenCV (with windows) expect on the system.
LIBRARY_PACKAGES = {
    "libGL": "libgl1",
    "libgthread": "libglib2.0-0",
    "libglib": "libglib2.0-0",
    "libxcb": "libxcb1",
    "libX11": "libx11-6",
}
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C; systemd; a terminal that is closed
SIGNALLED = 128  # added to a signal's number for the exit code, as shells do
GRACE_S = 5.0  # for the end of a command, in which further signals do nothing
# Whose log is the command's: other packages' warnings stay Python's affair.
PACKAGES = ("fer_runtime", "fer_train", "fer_export", "fer_benchmarks")


def run(command: click.Command, extra: str | None = None) -> NoReturn:
    """Run `command` and exit: 0 done, 1 could not be done, 2 usage, 3 the answer is no, 128 + n for a signal.

    extra: the optional dependencies that the command needs, named when an import fails.
    """
    name = os.path.basename(sys.argv[0])
    streams.prepare()
    _log_to_stderr(name)
    stop = _Stop()
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has SIGHUP
            signal.signal(number, stop)
    code = streams.finish(_exit_code(command, name, extra))
    if code > SIGNALLED:  # Python sets its handlers back while it ends: one more signal would change the exit code
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # else Python looks through all that was imported before it lets go of it
    sys.exit(code)


def set_log_level(level: int) -> None:
    """Show what the library logs from this level of `logging` on; INFO unless it is set."""
    for package in PACKAGES:
        logging.getLogger(package).setLevel(level)


class _Handler(logging.Handler):
    """Prints log records as lines of the command on standard error."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        _print_line(self._name, self.format(record))


def _log_to_stderr(name: str) -> None:
    handler = _Handler(name)
    for package in PACKAGES:
        logging.getLogger(package).addHandler(handler)
    set_log_level(logging.INFO)


class _Stop:
    """A handler that ends the command by an exception, so that recordings are finished.

    Signals that follow at once do nothing: people press Ctrl-C twice, and a terminal that is closed sends several.
    Later ones count again, in case the end hangs.
    """

    def __init__(self) -> None:
        self._first = -math.inf

    def __call__(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._first < GRACE_S:
            return
        self._first = now
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(SIGNALLED + number)


def _exit_code(command: click.Command, name: str, extra: str | None) -> int:
    """Run the command; errors end in one sentence."""
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)  # with the usage
        click.echo(redact_text(shown.getvalue()), nl=False, err=True)
        return error.exit_code
    except FerError as error:
        _print_line(name, str(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _print_line(name, "stopped")
        return 130
    except OSError as error:
        _print_line(name, _os_message(error))
        return 1
    except ImportError as error:
        _print_line(name, _missing(name, error, extra))
        return 1
    except Exception as error:  # a fault of ours: one sentence even so, never a traceback that nobody asked for
        if os.environ.get("FER_EDGE_DEBUG"):
            raise
        _print_line(name, f"unexpected {type(error).__name__}: {error}; FER_EDGE_DEBUG=1 shows where, please report it")
        return 1
    return code if isinstance(code, int) else 0


def _print_line(name: str, message: str) -> None:
    click.echo(f"{name}: {redact_text(message)}", err=True)


def _os_message(error: OSError) -> str:
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current folder was removed: change to one that exists"
    return f"{error.filename or 'output'}: {error.strerror or error}"


def _missing(name: str, error: ImportError, extra: str | None) -> str:
    """What to install for a failed import."""
    for library, package in LIBRARY_PACKAGES.items():
        if library in str(error):
            return f"a system library is missing ({error}): install it with `sudo apt-get install {package}`"
    wanted = f"fer-edge[{extra}]" if extra else "fer-edge"
    return f"{name} needs {error.name or error}: install it with: pip install '{wanted}'"
