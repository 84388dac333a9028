"""What spoils a training: duplicates, leaks, conflicting labels, images that are blank or cannot be decoded."""

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
    """One image of the dataset."""

    name: str
    """`folder/class/file`, as in Faces.names."""
    split: str
    """train, valid or test."""
    label: str
    """Its class."""


Group = tuple[Image, ...]  # all images of one picture: exact duplicates


@dataclass(frozen=True)
class Pair:
    """Two pictures of one photo: near-duplicates."""

    first: Group
    """All images of one picture."""
    second: Group
    """All images of the other."""
    correlation: float
    """Of their pixels, up to 1."""
    mirrored: bool
    """Whether one is the other's mirror image."""


@dataclass(frozen=True)
class Leak:
    """How many images of an evaluation split also occur in a split before it."""

    split: str
    """The evaluation split: valid or test."""
    other_split: str
    """The split in which they occur, too."""
    duplicates: int
    """Images with an exact duplicate there."""
    near_duplicates: int
    """Images with a near-duplicate there, and no exact one."""


@dataclass(frozen=True)
class Audit:
    """All findings."""

    class_counts: dict[str, dict[str, int]]
    """Images by split and class."""
    duplicates: list[Group]
    """Pictures that several images share, pixel by pixel."""
    near_duplicates: list[Pair]
    """Pairs of different pictures of one photo."""
    leaks: list[Leak]
    """By pair of splits."""
    leaked_images: int
    """Validation and test images that also occur in an earlier split, exactly or nearly."""
    blank: list[Image]
    """Images of one shade."""
    undecodable: list[str]
    """Names of files that are no images, or broken ones."""

    @property
    def evaluation_images(self) -> int:
        """The number of validation and test images."""
        return sum(sum(classes.values()) for split, classes in self.class_counts.items() if split != "train")


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
    leaks, leaked_images = _leaks(list(data.splits), groups, [(first, second) for first, second, _ in found])
    return Audit(
        class_counts=_counts(data),
        duplicates=[group for group in groups if len(group) > 1],
        near_duplicates=[Pair(groups[first], groups[second], m.correlation, m.mirrored) for first, second, m in found],
        leaks=leaks,
        leaked_images=leaked_images,
        blank=[image for picture in np.flatnonzero(blank) for image in groups[picture]],
        undecodable=_undecodable(data, path),
    )


def labels_conflict(images: Group) -> bool:
    """Whether images of one picture or photo have different labels."""
    return len({image.label for image in images}) > 1


def duplicates_between(group: Group) -> set[str]:
    """The pairs of splits that share a picture: `train-valid`, or `train-train` where one holds it twice."""
    held = Counter(image.split for image in group)
    pairs = combinations_with_replacement([split for split in SPLITS if split in held], 2)
    return {f"{one}-{other}" for one, other in pairs if one != other or held[one] > 1}


def near_duplicates_between(pair: Pair) -> set[str]:
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
    leaked_images = 0
    for index, split in enumerate(splits):
        leaking: set[int] = set()
        for other in splits[:index]:
            same = {picture for picture, count in enumerate(held) if count[other]}
            close = {neighbour for picture in same for neighbour in beside[picture]} - same
            identical, nearly = (sum(held[picture][split] for picture in pictures) for pictures in (same, close))
            leaks.append(Leak(split, other, identical, nearly))
            leaking |= same | close
        leaked_images += sum(held[picture][split] for picture in leaking)
    return leaks, leaked_images


def _counts(data: Dataset) -> dict[str, dict[str, int]]:
    """Images of each class in each split."""
    return {
        split: dict(zip(data.classes, np.bincount(faces.labels, minlength=len(data.classes)).tolist(), strict=True))
        for split, faces in data.splits.items()
    }


def _undecodable(data: Dataset, path: Path) -> list[str]:
    """Names of the images that are there and could not be decoded."""
    with opened(path) as index:
        there = Counter(entry.name for entry in index.entries)
    there.subtract(name for faces in data.splits.values() for name in faces.names)
    return sorted(there.elements())
