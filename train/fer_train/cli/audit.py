"""fer-train audit."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fer_runtime.cli import options
from fer_runtime.cli.options import FILE

if TYPE_CHECKING:
    from fer_train.audit.audit import Audit, Group, Pair

EXAMPLES = 5  # of each finding in the terminal


@click.command(epilog="Example: fer-train audit fer2013.zip --json audit.json")
@click.argument("data", type=FILE)
@options.json_file
def audit(data: Path, json_file: Path | None) -> None:
    """Look for duplicates, leaks, conflicting labels, blank and undecodable images in DATA before training on it.

    DATA is a folder or zip of images in class folders, or Kaggle's fer2013.csv. Found are identical images, and near
    duplicates: the same photo mirrored, brighter or darker, compressed again, watermarked, or shifted by a pixel or
    two. Exit code 3 when validation or test images occur in another split, identical or nearly so.
    """
    from functools import partial

    from rich.console import Console
    from rich.progress import Progress

    from fer_runtime.data import dataset
    from fer_runtime.errors import GateError
    from fer_runtime.files import refuse_same, write_text
    from fer_train.audit.audit import audit as examine
    from fer_train.audit.report import report

    refuse_same([json_file], [data])
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        reading = progress.add_task("reading", total=None)
        faces = dataset.load(data)
        progress.remove_task(reading)
        found = examine(faces, data, partial(progress.track, description="comparing"))
    if json_file:
        write_text(json_file, report(found, faces.fingerprint).to_json())
    click.echo(f"{faces.understood}\n")
    for note in faces.notes:
        click.echo(f"note: {note}", err=True)
    _print_findings(found)
    if found.leaked_images:
        raise GateError(
            f"{found.leaked_images} of {found.evaluation_images} validation and test images also occur in another "
            "split: fer-train fit drops exact duplicates from train by itself; remove "
            "the near-duplicates by hand (--json FILE names all)"
        )


def _print_findings(found: "Audit") -> None:
    """The findings as text, with the first examples of each."""
    from fer_train.audit.audit import duplicates_between, labels_conflict, near_duplicates_between

    _print_counts(found.class_counts)
    duplicates, near = found.duplicates, found.near_duplicates
    title = f"exact duplicates: {len(duplicates)} pictures in {sum(map(len, duplicates))} images"
    _print_list(title, map(_group_line, duplicates), map(duplicates_between, duplicates))
    title = f"near-duplicates: {len(near)} pairs of pictures, {sum(pair.mirrored for pair in near)} of them mirrored"
    _print_list(title, map(_pair_line, near), map(near_duplicates_between, near))
    clashes = [group for group in duplicates if labels_conflict(group)]
    _print_list(f"exact duplicates with different labels: {len(clashes)} pictures", map(_group_line, clashes))
    unsure = [pair for pair in near if labels_conflict(pair.first + pair.second)]
    _print_list(f"near-duplicates with different labels: {len(unsure)} pairs", map(_pair_line, unsure))
    _print_list(f"blank: {len(found.blank)} images", (image.name for image in found.blank))
    _print_list(f"cannot be decoded: {len(found.undecodable)} images", found.undecodable)
    click.echo("\nleaks" if found.leaks else "\nleaks: none possible with one split")
    for leak in found.leaks:
        click.echo(
            f"  {leak.split} images that also occur in {leak.other_split}: "
            f"{leak.duplicates} exact duplicates, {leak.near_duplicates} near-duplicates"
        )


def _print_counts(counts: dict[str, dict[str, int]]) -> None:
    """A row per class, a column per split."""
    from fer_train.audit.report import imbalance

    classes = list(next(iter(counts.values())))
    width = max(map(len, [*classes, "largest/smallest"]))
    click.echo(f"{'images':{width}}" + "".join(f"{split:>9}" for split in counts))
    for label in classes:
        click.echo(f"{label:{width}}" + "".join(f"{count[label]:9}" for count in counts.values()))
    click.echo(f"{'all':{width}}" + "".join(f"{sum(count.values()):9}" for count in counts.values()))
    click.echo(f"{'largest/smallest':{width}}" + "".join(f"{imbalance(count):9.1f}" for count in counts.values()))


def _print_list(title: str, lines: Iterable[str], between: Iterable[set[str]] = ()) -> None:
    """A finding: its title, how often it lies between which splits, and the first examples."""
    from fer_train.audit.report import tally

    shown = list(lines)
    click.echo(f"\n{title}")
    if places := tally(between):
        click.echo("  " + ", ".join(f"{places[place]} {place}" for place in places))
    for line in shown[:EXAMPLES]:
        click.echo(f"    {line}")
    if len(shown) > EXAMPLES:
        click.echo(f"    and {len(shown) - EXAMPLES} more")


def _group_line(group: "Group") -> str:
    more = f" = {len(group) - 3} more" if len(group) > 3 else ""
    return " = ".join(image.name for image in group[:3]) + more


def _pair_line(pair: "Pair") -> str:
    mirrored = ", mirrored" if pair.mirrored else ""
    return f"{pair.first[0].name} ~ {pair.second[0].name} ({pair.correlation:.3f}{mirrored})"
