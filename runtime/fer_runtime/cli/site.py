"""`python -m fer_runtime.cli.site FOLDER`: the package's models into a page that was just built (`make web-demo`)."""

from pathlib import Path

import click

from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE


@click.command(epilog="Example: python -m fer_runtime.cli.site build/site")
@click.argument("folder", type=FILE)
def cli(folder: Path) -> None:
    """Complete the page in FOLDER with the models that fer-run uses."""
    from fer_runtime.outputs.web import site

    site.fill(folder)
    site.check(folder)


if __name__ == "__main__":
    run(cli)
