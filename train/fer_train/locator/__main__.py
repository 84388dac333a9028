"""`python -m fer_train.locator PHOTOS... --valid PHOTOS --out face-locator.pt`: train the locator."""

from dataclasses import asdict, replace
from pathlib import Path

import click
import numpy as np

from fer_runtime.cli.entry import run


@click.command(
    epilog="Example: python -m fer_train.locator web.zip fer2013/train --valid other.zip --work scenes --out loc.pt"
)
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--valid", type=click.Path(path_type=Path), required=True, help="Photos that it is scored on.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for what an interruption keeps.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The trained locator.")
@click.option("--limit", type=click.IntRange(min=10), help="Photos of each folder or zip, drawn at random.")
@click.option("--epochs", type=click.IntRange(min=1), help="[default: the recipe's]")
@click.option("--seed", type=int, default=0, show_default=True)
def cli(
    photos: tuple[Path, ...], valid: Path, work: Path, out: Path, limit: int | None, epochs: int | None, seed: int
) -> None:
    """Train the network that follows faces, on PHOTOS: folders or zips of pictures that one face fills.

    The built-in detector says where the faces are. Started again with the same --work, it goes on where it was.
    """
    import torch

    from fer_runtime.files import check_place, make_folder
    from fer_train.locator.checkpoint import LocatorCheckpoint, save
    from fer_train.locator.conditions import by_condition
    from fer_train.locator.samples import joined, prepared
    from fer_train.locator.training import LocatorRecipe, observed_ranges, score, train
    from fer_train.model import normalize

    check_place(out)
    make_folder(work)
    recipe = replace(LocatorRecipe(seed=seed), **({"epochs": epochs} if epochs else {}))
    held_out = prepared(valid, work / "valid.npz", limit, seed + len(photos))
    samples = joined([prepared(path, work / f"{i}.npz", limit, seed + i) for i, path in enumerate(photos)])
    click.echo(f"{samples.faces.sum()} faces and {(~samples.faces).sum()} scenes without one", err=True)
    network = train(samples, recipe, work / "state.pt", lambda n, loss: click.echo(f"{n}: {loss:.4f}", err=True))
    with torch.inference_mode():
        found = score(lambda pixels: network(normalize(pixels)), held_out)
        conditions = by_condition(lambda pixels: network(normalize(pixels)), held_out)
    counts = {"faces": int(samples.faces.sum()), "faceless": int((~samples.faces).sum())}
    metrics = asdict(found) | {"conditions": {name: asdict(each) for name, each in conditions.items()}}
    save(LocatorCheckpoint(network, observed_ranges(network, samples), metrics, asdict(recipe) | counts), out)
    click.echo("\n".join(f"{name}: {value:.4f}" for name, value in asdict(found).items()))
    for name, each in conditions.items():
        click.echo(f"{name} ({each.faces}): recall {each.recall:.1%}, landmarks within {each.landmark_error:.1%}")
    click.echo(f"{out}: seed {seed}, numpy {np.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    run(cli, "train")
