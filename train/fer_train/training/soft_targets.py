"""What each training face should be answered with: its label, people's votes, and what teachers say."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_runtime.data.dataset import Faces
from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_train.checkpoint import Checkpoint
from fer_train.data.augment import augment, drawn
from fer_train.data.batches import AT_ONCE, Batches
from fer_train.model import FerNet, folded, normalize
from fer_train.recipe import Recipe
from fer_train.training.distributed import Group
from fer_train.training.precision import autocast
from fer_train.training.progress_callback import Watcher
from fer_train.training.state import Job

if TYPE_CHECKING:
    from fer_train.data.ferplus import Votes


@dataclass(frozen=True)
class Sources:
    """What a run learns from beside the labels; the teachers' outputs stand in the order of the data's classes."""

    votes: "Votes | None" = None
    teachers: tuple[FerNet, ...] = ()


@dataclass(frozen=True)
class Answers:
    """What the training faces should be answered with. views: float32 [v, n, heads x classes].

    A head's values for a face sum to the weight of that head and face in the loss (1 for labels alone).
    Labels and votes are the same for any view of a face (v = 1); a teacher's answer belongs to the view it saw.
    """

    views: Tensor

    def of(self, epoch: int, seed: int) -> tuple[Tensor, Tensor]:
        """The views of `epoch`, from 1: what makes them (`drawn`), and what to answer to them, [n, classes]."""
        views, faces = self.views.shape[:2]
        taught = (epoch - 1) % views
        return drawn(faces, taught if views > 1 else seed * 100_003 + epoch), self.views[taught]


def answers(faces: Faces, job: Job, sources: Sources, folder: Path, group: Group, watcher: Watcher) -> Answers:
    """What `faces`, the training split, should be answered with.

    The teachers' answers, which take minutes, are kept in `folder` for the next run with the same ones.
    """
    found = labelled(faces, len(job.classes), job.recipe, sources.votes)
    if not sources.teachers:
        return Answers(found[None])
    facts = json.dumps([job.fingerprint, job.teachers, job.recipe.teacher_views, asdict(job.recipe.augmentation)])
    kept = folder / f"taught-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.pt"
    said = group.agreed(_taught(faces, job, sources, kept, group, watcher) if group.first else None)
    assert said is not None
    first, rest = found.split([len(job.classes), found.shape[1] - len(job.classes)], 1)
    weighed = said.float() * first.sum(1, keepdim=True)
    return Answers(torch.cat([torch.lerp(first, weighed, job.recipe.teacher_share), rest.expand(len(said), -1, -1)], 2))


def _taught(faces: Faces, job: Job, sources: Sources, kept: Path, group: Group, watcher: Watcher) -> Tensor:
    if kept.exists():
        with contextlib.suppress(Exception):  # torch.load raises almost anything for a damaged file: asked again
            said: Tensor = torch.load(kept, weights_only=True)
            if said.shape == (job.recipe.teacher_views, len(faces), len(job.classes)):
                return said
    watcher.begin("asking the teachers", job.recipe.teacher_views * -(-len(faces) // AT_ONCE), 0)
    said = taught(faces, sources.teachers, job.recipe, group.device, watcher.advance)
    with written_whole(kept) as beside, beside.open("wb") as file:
        torch.save(said, file)
    return said


def labelled(faces: Faces, classes: int, recipe: Recipe, votes: "Votes | None") -> Tensor:
    """float32 [n, heads x classes]: the labels, smoothed, or the votes where there are some.

    A voted face weighs as much as the share of its voters who saw one of the classes, so those of no class hardly
    count. With the recipe's label_share a second head has the labels. Votes are not smoothed: they disagree by
    themselves. Raises FerError for votes of which none is for one of `faces`.
    """
    hard = F.one_hot(torch.from_numpy(faces.labels), classes).float()
    hard = hard * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
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
class Held:
    """What validation faces are held against.

    targets: float32 [n, classes], a row's sum its weight; labels: int64 [n], below 0 where accuracy has none.
    """

    targets: Tensor
    labels: Tensor

    def accuracy(self, logits: Tensor) -> float:
        """Of the faces with a label."""
        known = self.labels >= 0
        return float((logits.argmax(1) == self.labels)[known].double().mean())

    def log_loss(self, logits: Tensor) -> float:
        """Mean cross-entropy of the targets, in nats."""
        return float(-(self.targets * logits.log_softmax(1)).sum() / self.targets.sum())


def held(faces: Faces, classes: int, votes: "Votes | None") -> Held:
    """What `faces`, the validation split, are held against: their labels, or with `votes` the votes alone."""
    labels = torch.from_numpy(faces.labels)
    if votes is None:
        return Held(F.one_hot(labels, classes).float(), labels)
    shares, _ = map(torch.from_numpy, votes.shares(faces.names))
    majority = torch.from_numpy(votes.majority(faces.names))
    if not (majority >= 0).any():
        raise FerError(
            f"the votes name a class for none of the {len(faces)} validation images: "
            f"expected paths like {faces.names[0]}"
        )
    return Held(shares, majority)


def taught(
    faces: Faces, teachers: tuple[FerNet, ...], recipe: Recipe, device: torch.device, step: Callable[[], None]
) -> Tensor:
    """float16 [views, n, classes]: the teachers' mean probabilities for each of the views that the pupil will see.

    Distillation (Hinton et al. 2015, arXiv:1503.02531) as function matching: teacher and pupil look at the same view
    (Beyer et al. 2021, arXiv:2106.05237), here at one of a fixed number of them, so that each is asked for once.
    `step` is called after each batch of AT_ONCE.
    """
    networks = [folded(teacher).to(device).to(memory_format=torch.channels_last) for teacher in teachers]
    batches, order = Batches(faces, device), list(torch.arange(len(faces)).split(AT_ONCE))
    side = faces.pixels.shape[-1]
    said = torch.zeros(recipe.teacher_views, len(faces), teachers[0].architecture.classes, dtype=torch.float16)
    with torch.inference_mode(), autocast(device):
        for view in range(recipe.teacher_views):
            numbers = drawn(len(faces), view).to(device)
            for index, pixels in batches.of(order):
                seen = normalize(augment(pixels, numbers[index], recipe.augmentation, side))
                seen = seen.contiguous(memory_format=torch.channels_last)
                mean = torch.stack([network(seen).float().softmax(1) for network in networks]).mean(0)
                said[view, index.cpu()] = mean.half().cpu()
                step()
    return said


def aligned(teacher: Checkpoint, classes: tuple[str, ...]) -> FerNet:
    """The teacher's network with its outputs in the order of `classes`. Raises FerError for other classes."""
    labels = teacher.manifest.labels
    if sorted(labels) != sorted(classes):
        raise FerError(f"a teacher knows {', '.join(labels)}; the data has {', '.join(classes)}: expected the same")
    order = torch.tensor([labels.index(name) for name in classes])
    network = teacher.network
    with torch.no_grad():
        network.head.weight.copy_(network.head.weight[order])
        network.head.bias.copy_(network.head.bias[order])
    return network
