"""From a finished run to model.pt and its reports."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from fer_runtime.data import metrics
from fer_runtime.data.dataset import Dataset, Faces, drop_copies, training_split
from fer_runtime.data.metrics import Scores, score
from fer_runtime.model.manifest import Manifest
from fer_runtime.model.preprocessing import FER2013
from fer_train import balance as balancing
from fer_train.checkpoint import Checkpoint, Ranges, save
from fer_train.data.augment import augment, drawn
from fer_train.data.batches import AT_ONCE
from fer_train.evaluation import plots
from fer_train.inference import predict
from fer_train.model import MEAN, STD, FerNet, macs, normalize, parameters
from fer_train.ranges import activation_ranges
from fer_train.training import calibration
from fer_train.training.soft_targets import ValidationTargets, validation_targets
from fer_train.training.state import RunConfig, RunResult

if TYPE_CHECKING:
    from fer_train.data.ferplus import Votes

BALANCE_VIEWS = 4  # of each face: one alone moves the accuracy by 0.1 points


def finish(
    run: RunResult,
    data: Dataset,
    out: Path,
    votes: "Votes | None" = None,
    ranges: Ranges | None = None,
    half: bool = False,
) -> tuple[Scores, list[str]]:
    """Measure the best epoch's network and write model.pt and its reports into `out`.

    votes: those it was trained on, by which it is then measured; ranges: the activation ranges it was tuned with,
    measured where there are none; half: keep the weights in half precision.
    Returns its scores on the validation split, and notes for the user. Raises FerError.
    """
    network, config = run.network(), run.config
    train, valid = training_split(data), data.split("valid")
    balance, evidence = _balanced(network, train, config, votes)
    logits, valid_targets = (
        predict(network, valid.pixels),
        validation_targets(valid, len(data.classes), votes, data.sources),
    )
    temperature, ece = _calibrated(logits, valid_targets, balance)
    scores = _scores(logits, valid_targets, data.classes)
    by_source = _by_source(logits, valid_targets, data.classes)
    framing = calibration.framing(train)
    notes = [f"validation on {name}: {own.line()}" for name, own in by_source.items()]
    notes += [] if framing else ["the detector finds no faces in these images: FER2013's framing is stored instead"]
    facts = asdict(network.architecture)
    manifest = Manifest(
        labels=data.classes,
        size=network.architecture.size,
        mean=MEAN,
        std=STD,
        architecture={"family": "residual 3x3", "name": config.model}
        | {k: facts[k] for k in ("stem", "plain", "stages")},
        parameters=parameters(network),
        macs=macs(network),
        framing=framing or FER2013,
        temperature=round(temperature, 4),
        data=config.fingerprint,
        balance=balance,
        measured=(
            {
                "split": "valid",
                "labels": "votes" if votes else "data",
                "n": scores.n,
                "accuracy": round(scores.accuracy, 4),
                "macro_f1": round(scores.macro_f1, 4),
                "precision": "fp32",
                "chosen_on_it": True,
            },
        ),
        licences={"weights": "MIT as fer-edge ships them, else their trainer's", "data": "the dataset's own terms"},
        versions={"torch": str(torch.__version__), "opencv": cv2.__version__},
    )
    figures = _metrics(run, data, len(train), scores, manifest) | {"balance": balance}
    figures |= {
        "valid_labels": "votes" if votes else "data",
        "valid_log_loss": round(valid_targets.log_loss(logits), 5),
        "valid_ece": ece,
        "valid_sources": {name: asdict(own.rounded()) for name, own in by_source.items()},
    }
    ranges = ranges or activation_ranges(network, train)
    save(Checkpoint(network, manifest, ranges, figures, config.facts(), balance=evidence), out / "model.pt", half)
    plots.write_json(out / "metrics.json", figures | {"recipe": config.facts(), "history": run.history})
    some = torch.from_numpy(train.pixels[:: max(1, len(train) // 64)][:64])
    seen = augment(some, drawn(len(some), 0), config.recipe.augmentation, manifest.size)
    plots.write_faces(out / "augmented.png", seen)
    plots.write_curves(out / "curves.png", run.history, run.best.epoch)
    title = f"{config.model}, validation: {scores.accuracy:.2%} of {scores.n}"
    plots.write_confusion(out / "confusion.png", scores, data.classes, title)
    return scores, notes


def _scores(logits: Tensor, valid: ValidationTargets, classes: tuple[str, ...], own: Tensor | None = None) -> Scores:
    """On the validation faces with a label, or of these on `own`, bool [n]."""
    chosen = valid.labels >= 0 if own is None else (valid.labels >= 0) & own
    return score(logits.argmax(1)[chosen].numpy(), valid.labels[chosen].numpy(), classes)


def _by_source(logits: Tensor, valid: ValidationTargets, classes: tuple[str, ...]) -> dict[str, Scores]:
    """On each of several data sets; empty for one alone."""
    if valid.sources is None:
        return {}
    parts = {name: valid.sources == number for number, name in enumerate(valid.names)}
    return {
        name: _scores(logits, valid, classes, own) for name, own in parts.items() if (own & (valid.labels >= 0)).any()
    }


def _balanced(
    network: FerNet, train: Faces, config: RunConfig, votes: "Votes | None"
) -> tuple[dict[str, object], balancing.Evidence]:
    """Move the head's bias as the recipe's mix asks; what the manifest tells of it, and what another mix will need."""
    name, few = config.recipe.balance, max(1, len(train) // balancing.KEPT_FACES)
    labelled = np.bincount(train.labels, minlength=len(config.classes)).astype(np.float32)
    voted = votes.shares(train.names)[0].sum(0) if votes else labelled
    labels, of_votes = (torch.from_numpy(counts / counts.sum()) for counts in (labelled, voted))
    logits = _view_logits(network, train, config, few if name == "none" else 1)
    kept = logits if name == "none" else logits[:, ::few]
    evidence = balancing.Evidence(kept.flatten(0, 1).half(), tuple(labels.tolist()), tuple(of_votes.tolist()))
    if name == "none":
        return {}, evidence
    shares = balancing.mix(name, labels, of_votes)
    added = balancing.balance(logits.flatten(0, 1), shares)
    with torch.no_grad():
        network.head.bias.add_(added)
    return balancing.described(name, shares, added), evidence


@torch.no_grad()
def _view_logits(network: FerNet, train: Faces, config: RunConfig, step: int) -> Tensor:
    """Logits of views of every `step`-th training face: float32 [BALANCE_VIEWS, n, classes].

    Not of plain faces: those it has memorized. Their copies among evaluation faces are not in `train`.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(train.pixels[::step])).split(AT_ONCE)
    seen = [
        network(normalize(augment(faces, some, config.recipe.augmentation, faces.shape[-1])))
        for view in range(BALANCE_VIEWS)
        for faces, some in zip(pixels, drawn(len(train), view)[::step].split(AT_ONCE), strict=True)
    ]
    logits: Tensor = torch.cat(seen).unflatten(0, (BALANCE_VIEWS, -1))
    return logits


