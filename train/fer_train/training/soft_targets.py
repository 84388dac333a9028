"""The targets of a training run: labels, people's votes, and teachers' predictions."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_runtime.data.dataset import UNLABELLED, Faces
from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_train.checkpoint import Checkpoint
from fer_train.data.augment import augment, drawn
from fer_train.data.batches import AT_ONCE, Batches
from fer_train.model import FerNet, folded, normalize
from fer_train.recipe import Recipe
from fer_train.training.distributed import Group
from fer_train.training.precision import autocast
from fer_train.training.progress_callback import ProgressCallback
from fer_train.training.state import RunConfig

if TYPE_CHECKING:
    from fer_train.data.ferplus import Votes


@dataclass(frozen=True)
class Sources:
    """What a run learns from beside the labels; the teachers' outputs are in the order of the data's classes."""

    votes: "Votes | None" = None
    teachers: tuple[FerNet, ...] = ()


@dataclass(frozen=True)
class SoftTargets:
    """The targets of the training faces. views: float32 [v, n, heads x classes].

    A head's values for a face sum to the weight of that head and face in the loss (1 for labels alone).
    Labels and votes are the same for any view of a face (v = 1); a teacher's prediction belongs to the view it saw.
    """

    views: Tensor

    def of(self, epoch: int, seed: int) -> tuple[Tensor, Tensor]:
        """The views of `epoch`, from 1: what makes them (`drawn`), and their targets, [n, heads x classes]."""
        views, faces = self.views.shape[:2]
        view = (epoch - 1) % views
        return drawn(faces, view if views > 1 else seed * 100_003 + epoch), self.views[view]


def training_targets(
    faces: Faces, config: RunConfig, sources: Sources, folder: Path, group: Group, progress: ProgressCallback
) -> SoftTargets:
    """The targets of `faces`, the training split; one without a label learns what the teachers predict, and that alone.

    The teachers' predictions, which take minutes, are kept in `folder` for the next run with the same ones. Each epoch
    has views of its own where the recipe's `teacher_views` are as many.
    """
    found = labelled(faces, len(config.classes), config.recipe, sources.votes)
    if not sources.teachers:
        return SoftTargets(found[None])
    views = min(config.recipe.teacher_views, max(2, config.recipe.epochs))  # one alone would be no fixed view
    config = replace(config, recipe=replace(config.recipe, teacher_views=views))
    known_by = [config.fingerprint, config.teachers, views, asdict(config.recipe.augmentation)]
    facts = json.dumps(known_by + ([config.unlabelled] if config.unlabelled else []))
    kept = folder / f"soft-targets-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.pt"
    probabilities = group.agreed(
        _teacher_targets(faces, config, sources, kept, group, progress) if group.first else None
    )
    assert probabilities is not None
    first, rest = found.split([len(config.classes), found.shape[1] - len(config.classes)], 1)
    unlabelled = torch.from_numpy(faces.labels == UNLABELLED)[:, None]
    weighed = probabilities.float() * torch.where(unlabelled, 1.0, first.sum(1, keepdim=True))
    share = torch.where(unlabelled, 1.0, config.recipe.teacher_share)
    return SoftTargets(torch.cat([torch.lerp(first, weighed, share), rest.expand(len(probabilities), -1, -1)], 2))


def _teacher_targets(
    faces: Faces, config: RunConfig, sources: Sources, kept: Path, group: Group, progress: ProgressCallback
) -> Tensor:
    if kept.exists():
        with contextlib.suppress(Exception):  # torch.load raises almost anything for a damaged file: computed again
            probabilities: Tensor = torch.load(kept, weights_only=True)
            if probabilities.shape == (config.recipe.teacher_views, len(faces), len(config.classes)):
                return probabilities
    progress.begin("predictions of the teachers", config.recipe.teacher_views * -(-len(faces) // AT_ONCE), 0)
    probabilities = teacher_targets(faces, sources.teachers, config.recipe, group.device, progress.advance)
    with written_whole(kept) as beside, beside.open("wb") as file:
        torch.save(probabilities, file)
    return probabilities


def labelled(faces: Faces, classes: int, recipe: Recipe, votes: "Votes | None") -> Tensor:
    """float32 [n, heads x classes]: the labels, smoothed, or the votes where there are some.

    A voted face weighs as much as the share of its voters who saw one of the classes, so those of no class hardly
    count. With the recipe's label_share a second head has the labels. Votes are not smoothed: they differ among
    themselves. A face without a label has nothing but zeros.
    Raises FerError for votes of which none is for one of `faces`.
    """
    labels = torch.from_numpy(faces.labels)
    hard = F.one_hot(labels.clamp_min(0), classes).float()
    hard = hard * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
    hard[labels == UNLABELLED] = 0
    if votes is None:
        return hard
    shares, voted = map(torch.from_numpy, votes.shares(faces.names))
    if not voted.any():
        raise FerError(
            f"the votes are for none of the {len(faces)} training images: expected paths like {faces.names[0]}"
        )
    soft = torch.where(voted[:, None], shares, hard)
    if not recipe.label_share:
        return soft
    return torch.cat([soft * (1 - recipe.label_share), hard * recipe.label_share], 1)


@dataclass(frozen=True)
class ValidationTargets:
    """What predictions for the validation faces are compared with.

    targets: float32 [n, classes], a row's sum its weight; labels: int64 [n], below 0 where accuracy has none;
    sources: int64 [n], the data set of each, None for one alone; names: of these. Each data set counts alike.
    """

    targets: Tensor
    labels: Tensor
    sources: Tensor | None = None
    names: tuple[str, ...] = ()

    def accuracy(self, logits: Tensor) -> float:
        """Of the faces with a label; the mean over the data sets."""
        return fmean(self.accuracies(logits).values())

    def accuracies(self, logits: Tensor) -> dict[str, float]:
        """Of each data set's faces with a label, by name."""
        right, known = logits.argmax(1) == self.labels, self.labels >= 0
        return {name: float(right[own & known].double().mean()) for name, own in self._parts() if (own & known).any()}

    def log_loss(self, logits: Tensor) -> float:
        """Mean cross-entropy of the targets, in nats; the mean over the data sets."""
        losses = -(self.targets * logits.log_softmax(1))
        return fmean(float(losses[own].sum() / self.targets[own].sum()) for _, own in self._parts())

    def equal_weights(self) -> Tensor:
        """The targets, those of each data set scaled to the same sum."""
        targets = self.targets.clone()
        for _, own in self._parts() if self.names else ():
            targets[own] *= len(targets) / targets[own].sum()
        return targets

    def _parts(self) -> list[tuple[str, Tensor]]:
        """Name and bool [n] of each data set that has some of the faces, and votes or labels for them."""
        if self.sources is None:
            return [("", torch.ones(len(self.targets), dtype=torch.bool))]
        parts = [(name, self.sources == number) for number, name in enumerate(self.names)]
        return [(name, own) for name, own in parts if self.targets[own].sum() > 0]


