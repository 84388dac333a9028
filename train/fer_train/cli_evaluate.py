"""fer-train evaluate."""

from pathlib import Path

import click


@click.command(epilog="Example: fer-train evaluate runs/small/model.pt fer2013.zip --split valid")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["valid", "test", "all"]),
    help="Which faces.  [default: valid where the data has it, else test, else all]",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the scores as JSON too."
)
def evaluate(model: Path, data: Path, split: str | None, json_file: Path | None) -> None:
    """Score MODEL, a model.pt or an exported .onnx, on DATA, a folder or zip of images in class folders."""
    from fer_runtime import dataset
    from fer_runtime.files import refuse_same
    from fer_train import report
    from fer_train.evaluate import Model, evaluate

    refuse_same([json_file], [model, data])
    loaded = Model(model)
    faces = dataset.load(data, loaded.size)
    for note in faces.notes:
        click.echo(f"note: {note}", err=True)
    results = evaluate(loaded, faces, split)
    for name, scores in results.items():
        click.echo(f"{name}: {scores.line()}")
        present = [label for label, row in zip(loaded.labels, scores.confusion, strict=True) if sum(row)]
        for label in present:
            click.echo(f"  {label:10} precision {scores.precision[label]:6.2%}  recall {scores.recall[label]:6.2%}")
    if json_file:
        report.write_json(json_file, {"model": str(model), "splits": {k: s.plain() for k, s in results.items()}})