def _calibrated(
    logits: Tensor, valid: ValidationTargets, balance: dict[str, Any]
) -> tuple[float, dict[str, float | None]]:
    """The temperature, and the calibration error with it: on the validation targets as they are, and at the mix.

    A balanced network predicts for another mix of classes than the validation faces have, so they are weighted to it.
    """
    targets = valid.equal_weights().double().numpy()
    weighted = metrics.at_mix(targets, balance["shares"]) if balance else targets
    temperature = calibration.temperature(logits, torch.from_numpy(weighted).float())
    probabilities = (logits / temperature).softmax(1).numpy()
    plain, at_mix = (round(metrics.ece(probabilities, each), 5) for each in (targets, weighted))
    return temperature, {"plain": plain, "at_mix": at_mix if balance else None}


def _metrics(run: RunResult, data: Dataset, used: int, scores: Scores, manifest: Manifest) -> dict[str, object]:
    """What the run came to, as plain data. used: training faces left after copies of evaluation faces were dropped."""
    train, valid = data.split("train"), data.split("valid")
    return {
        "best_epoch": run.best.epoch,
        "qat": asdict(run.best.qat) if run.best.qat else None,
        "train_faces": used,
        "train_copies_dropped": len(train) - used,
        "valid_copies_in_train": len(valid) - len(drop_copies(valid, [train])),
        "temperature": manifest.temperature,
        "parameters": manifest.parameters,
        "macs": manifest.macs,
        "valid": asdict(scores.rounded()),
    }
