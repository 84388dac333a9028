"""fer-train crop."""

from collections import Counter
from pathlib import Path

import click

from fer_runtime.cli.options import FILE


@click.command(epilog="Example: fer-train crop photos.zip --out faces.zip")
@click.argument("photos", type=FILE)
@click.option("--out", type=FILE, required=True, metavar="FILE.zip", help="The zip to write the faces to.")
def crop(photos: Path, out: Path) -> None:
    """Cut the faces out of PHOTOS, a folder or zip, just as fer-run cuts them out of a camera's frames.

    Each face keeps its photo's folders (splits, classes) and name, so the zip is data for all other commands. Photos
    without a face, with several, or with too small a one are left out; FILE.left-out.csv says which, and why.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fer_runtime.files import refuse_same
    from fer_train.data.crop import crop_photos, left_out_file

    refuse_same([out, left_out_file(out)], [photos])
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("cropping", total=None)
        found = crop_photos(photos, out, lambda done, total: progress.update(task, completed=done, total=total))
    for reason, count in Counter(photo.reason for photo in found.left_out).most_common():
        click.echo(f"note: {count} photos left out: {reason}", err=True)
    photos_read = found.faces + len(found.left_out)
    click.echo(f"{out}: {found.faces} faces of {photos_read} photos; {left_out_file(out).name} lists the others")
