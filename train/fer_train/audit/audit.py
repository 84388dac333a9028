"""What a dataset holds that spoils a training: copies, leaks, conflicting labels, blank and broken images."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np

from fer_runtime.data.dataset import Dataset
from fer_runtime.data.index import SPLITS, opened
from fer_train.audit.near_duplicates import SIDE, is_blank, matches


@dataclass(frozen=True)
class Image:
    """name: `folder/class/file`; split: train, valid or test; label: its class."""

    name: str
    split: str
    label: str


Group = tuple[Image, ...]  # all images of one picture, identical to the pixel


@dataclass(frozen=True)
class Pair:
    """Two pictures of one photo. correlation: of their pixels, up to 1; mirrored: one is the other's mirror image."""

    first: Group
    second: Group
    correlation: float
    mirrored: bool


@dataclass(frozen=True)
class Leak:
    """How many images of `split` stand in the split `other` too: identical to the pixel, or else nearly."""

    split: str
    other: str
    identical: int
    near: int


@dataclass(frozen=True)
class Audit:
    """What was found.

    counts: images of each class in each split; identical: pictures that several images share; near: pairs of
    different pictures; affected: validation and test images that stand in an earlier split too; broken: names.
    """

    counts: dict[str, dict[str, int]]
    identical: list[Group]
    near: list[Pair]
    leaks: list[Leak]
    affected: int
    blank: list[Image]
    broken: list[str]

    @property
    def evaluated(self) -> int:
        """The number of validation and test images."""
        return sum(sum(classes.values()) for split, classes in self.counts.items() if split != "train")


def audit(data: Dataset, path: Path, track: Callable[[range], Iterable[int]]) -> Audit:
    """Examine `data`, which was read from `path` at 48x48; `track` shows the steps of the search for pairs.

    Raises FerError when `path` cannot be read any more.
    """
    pictures = _pictures(data)
    groups = list(pictures.values())
    pixels = np.frombuffer(b"".join(pictures), np.uint8).reshape(-1, SIDE, SIDE)
    blank = np.array([is_blank(picture) for picture in pixels], bool)
    shown = np.flatnonzero(~blank).tolist()
    found = [(shown[m.first], shown[m.second], m) for m in matches(pixels[shown], track)]
    leaks, affected = _leaks(list(data.splits), groups, [(first, second) for first, second, _ in found])
    return Audit(
        counts=_counts(data),
        identical=[group for group in groups if len(group) > 1],
        near=[Pair(groups[first], groups[second], m.correlation, m.mirrored) for first, second, m in found],
        leaks=leaks,
        affected=affected,
        blank=[image for picture in np.flatnonzero(blank) for image in groups[picture]],
        broken=_broken(data, path),
    )


def in_conflict(images: Group) -> bool:
    """Whether images of one picture or photo stand in different classes."""
    return len({image.label for image in images}) > 1


def identical_between(group: Group) -> set[str]:
    """The pairs of splits that hold a picture twice: `train-valid`, or `train-train` for two in one."""
    held = Counter(image.split for image in group)
    pairs = combinations_with_replacement([split for split in SPLITS if split in held], 2)
    return {f"{one}-{other}" for one, other in pairs if one != other or held[one] > 1}


def near_between(pair: Pair) -> set[str]:
    """The pairs of splits in which the two pictures stand."""
    both = product({image.split for image in pair.first}, {image.split for image in pair.second})
    return {"-".join(sorted(splits, key=SPLITS.index)) for splits in both}


def _pictures(data: Dataset) -> dict[bytes, Group]:
    """The images of each picture, by its pixels."""
    pictures: dict[bytes, list[Image]] = defaultdict(list)
    for split, faces in data.splits.items():
        for pixels, label, name in zip(faces.pixels, faces.labels, faces.names, strict=True):
            pictures[pixels.tobytes()].append(Image(name, split, data.classes[label]))
    return {pixels: tuple(images) for pixels, images in pictures.items()}


def _leaks(splits: list[str], groups: list[Group], near: list[tuple[int, int]]) -> tuple[list[Leak], int]:
    """The leaks from each evaluation split into the splits before it, and how many images they are together."""
    held = [Counter(image.split for image in group) for group in groups]
    beside: dict[int, set[int]] = defaultdict(set)
    for first, second in near:
        beside[first].add(second)
        beside[second].add(first)
    leaks: list[Leak] = []
    affected = 0
    for index, split in enumerate(splits):
        leaking: set[int] = set()
        for other in splits[:index]:
            same = {picture for picture, count in enumerate(held) if count[other]}
            close = {neighbour for picture in same for neighbour in beside[picture]} - same
            identical, nearly = (sum(held[picture][split] for picture in pictures) for pictures in (same, close))
            leaks.append(Leak(split, other, identical, nearly))
            leaking |= same | close
        affected += sum(held[picture][split] for picture in leaking)
    return leaks, affected


def _counts(data: Dataset) -> dict[str, dict[str, int]]:
    """Images of each class in each split."""
    return {
        split: dict(zip(data.classes, np.bincount(faces.labels, minlength=len(data.classes)).tolist(), strict=True))
        for split, faces in data.splits.items()
    }


def _broken(data: Dataset, path: Path) -> list[str]:
    """Names of the images that are there and could not be decoded."""
    with opened(path) as index:
        there = Counter(entry.name for entry in index.entries)
    there.subtract(name for faces in data.splits.values() for name in faces.names)
    return sorted(there.elements())
