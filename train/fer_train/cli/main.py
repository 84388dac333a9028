"""fer-train: examine labelled faces, fit a network on them, and evaluate one."""

import click

from fer_runtime.cli import options
from fer_runtime.cli.entry import run
from fer_train.cli.audit import audit
from fer_train.cli.crop import crop
from fer_train.cli.evaluate import evaluate
from fer_train.cli.finish import finish
from fer_train.cli.fit import fit


@click.group(epilog="Example: fer-train fit fer2013.zip --model small --out runs/small")
@options.version
def cli() -> None:
    """Examine labelled faces, train a facial-expression network on them, and score one."""


cli.add_command(audit)
cli.add_command(crop)
cli.add_command(fit)
cli.add_command(finish)
cli.add_command(evaluate)


def main() -> None:
    """Entry point of fer-train."""
    run(cli, "train")
