"""fer-train: fit a network on labelled faces, and evaluate one."""

import click

from fer_runtime.console import run
from fer_train.cli_evaluate import evaluate
from fer_train.cli_fit import fit


@click.group(epilog="Example: fer-train fit fer2013.zip --model small --out runs/small")
@click.version_option(package_name="fer-edge")
def cli() -> None:
    """Train a facial-expression network from scratch, and score one."""


cli.add_command(fit)
cli.add_command(evaluate)


def main() -> None:
    """Entry point of fer-train."""
    run(cli, "train")
