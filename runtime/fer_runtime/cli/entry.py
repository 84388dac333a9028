"""How every fer-* command ends: one sentence for an error, and the exit codes."""

import logging
import os
import signal
import sys
from typing import NoReturn

import click

from fer_runtime.errors import FerError

# Debian packages of what the wheels of OpenCV (with windows) expect on the system.
LIBRARY_PACKAGES = {
    "libGL": "libgl1",
    "libgthread": "libglib2.0-0",
    "libglib": "libglib2.0-0",
    "libxcb": "libxcb1",
    "libX11": "libx11-6",
}


def run(command: click.Command, extra: str | None = None) -> NoReturn:
    """Run `command` and exit: 0 done, 1 could not be done, 2 usage, 3 the answer is no, 130 Ctrl-C, 143 SIGTERM.

    extra: the optional dependencies that the command needs, named when an import fails.
    """
    name = os.path.basename(sys.argv[0])
    _log_to_stderr(name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # systemd's stop: recordings are finished, as on Ctrl-C
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FerError as error:
        _say(name, str(error))
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say(name, "stopped")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away (`| head`): nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except OSError as error:
        _say(name, f"{error.filename or 'output'}: {error.strerror or error}")
        sys.exit(1)
    except ImportError as error:
        _say(name, _missing(name, error, extra))
        sys.exit(1)
    except Exception as error:  # a fault of ours: one sentence even so, never a traceback that nobody asked for
        if os.environ.get("FER_EDGE_DEBUG"):
            raise
        _say(name, f"unexpected {type(error).__name__}: {error}; FER_EDGE_DEBUG=1 shows where, please report it")
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _log_to_stderr(name: str) -> None:
    """What the library logs, from warnings on, is a line of the command on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    logging.getLogger("fer_runtime").addHandler(handler)


def _say(name: str, message: str) -> None:
    click.echo(f"{name}: {message}", err=True)


def _missing(name: str, error: ImportError, extra: str | None) -> str:
    """What to install for a failed import."""
    for library, package in LIBRARY_PACKAGES.items():
        if library in str(error):
            return f"a system library is missing ({error}): install it with `sudo apt-get install {package}`"
    wanted = f"fer-edge[{extra}]" if extra else "fer-edge"
    return f"{name} needs {error.name or error}: install it with: pip install '{wanted}'"
