"""Options that several commands take, under one name and with one meaning."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fer_runtime.cli.entry import set_log_level

MAX_THREADS = 64


class _File(click.Path):
    """A path. An empty one is a usage error: it would be the current folder, where a shell's variable was not set."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(TEXT.convert(value, param, ctx), param, ctx)


class _Text(click.types.StringParamType):
    """Text that is not empty."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).strip():
            self.fail("it is empty: is a variable not set?" if value == "" else "it is blank", param, ctx)
        return value


TEXT = _Text()
FILE = _File()

Decorator = Callable[[Any], Any]  # click's own


def _shipped(_context: click.Context, _option: click.Parameter, value: Path | None) -> Path | None:
    """A model that comes with the package by its name, any other by its file, None for the default."""
    if value is None or value.exists():
        return value
    from fer_runtime.model.session import shipped_models

    return shipped_models().get(str(value), value)


model: Decorator = click.option(
    "--model", type=FILE, callback=_shipped, metavar="FILE|NAME",
    help="ONNX file that fer-export wrote, or fer-small-votes or fer-small of the package.  [default: fer-small-votes]",
)  # fmt: skip
photos: Decorator = click.option(
    "--photos", is_flag=True, help="DATA has whole photos: find the face in each and crop it as fer-run does."
)
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


def names(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """a,b,c -> a tuple of names, without the spaces around them; empty where nothing was given."""
    return tuple(name.strip() for name in value.split(",")) if value else ()


def numbers(context: click.Context, option: click.Parameter, value: str | None) -> tuple[float, ...]:
    """0.5 or 0.5,0.4,0.3 -> a tuple of floats, empty where nothing was given. Raises a usage error."""
    try:
        return tuple(float(number) for number in value.split(",")) if value else ()
    except ValueError as error:
        message = f"{value!r}: expected a number, or several with commas, as 0.5"
        raise click.BadParameter(message, context, option) from error


def foreign_network(command: Any) -> Any:
    """Add what describes a network that fer-train did not make (fer_runtime.model.normalization.ForeignOptions):
    --labels, --size, --colour, --mean and --std.
    """
    options = [
        click.option(
            "--labels", callback=names, metavar="A,B,...",
            help="Classes of a foreign network, in the order of its outputs.",
        ),
        click.option(
            "--size", type=click.IntRange(8, 512), metavar="PIXELS",
            help="Side of a foreign network's input.  [default: what the file says, else 48]",
        ),
        click.option(
            "--colour", type=click.Choice(["grey", "rgb"]),
            help="Of the faces it is fed.  [default: its input's channels]",
        ),
        click.option(
            "--mean", callback=numbers, metavar="X[,Y,Z]",
            help="Mean that was subtracted in training, of pixels of 0..1, or of 0..255.  [default: 0]",
        ),
        click.option(
            "--std", callback=numbers, metavar="X[,Y,Z]",
            help="Standard deviation used in training, in the same units as --mean.  [default: 1]",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command
