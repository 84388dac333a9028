"""An evaluation as one HTML file: figures, tables, diagrams and faces; it asks no network for anything."""

import base64
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.files import write_text
from fer_runtime.model.manifest import INTENDED_USE
from fer_train.evaluation.evaluate import Evaluation, Section
from fer_train.evaluation.facts import EvaluationFacts, ModelFacts

PICTURES = 6  # of each class and kind

CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d8dee4; --paper: #ffffff; --card: #f5f7f9;
  --blue: 37 99 200; --mark: #1f5fc4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa5b1; --line: #333b45; --paper: #14181d;
  --card: #1c2229; --blue: 86 150 255; --mark: #6ea8ff } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .4rem 0; overflow-wrap: anywhere }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .4rem; padding-top: 1.2rem; border-top: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem } h4 { font-size: .9rem; margin: 1rem 0 .3rem }
p { margin: .4rem 0; max-width: 46rem } .soft, figcaption, caption { color: var(--soft); font-size: .85rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem; margin: .8rem 0 }
.card { background: var(--card); border-radius: .6rem; padding: .6rem .8rem } .card b { display: block;
  font-size: 1.45rem; line-height: 1.3; font-weight: 650 } .card span { color: var(--soft); font-size: .82rem }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 0 2rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem } caption { text-align: left }
