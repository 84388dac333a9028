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

from fer_runtime.dataset import Faces
from fer_runtime.errors import FerError
from fer_runtime.files import written_whole
from fer_train.augment import augment
from fer_train.batches import Batches
from fer_train.checkpoint import Checkpoint
from fer_train.cluster import Group
from fer_train.model import FerNet, normalize
from fer_train.precision import autocast
from fer_train.recipe import Augmentation, Recipe
from fer_train.run import Job
from fer_train.watcher import Watcher

if TYPE_CHECKING:
    from fer_train.votes import Votes


@dataclass(frozen=True)
class Sources:
    """What a run learns from beside the labels; the teachers' outputs stand in the order of the data's classes."""

    votes: "Votes | None" = None
    teachers: tuple[FerNet, ...] = ()


def answers(faces: Faces, job: Job, sources: Sources, folder: Path, group: Group, watcher: Watcher) -> Tensor:
    """float32 [n, classes]: what `faces`, the training split, should be answered with.

    The teachers' answers, which take minutes, are kept in `folder` for the next run with the same ones.
    """
    found = labelled(faces, len(job.classes), job.recipe, sources.votes)
    if not sources.teachers:
        return found
    facts = json.dumps([job.fingerprint, job.teachers, job.recipe.teacher_views, asdict(Augmentation())])
    kept = folder / f"taught-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.pt"
    said = group.agreed(_taught(faces, job, sources, kept, group, watcher) if group.first else None)
    assert said is not None
    return torch.lerp(found, said, job.recipe.teacher_share)


def _taught(faces: Faces, job: Job, sources: Sources, kept: Path, group: Group, watcher: Watcher) -> Tensor:
    if kept.exists():
        with contextlib.suppress(Exception):  # torch.load raises almost anything for a damaged file: asked again
            said: Tensor = torch.load(kept, weights_only=True)
            if said.shape == (len(faces), len(job.classes)):
                return said
    watcher.begin("asking the teachers", job.recipe.teacher_views * -(-len(faces) // 512), 0)
    said = taught(faces, sources.teachers, job.recipe.teacher_views, group.device, watcher.advance)
    with written_whole(kept) as beside, beside.open("wb") as file:
        torch.save(said, file)
    return said


def labelled(faces: Faces, classes: int, recipe: Recipe, votes: "Votes | None") -> Tensor:
    """float32 [n, classes], rows sum to 1: labels, or the shares of the votes where there are some, smoothed."""
    hard = F.one_hot(torch.from_numpy(faces.labels), classes).float()
    if votes is not None:
        shares, voted = map(torch.from_numpy, votes.distribution(faces.names))
        hard = torch.where(voted[:, None], shares, hard)
    return hard * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes


def taught(
    faces: Faces, teachers: tuple[FerNet, ...], views: int, device: torch.device, step: Callable[[], None]
) -> Tensor:
    """float32 [n, classes]: the teachers' mean probabilities over `views` augmented views of each face.

    Distillation (Hinton et al. 2015, arXiv:1503.02531) with the teachers asked once instead of in every step: the mean
    over views is what they think of the face, not of one crop of it. `step` is called after each batch of 512.
    """
    networks = [teacher.to(device).to(memory_format=torch.channels_last) for teacher in teachers]
    batches, order = Batches(faces, device), list(torch.arange(len(faces)).split(512))
    total = torch.zeros(len(faces), teachers[0].architecture.classes, device=device)
    side = faces.pixels.shape[-1]
    torch.manual_seed(0)
    with torch.inference_mode(), autocast(device):
        for _ in range(views):
            for index, pixels in batches.of(order):
                seen = normalize(augment(pixels, Augmentation(), side)).contiguous(memory_format=torch.channels_last)
                for network in networks:
                    total[index] += network(seen).float().softmax(1)
                step()
    return (total / (views * len(networks))).cpu().clone()


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
