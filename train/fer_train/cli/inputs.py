"""The data that fer-train fit and finish are given: one set or several, classes under other names, a transfer set."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fer_runtime.cli import options
from fer_runtime.cli.options import FILE

if TYPE_CHECKING:
    from fer_runtime.data.dataset import Dataset, Faces
    from fer_train.data.sources import Renamed

Decorator = Callable[[Any], Any]  # click's own


def _renamed(_context: click.Context, _option: click.Parameter, text: str | None) -> "Renamed":
    """`joy=happy,contempt=-`. Raises click.BadParameter."""
    pairs = [pair.split("=") for pair in text.split(",")] if text else []
    if wrong := [pair for pair in pairs if len(pair) != 2 or not all(word.strip() for word in pair)]:
        raise click.BadParameter(f"{'='.join(wrong[0])!r}: expected OLD=NEW, or OLD=- to leave a class out")
    names = [old.strip() for old, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise click.BadParameter(f"{twice[0]!r} is given two names: expected one")
    return {old.strip(): None if new.strip() == "-" else new.strip() for old, new in pairs}


def _shares(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[float, ...]:
    """`2,1`, as shares that sum to 1. Raises click.BadParameter."""
    if text is None:
        return ()
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 <= number <= 1e6 for number in numbers) or not sum(numbers):
        raise click.BadParameter(f"{text!r}: expected a number for each DATA, as 2,1")
    return tuple(number / sum(numbers) for number in numbers)


data: Decorator = click.argument("data", nargs=-1, required=True, type=FILE)
classes: Decorator = click.option(
    "--classes", "renamed", type=options.TEXT, callback=_renamed, metavar="OLD=NEW,...",
    help="Classes under another name; - leaves one out.  [default: of several DATA, by meaning: anger is angry]",
)  # fmt: skip
share: Decorator = click.option(
    "--share", "shares", type=options.TEXT, callback=_shares, metavar="N,N,...",
    help="Of several DATA: how often each is seen, in their order.  [default: every face once per epoch]",
)  # fmt: skip


def check_shares(shares: tuple[float, ...], faces: "Dataset", train: "Faces") -> None:
    """Raise click.UsageError for other than a share for each of several data sets that has training faces."""
    if not shares:
        return
    if len(shares) != max(1, len(faces.sources)) or train.sources is None:
        raise click.UsageError(f"--share: expected a number for each DATA, two or more; found {len(shares)}")
    for number, (name, share) in enumerate(zip(faces.sources, shares, strict=True)):
        if (share > 0) != (train.sources == number).any():
            has = (
                "has no training faces: give it 0"
                if share
                else "has training faces: give it more than 0, or leave it out"
            )
            raise click.UsageError(f"--share: {name} {has}")
