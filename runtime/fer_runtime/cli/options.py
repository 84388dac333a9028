"""Options that several commands take, under one name and with one meaning."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fer_runtime.cli.entry import set_log_level

FILE = click.Path(path_type=Path)
MAX_THREADS = 64

Decorator = Callable[[Any], Any]  # click's own

model: Decorator = click.option(
    "--model", type=FILE, metavar="FILE",
    help="ONNX file that fer-export wrote.  [default: the package's own, fer-small in int8]",
)  # fmt: skip
json_file: Decorator = click.option("--json", "json_file", type=FILE, metavar="FILE", help="Also write a JSON report.")
threads: Decorator = click.option(
    "--threads", type=click.IntRange(1, MAX_THREADS), default=1, show_default=True, help="Threads per network."
)
version: Decorator = click.version_option(package_name="fer-edge")


def verbosity(command: Any) -> Any:
    """--verbose and --quiet: how much of the log is shown; results and errors always are."""

    def level(_: click.Context, option: click.Parameter, given: bool) -> None:
        if given:
            set_log_level(logging.DEBUG if option.name == "verbose" else logging.WARNING)

    for flag, letter, text in (("--quiet", "-q", "Show warnings only."), ("--verbose", "-v", "Show details too.")):
        command = click.option(flag, letter, is_flag=True, expose_value=False, callback=level, help=text)(command)
    return command