th, td { padding: .28rem .5rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600 } tbody th { text-align: left }
.confusion td, .confusion thead th { text-align: center; min-width: 2.3rem; padding: .3rem .15rem; border: 0 }
.confusion thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: .3rem .6rem }
.confusion thead th:first-child { writing-mode: initial; transform: none } .confusion tbody th { border: 0 }
svg { width: 100%; max-width: 25rem; height: auto; font-size: 11px; fill: var(--soft) }
details { margin: .8rem 0 } summary { cursor: pointer; font-weight: 600; padding: .4rem 0; overflow-wrap: anywhere }
.faces { display: grid; grid-template-columns: repeat(3, 1fr); gap: .6rem }
figure { margin: 0 } figcaption { line-height: 1.25; font-size: .78rem; overflow-wrap: anywhere }
figure img { width: 100%; aspect-ratio: 1; border-radius: .3rem; display: block; background: var(--card) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .88rem; margin: .6rem 0 }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
"""


def write(path: Path, facts: EvaluationFacts, found: Evaluation) -> None:
    """Write the page, whole or not at all. Raises FerError."""
    title = f"{_text(facts.model.file)} on {_text(facts.data.file)}"
    body = [f"<h1>{title}</h1><p class=soft>{_text(INTENDED_USE)}</p>"]
    body += [_part(section, facts.model, index == 0) for index, section in enumerate(found.labelled)]
    if found.voted and facts.votes:
        body.append(
            f"<h2>Other labels: the votes in {_text(facts.votes.file)}</h2><p>Here a face counts as what most people "
            "voted for. These figures measure something else; they are not to be compared with those above.</p>"
        )
        body += [_part(section, facts.model, index == 0) for index, section in enumerate(found.voted)]
    body.append(_facts(facts))
    write_text(
        path,
        '<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, '
        "initial-scale=1\"><meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; "
        f"style-src 'unsafe-inline'\"><title>{title}</title><style>{CSS}</style></head><body>{''.join(body)}</body>"
        "</html>\n",
    )


def _part(section: Section, model: ModelFacts, first: bool) -> str:
    """One section; all but the first of its kind are folded."""
    scores, ranges = section.scores, section.ranges
    low, high = ranges["accuracy"]
    cards = [
        (f"{scores.accuracy:.2%}", f"accuracy; 95 % interval {low:.2%} to {high:.2%}"),
        (f"{scores.macro_f1:.3f}", "macro-F1; 95 % interval {:.3f} to {:.3f}".format(*ranges["macro_f1"])),
        (f"{scores.recall[scores.worst]:.1%}", f"recall of the worst class, {_text(scores.worst)}"),
        (f"{section.ece[1]:.1%}", f"calibration error (ECE); {section.ece[0]:.1%} without the temperature"),
    ]
    if section.vote_ece:
        cards.append((f"{section.vote_ece[1]:.1%}", "calibration error when every single vote is a label"))
    left_out = ", ".join(f"{count} {_text(reason)}" for reason, count in section.left_out.items())
    inside = (
        f"<div class=cards>{''.join(f'<div class=card><b>{b}</b><span>{text}</span></div>' for b, text in cards)}</div>"
        f"<p class=soft>{'Left out: ' + left_out + '. ' if left_out else ''}"
        "With probabilities averaged over each face and its mirror image, which the model alone does not do: accuracy "
        f"{section.flip_accuracy:.2%}.</p>"
        f"<div class=pair><div>{_classes(section)}{_confusion(section, model.labels)}</div>"
        f"<div>{_reliability(section, model.temperature)}</div></div>{_pictures(section, model.labels)}"
    )
    headline = f"{_text(section.name)}: {scores.accuracy:.2%} of {scores.n:,} faces"
    if first:
        return f"<section><h2>{headline}</h2>{inside}</section>"
    return f"<details><summary>{headline}</summary>{inside}</details>"


def _classes(section: Section) -> str:
    scores = section.scores
    rows = "".join(
        f"<tr><th scope=row>{_text(label)}<td>{scores.precision[label]:.1%}<td>{scores.recall[label]:.1%}<td>{n:,}</tr>"
        for label, n in scores.faces.items()
    )
    head = "<tr><th><th scope=col>precision<th scope=col>recall<th scope=col>faces</tr>"
    return f"<h3>Each class</h3><div class=scroll><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"


def _confusion(section: Section, labels: list[str]) -> str:
    """Rows are labels, columns predictions; each cell in percent of its row, shaded by it, its count as tooltip."""
    rows = []
    for label, row in zip(labels, section.scores.confusion, strict=True):
        shares = [cell / max(1, sum(row)) for cell in row]
        cells = "".join(
            f'<td style="background: rgb(var(--blue) / {0.75 * share:.2f})" title="{cell:,} faces">{100 * share:.0f}'
            for share, cell in zip(shares, row, strict=True)
        )
        rows.append(f"<tr><th scope=row>{_text(label)}{cells}</tr>")
    head = "".join(f"<th scope=col>{_text(label)}" for label in labels)
    return (
        "<h3>Confusion</h3><div class=scroll><table class=confusion><caption>Percent of the faces labelled as the row "
        f"that were predicted as the column</caption><thead><tr><th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _reliability(section: Section, temperature: float) -> str:
    """The reliability diagram: accuracy over confidence, one dot per bin, its area by the number of faces."""
    before, after = section.reliability
    ticks = "".join(
        f"<text x={30 + 2.6 * at} y=286 text-anchor=middle>{at}</text><text x=25 y={274 - 2.6 * at} text-anchor=end>"
        f"{at}</text><path d='M30 {270 - 2.6 * at}H290' stroke='var(--line)'/>"
        for at in (0, 20, 40, 60, 80, 100)
    )
    return (
        "<h3>Calibration</h3><svg viewBox='0 0 300 305' role=img aria-label='Reliability diagram'>"
        f"{ticks}<path d='M30 270L290 10' stroke='var(--soft)' stroke-dasharray='4 4'/>"
        f"{_dots(before, 'var(--soft)', 0.35)}{_dots(after, 'var(--mark)', 0.75)}"
        "<text x=160 y=302 text-anchor=middle>confidence, %</text><text x=36 y=20>accuracy, %</text></svg>"
        f"<p class=soft>Blue: at the model's temperature, {temperature:g}; grey: without it. On the dashed line, "
        "predictions with 70 % confidence are right 7 times in 10; below it the model is overconfident. Larger dots: "
        "more faces.</p>"
    )


def _dots(bins: NDArray[np.float64], colour: str, opacity: float) -> str:
    most = bins[:, 0].max()
    return "".join(
        f"<circle cx={30 + 260 * confidence:.1f} cy={270 - 260 * accuracy:.1f} r={2 + 7 * (n / most) ** 0.5:.1f} "
        f"fill='{colour}' fill-opacity={opacity}><title>{n:.0f} faces: confidence {confidence:.1%}, accuracy "
        f"{accuracy:.1%}</title></circle>"
        for n, confidence, accuracy in bins.tolist()
        if n
    )


def _pictures(section: Section, labels: list[str]) -> str:
    """For each class that the data has, its most confident mistakes and its least confident hits."""
    confidence, predicted = section.probabilities.max(1), section.probabilities.argmax(1)
    parts = []
    for label in section.scores.faces:
        own = section.faces.labels == labels.index(label)
        right = own & (predicted == section.faces.labels)
        wrong = np.flatnonzero(own & ~right)
        mistakes = wrong[np.argsort(-confidence[wrong], kind="stable")][:PICTURES]
        unsure = np.flatnonzero(right)[np.argsort(confidence[right], kind="stable")][:PICTURES]
        for kind, chosen in (("most confident mistakes", mistakes), ("least confident correct predictions", unsure)):
            shown = "".join(_figure(section, int(i), labels[predicted[i]], label) for i in chosen) or "<p>none</p>"
            parts.append(f"<div><h4>{_text(label)}: {kind}</h4><div class=faces>{shown}</div></div>")
    return f"<h3>Faces</h3><div class=pair>{''.join(parts)}</div>"


def _figure(section: Section, index: int, predicted: str, label: str) -> str:
    face = section.faces.pixels[index].transpose(1, 2, 0)[:, :, ::-1]  # grey as it is, RGB as BGR for cv2
    png = base64.b64encode(cv2.imencode(".png", np.ascontiguousarray(face))[1].tobytes()).decode()
    confidence = f"{_text(predicted)} {section.probabilities[index].max():.0%}"
    about = confidence if predicted == label else f"{confidence}, labelled {_text(label)}"
    name = _text(section.faces.names[index])
    return f'<figure><img src="data:image/png;base64,{png}" alt="{name}" title="{name}"><figcaption>{about}</figure>'


def _facts(facts: EvaluationFacts) -> str:
    model, data, votes = facts.model, facts.data, facts.votes
    rows = [
        ("model", f"{model.file}, {model.precision}, SHA-256 {model.sha256}"),
        ("data", f"{data.file}, fingerprint {data.fingerprint}"),
        *(("note", note) for note in data.notes),
        *([("votes", f"{votes.file}, SHA-256 {votes.sha256}")] if votes else []),
        ("versions", ", ".join(f"{name} {version}" for name, version in facts.versions.items())),
    ]
    listed = "".join(f"<dt>{term}<dd>{_text(text)}" for term, text in rows)
    return (
        f"<h2>What was measured, and how</h2><dl>{listed}</dl>"
        "<p>Intervals: 95 % bootstrap, 10,000 resamples (Efron 1979). They measure the choice of faces, and nothing of "
        "another seed of training. ECE, the expected calibration error: mean distance between confidence and accuracy "
        "in 15 bins of equal width (Guo et al. 2017). fer-train fit chooses the epoch and the temperature "
        "on the validation split, so that a model is a little worse than its figures there. "
        "&ldquo;Not in train&rdquo; leaves out faces whose exact duplicates are in the training split.</p>"
        "<p>This file holds pictures from the data: give it only to those who may have the data.</p>"
    )


def _text(text: str) -> str:
    """Names are the user's: escaped, and encodable whatever bytes a file name had."""
    return escape(text.encode("utf-8", "replace").decode())
