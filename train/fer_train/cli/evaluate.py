"""fer-train evaluate."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_runtime.cli import options
from fer_runtime.cli.options import FILE

if TYPE_CHECKING:
    from fer_runtime.data.dataset import Dataset
    from fer_train.data.ferplus import Votes
    from fer_train.evaluation.across import Difference, Row
    from fer_train.evaluation.evaluate import Evaluation, Model, Section
    from fer_train.evaluation.facts import EvaluationFacts

SCHEMA = 2  # of the JSON report


@click.command(epilog="Example: fer-train evaluate runs/small/model.pt fer2013.zip --split valid --html report.html")
@click.argument("model", type=FILE)
@click.argument("data", nargs=-1, required=True, type=FILE)
@click.option(
    "--split",
    type=click.Choice(["valid", "test", "all"]),
    help="Which split.  [default: valid where the data has one, else test, else all]",
)
@options.photos
@click.option(
    "--votes",
    "votes_file",
    type=FILE,
    metavar="FILE",
    help="FER+ votes (CSV): also score, separately, on the class with most votes.",
)
@options.json_file
@click.option(
    "--html",
    "html_file",
    type=FILE,
    metavar="FILE",
    help="Also write a page with tables and plots; it contains pictures from DATA.",
)
def evaluate(
    model: Path,
    data: tuple[Path, ...],
    split: str | None,
    photos: bool,
    votes_file: Path | None,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Score MODEL, a model.pt or an exported .onnx, on DATA, a folder, zip or csv of labelled images; one or several.

    Intervals in brackets are 95 % bootstrap intervals (10,000 resamples). ECE is the expected calibration error: the
    mean difference between confidence and accuracy, before and after the temperature stored in the model. Of several
    DATA, a table compares the first section of each.
    """
    from fer_runtime.files import refuse_same
    from fer_train.data import ferplus
    from fer_train.evaluation import across, html_report, plots
    from fer_train.evaluation.evaluate import Model
    from fer_train.evaluation.facts import describe

    if len(data) > 1 and (votes_file or html_file):
        raise click.UsageError(f"{'--votes' if votes_file else '--html'} is for one DATA: found {len(data)}")
    names = [path.name if len({each.name for each in data}) == len(data) else str(path) for path in data]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise click.UsageError(f"{twice[0]} is given twice: give each DATA once")
    refuse_same([json_file, html_file], [model, *data, votes_file])
    loaded = Model(model)
    votes = ferplus.read(votes_file, loaded.manifest.labels) if votes_file else None
    scored = [
        _scored(loaded, path, split, photos, votes, f"{name}: " if len(data) > 1 else "")
        for name, path in zip(names, data, strict=True)
    ]
    facts = [
        describe(model, loaded.manifest, path, faces, votes_file) for path, (faces, _) in zip(data, scored, strict=True)
    ]
    evaluations = [found for _, found in scored]
    first = {name: found.labelled[0] for name, found in zip(names, evaluations, strict=True)}
    rows = [across.row(name, section) for name, section in first.items()]
    differing = across.most_different({name: section.scores for name, section in first.items()})
    # Before anything is printed: whoever reads only its first lines (`| head`) keeps the files.
    if json_file:
        plots.write_json(json_file, {"schema": SCHEMA} | _report(facts, evaluations, rows, differing))
    if html_file:
        html_report.write(html_file, facts[0], evaluations[0])
    for name, found in zip(names, evaluations, strict=True):
        if len(data) > 1:
            click.echo(f"{name}:")
        for section in found.labelled:
            _print_section(section, loaded.manifest.temperature)
    if votes_file:
        click.echo(f"\nOn other labels, the votes in {votes_file.name}; not to be compared with the figures above")
    for section in evaluations[0].voted:
        _print_section(section, loaded.manifest.temperature)
    if len(data) > 1:
        click.echo(f"\n{across.table(rows)}\n{across.sentence(differing)}")


def _scored(
    model: "Model", path: Path, split: str | None, photos: bool, votes: "Votes | None", name: str
) -> "tuple[Dataset, Evaluation]":
    """The faces in `path`, and what the model makes of them; notes are printed, `name` before each. Raises FerError."""
    from fer_runtime.data import label_order, scoring_set
    from fer_runtime.data.photos import load as load_photos
    from fer_train.evaluation.evaluate import evaluate

    found_photos = load_photos(path, model.manifest) if photos else None
    faces = found_photos.faces if found_photos else scoring_set.load(path, model.manifest)
    for note in faces.notes:
        click.echo(f"note: {name}{note}", err=True)
    found = evaluate(model, faces, split, votes)
    if hint := label_order.note(found.labelled[0].scores):
        click.echo(f"note: {name}{hint}", err=True)
    if found_photos:
        missed = found_photos.missed
        found = replace(found, labelled=[replace(each, missed=missed.get(each.name)) for each in found.labelled])
    return faces, found


def _report(
    facts: "list[EvaluationFacts]", found: "list[Evaluation]", rows: "list[Row]", differing: "Difference | None"
) -> dict[str, Any]:
    """For JSON: of one data set, or of each of several and what compares them."""
    from fer_train.evaluation import across

    if len(found) == 1:
        return asdict(facts[0]) | found[0].plain()
    common = {key: value for key, value in asdict(facts[0]).items() if key != "data"}
    each = [{"data": asdict(of.data)} | its.plain() for of, its in zip(facts, found, strict=True)]
    return common | across.plain(rows, differing) | {"sources": each}


def _print_section(section: "Section", temperature: float) -> None:
    scores = section.scores
    figures = {"accuracy": "{:.2%} [{:.2%}, {:.2%}]", "macro_f1": "{:.3f} [{:.3f}, {:.3f}]"}
    accuracy, f1 = (form.format(getattr(scores, name), *section.ranges[name]) for name, form in figures.items())
    click.echo(f"{section.name}: accuracy {accuracy} (n = {scores.n}), macro-F1 {f1}")
    for label, n in scores.faces.items():
        precision, recall = scores.precision[label], scores.recall[label]
        click.echo(f"  {label:10} precision {precision:7.2%}  recall {recall:7.2%}  faces {n}")
    click.echo(f"  macro recall {scores.macro_recall:.2%}, worst class: {scores.worst}")
    if section.missed is not None:
        accuracy_of_all, recall_of_all = section.with_missed
        click.echo(
            f"  no face found on {section.missed.sum()} photos; with these as wrong: "
            f"accuracy {accuracy_of_all:.2%}, macro recall {recall_of_all:.2%}"
        )
    click.echo(f"  ECE {_two(section.ece, section.ece_at_mix, temperature)}")
    if section.vote_ece:
        click.echo(f"  ECE of the single votes {_two(section.vote_ece, section.vote_ece_at_mix, temperature)}")
    click.echo(f"  with the mean of each face and its mirror image instead: accuracy {section.flip_accuracy:.2%}")
    if section.left_out:
        click.echo("  left out: " + ", ".join(f"{count} {reason}" for reason, count in section.left_out.items()))


def _two(ece: tuple[float, float], at_mix: tuple[float, float] | None, temperature: float) -> str:
    """The calibration error before and after the temperature, and with faces weighted to the balanced mix."""
    plain = f"{ece[0]:.1%} at temperature 1, {ece[1]:.1%} at {temperature:g}"
    return plain + (f"; weighted to the mix of its balance {at_mix[0]:.1%} and {at_mix[1]:.1%}" if at_mix else "")
