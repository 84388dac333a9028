"""The locator's training: the detector's answers as targets, an average of the weights as the result."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_runtime.files import written_whole
from fer_train.checkpoint import Ranges
from fer_train.locator.network import LocatorNet, folded, sites
from fer_train.locator.samples import Samples
from fer_train.locator.views import Views, plain, varied
from fer_train.model import normalize
from fer_train.ranges import bounds

SCALE = torch.tensor([1.0] * 4 + [0.5] * 10)  # weights of box and landmarks in the loss
RANGE_SCENES = 512  # on which activation ranges are observed
NEAR = 0.02  # error in sides of the region below which it counts as its square (smooth L1)


@dataclass(frozen=True)
class LocatorRecipe:
    """Every number of the training."""

    epochs: int = 40
    batch: int = 128
    rate: float = 2e-3
    """Of AdamW, falling as a cosine."""
    weight_decay: float = 0.02
    average: float = 0.99
    """Share of the averaged weights that a step keeps."""
    places: float = 8.0
    """Weight of the places' loss beside that of face or not."""
    seed: int = 0


@dataclass(frozen=True)
class LocatorScore:
    """How it does on held-out scenes; distances in shares of the face's longer side."""

    recall: float
    """Faces called faces (at 0.5)."""
    false_alarms: float
    """Of scenes without a face in the middle, those called faces."""
    iou_median: float
    iou_p5: float
    """Of its boxes with the detector's."""
    centre_error: float
    """Median distance of the boxes' centres."""
    height_bias: float
    """Median of the logarithm of its box's height by the detector's."""
    landmark_error: float
    """Median distance of the landmarks."""


def loss(outputs: Tensor, views: Views, places: float) -> Tensor:
    """Face or not by cross-entropy; the places of faces by smooth L1."""
    sure = F.binary_cross_entropy_with_logits(outputs[:, 0], views.faces)
    off = F.smooth_l1_loss(outputs[:, 1:], views.places, beta=NEAR, reduction="none") * SCALE
    return sure + places * (off.mean(1) * views.faces).sum() / views.faces.sum().clamp(min=1)


def train(samples: Samples, recipe: LocatorRecipe, state: Path, progress: Callable[[int, float], None]) -> LocatorNet:
    """The averaged network, in eval mode. state: a file by which an interrupted training goes on; kept at the end.

    progress: called with the epochs done and the mean loss.
    """
    torch.manual_seed(recipe.seed)
    network = LocatorNet().to(memory_format=torch.channels_last)
    average = deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    scenes, places, faces = (torch.from_numpy(each) for each in (samples.scenes, samples.places, samples.faces))
    batch = min(recipe.batch, len(faces))
    steps = len(faces) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=recipe.epochs * steps, pct_start=0.05
    )
    first = _resume(state, recipe, network, average, optimizer, schedule)
    for epoch in range(first, recipe.epochs):
        torch.manual_seed(recipe.seed * 100_000 + epoch)
        network.train()
        total = 0.0
        for chosen in torch.randperm(len(faces))[: steps * batch].split(batch):
            views = varied(scenes[chosen], places[chosen], faces[chosen])
            pixels = normalize(views.pixels).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                outputs = network(pixels)
            error = loss(outputs.float(), views, recipe.places)
            optimizer.zero_grad(set_to_none=True)
            error.backward()
            optimizer.step()
            schedule.step()
            _averaged(average, network, recipe.average)
            total += float(error.detach())
        _save(state, recipe, epoch + 1, network, average, optimizer, schedule)
        progress(epoch + 1, total / steps)
    return average.eval()


def _averaged(average: LocatorNet, network: LocatorNet, kept: float) -> None:
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - kept)
            else:
                mean.copy_(value)


def _save(state: Path, recipe: LocatorRecipe, epoch: int, *parts: Any) -> None:
    plain_state = {"recipe": asdict(recipe), "epoch": epoch, "parts": [part.state_dict() for part in parts]}
    with written_whole(state) as beside, beside.open("wb") as file:
        torch.save(plain_state, file)


def _resume(state: Path, recipe: LocatorRecipe, *parts: Any) -> int:
    """The epochs done by an interrupted training of the same recipe, whose state `parts` take; 0 without one."""
    if not state.exists():
        return 0
    saved = torch.load(state, weights_only=True)
    if saved["recipe"] != asdict(recipe):
        return 0
    for part, values in zip(parts, saved["parts"], strict=True):
        part.load_state_dict(values)
    return int(saved["epoch"])


def score(network: Callable[[Tensor], Tensor], samples: Samples) -> LocatorScore:
    """On scenes as they are, each face in its region's middle. network: takes pixels, 0 to 255."""
    faces = torch.from_numpy(samples.faces)
    views = plain(torch.from_numpy(samples.scenes), torch.from_numpy(samples.places), faces)
    with torch.inference_mode():
        outputs = network(views.pixels.round())
    called = outputs[:, 0] > 0
    found, targets = outputs[faces, 1:], views.places[faces]
    iou = _iou(found, targets)
    longer = torch.exp(targets[:, 2:4]).amax(1)
    centre = (found[:, :2] - targets[:, :2]).norm(dim=1) / longer
    marks = (found[:, 4:] - targets[:, 4:]).reshape(-1, 5, 2).norm(dim=2) / longer[:, None]
    return LocatorScore(
        recall=float(called[faces].float().mean()),
        false_alarms=float(called[~faces].float().mean()),
        iou_median=float(iou.median()),
        iou_p5=float(np.percentile(iou.numpy(), 5)),
        centre_error=float(centre.median()),
        height_bias=float((found[:, 3] - targets[:, 3]).median()),
        landmark_error=float(marks.median()),
    )


def observed_ranges(network: LocatorNet, samples: Samples) -> Ranges:
    """The range of every site of the folded network over some of the scenes, as they are and varied."""
    torch.manual_seed(0)
    observed = folded(network)
    few = torch.from_numpy(np.linspace(0, len(samples.faces) - 1, RANGE_SCENES).astype(np.int64))
    scenes, places, faces = (torch.from_numpy(each)[few] for each in (samples.scenes, samples.places, samples.faces))
    ranges: Ranges = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            ranges[name] = bounds(output.numpy(), "mse")

        return hook

    for name, module in sites(observed):
        module.register_forward_hook(watch(name))
    both = [plain(scenes, places, faces).pixels.round(), varied(scenes, places, faces).pixels]
    with torch.inference_mode():
        observed(normalize(torch.cat(both)))
    return ranges


def _iou(one: Tensor, other: Tensor) -> Tensor:
    """Of boxes as the network gives them."""
    sizes, others = torch.exp(one[:, 2:4]), torch.exp(other[:, 2:4])
    low = torch.maximum(one[:, :2] - sizes / 2, other[:, :2] - others / 2)
    high = torch.minimum(one[:, :2] + sizes / 2, other[:, :2] + others / 2)
    inside = (high - low).clamp(min=0).prod(1)
    return inside / (sizes.prod(1) + others.prod(1) - inside)