def validation_targets(
    faces: Faces, classes: int, votes: "Votes | None", names: tuple[str, ...] = ()
) -> ValidationTargets:
    """The targets of `faces`, the validation split: their labels, or with `votes` the votes alone.

    names: of the data sets that were joined; one without any votes is measured on its labels.
    """
    labels = torch.from_numpy(faces.labels)
    hard = F.one_hot(labels, classes).float()
    sources = None if faces.sources is None or not names else torch.from_numpy(faces.sources)
    if votes is None:
        return ValidationTargets(hard, labels, sources, names)
    shares, voted = map(torch.from_numpy, votes.shares(faces.names))
    majority = torch.from_numpy(votes.majority(faces.names))
    if not (majority >= 0).any():
        raise FerError(
            f"the votes name a class for none of the {len(faces)} validation images: "
            f"expected paths like {faces.names[0]}"
        )
    for number in range(len(names)) if sources is not None else ():
        own = sources == number
        if not voted[own].any():
            shares[own], majority[own] = hard[own], labels[own]
    return ValidationTargets(shares, majority, sources, names)


def teacher_targets(
    faces: Faces, teachers: tuple[FerNet, ...], recipe: Recipe, device: torch.device, step: Callable[[], None]
) -> Tensor:
    """float16 [views, n, classes]: the teachers' mean probabilities for each of the views that the student will see.

    Distillation (Hinton et al. 2015, arXiv:1503.02531) as function matching: teacher and student see the same view
    (Beyer et al. 2021, arXiv:2106.05237), here at one of a fixed number of them, so that each is computed once.
    `step` is called after each batch of AT_ONCE.
    """
    networks = [folded(teacher).to(device).to(memory_format=torch.channels_last) for teacher in teachers]
    batches, order = Batches(faces, device), list(torch.arange(len(faces)).split(AT_ONCE))
    side = faces.pixels.shape[-1]
    probabilities = torch.zeros(recipe.teacher_views, len(faces), teachers[0].architecture.classes, dtype=torch.float16)
    with torch.inference_mode(), autocast(device):
        for view in range(recipe.teacher_views):
            numbers = drawn(len(faces), view).to(device)
            for index, pixels in batches.of(order):
                seen = normalize(augment(pixels, numbers[index], recipe.augmentation, side))
                seen = seen.contiguous(memory_format=torch.channels_last)
                mean = torch.stack([network(seen).float().softmax(1) for network in networks]).mean(0)
                probabilities[view, index.cpu()] = mean.half().cpu()
                step()
    return probabilities


def aligned(teacher: Checkpoint, classes: tuple[str, ...]) -> FerNet:
    """The teacher's network as it was trained: outputs in the order of `classes`, without what balanced its mix.

    Raises FerError for other classes.
    """
    labels = teacher.manifest.labels
    if sorted(labels) != sorted(classes):
        raise FerError(f"a teacher knows {', '.join(labels)}; the data has {', '.join(classes)}: expected the same")
    order = torch.tensor([labels.index(name) for name in classes])
    network = teacher.network
    with torch.no_grad():
        network.head.weight.copy_(network.head.weight[order])
        added = torch.tensor(teacher.manifest.balance.get("added", [0.0] * len(labels)))
        network.head.bias.copy_((network.head.bias - added)[order])
    return network
