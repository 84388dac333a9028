"""Labelled faces out of an ImageFolder, plain or zipped, in their splits; the one reader that every stage uses."""

import hashlib
import math
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime.data import class_names
from fer_runtime.data.decode import read_picture
from fer_runtime.data.index import SPLITS, Entry, Split, images, opened
from fer_runtime.errors import FerError
from fer_runtime.model.preprocessing import CHANNELS, to_face

OBLONG = 1.1  # longer side by shorter one from which a picture is no crop of a face
UNLABELLED = -1  # in place of a label
CARVED = 0.1  # share of train that becomes validation where the data has none


@dataclass(frozen=True)
class Faces:
    """Labelled faces: a split, or part of one."""

    pixels: NDArray[np.uint8]
    """[n, channels, size, size]."""
    labels: NDArray[np.int64]
    """[n], indices into the dataset's classes; UNLABELLED for faces of a transfer set."""
    names: tuple[str, ...]
    """`folder/class/file` of each, the folder as the data has it (FER2013's PublicTest is in test)."""
    spool: Path | None = None
    """The folder in which pixels are mapped from a file; None for pixels in memory."""
    sources: NDArray[np.int64] | None = None
    """[n], which of several data sets each is from, below 0 for a transfer set's; None for one alone."""

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: NDArray[np.int64]) -> "Faces":
        """The faces at `index` (int64 [k]), in that order; what is spooled on disk stays there."""
        pixels = _room((len(index), *self.pixels.shape[1:]), self.spool)
        for start in range(0, len(index), 4096):
            pixels[start : start + 4096] = self.pixels[index[start : start + 4096]]
        sources = None if self.sources is None else self.sources[index]
        return Faces(pixels, self.labels[index], tuple(self.names[i] for i in index), self.spool, sources)


@dataclass(frozen=True)
class Dataset:
    """Labelled faces in their splits."""

    classes: tuple[str, ...]
    """The labels, in the order of the data, or of the model that it is scored with."""
    splits: dict[Split, Faces]
    """What is there of train, valid and test."""
    notes: tuple[str, ...] = ()
    """What a user should be told."""
    understood: str = ""
    """In one sentence, how the folders or the table were read: splits, counts, classes."""
    sources: tuple[str, ...] = ()
    """Names of the data sets that were joined (fer_train.data.sources); empty for one alone."""
    renamed: tuple[str, ...] = ()
    """Classes that have another name here, as `2:anger=angry`, the data set's number first."""

    def split(self, name: Split) -> Faces:
        """One split. Raises FerError when the data has no such split."""
        if name not in self.splits:
            raise FerError(f"the data has no {name!r} split: found {', '.join(self.splits)}; choose one of these")
        return self.splits[name]

    def held_out(self) -> tuple[Split, Faces]:
        """The split to score a model on: validation, else test, else all there is."""
        name = next(name for name in ("valid", "test", "train") if name in self.splits)
        return name, self.splits[name]

    def aligned(self, labels: tuple[str, ...]) -> "Dataset":
        """The same faces with `labels` as classes, in that order; anger is angry, and so on (`class_names`).

        Raises FerError for a class that is none of them.
        """
        meant, notes = class_names.of_model(self.classes, labels)
        index = np.array([labels.index(meant[name]) for name in self.classes], np.int64)
        splits = {name: replace(faces, labels=index[faces.labels]) for name, faces in self.splits.items()}
        return replace(self, classes=labels, splits=splits, notes=(*self.notes, *notes))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and pixels of all splits: equal for a folder and a zip of it."""
        digest = hashlib.sha256()
        for faces in self.splits.values():
            for index in sorted(range(len(faces)), key=lambda i: faces.names[i]):
                digest.update(faces.names[index].encode("utf-8", "surrogateescape"))
                digest.update(faces.pixels[index].tobytes())
        return digest.hexdigest()


def load(path: Path, size: int = 48, carve: bool = False, spool: Path | None = None, colour: str = "grey") -> Dataset:
    """Read an ImageFolder, a zip of one, or Kaggle's fer2013.csv; each face becomes `size` x `size`, "grey" or "rgb".

    Layouts: `train/<class>/*`, `test/<class>/*` (and `valid/`), or `<class>/*` alone; fer_runtime.data.layout has the
    rules. In `test/`, FER2013's file names decide: `PublicTest_*` is validation, `PrivateTest_*` is test. With `carve`,
    data without a validation split gets a tenth of train as one, stratified, always the same. Nothing is unpacked to
    disk, unless `spool` names a folder: then pixels stay in a nameless file there, which ends with the process, and
    memory holds only what is in use.
    Raises FerError for a missing, empty, broken or hostile input, or one that memory does not hold.
    """
    with opened(path) as index:
        splits, notes = _decoded(index.entries, index.classes, (size, colour), spool)
    if not splits:
        raise FerError(f"no image in {path} can be decoded (first: {index.entries[0].path}): is it complete?")
    notes = [*index.notes, *notes]
    if carve and "train" in splits and "valid" not in splits:
        splits |= _carved(splits["train"])
        if not len(splits["valid"]):
            raise FerError(f"{path} has one image a class: expected several, some to train on and some to validate")
        notes.append(f"no validation split found: {len(splits['valid'])} training images were set aside for it")
        if nested := next((entry for entry in index.entries if "/" in entry.inside), None):
            notes.append(
                f"images lie in folders inside their classes (first: {nested.path}): if these are people or sequences, "
                "some stand in both training and validation; for figures on new people, make a folder valid"
            )
    elif set(splits) == {"train"}:
        notes.append("no validation or test split found: all images count as one set, whether trained on or not")
    return Dataset(index.classes, splits, tuple(notes), index.understood)


def load_unlabelled(path: Path, spool: Path | None = None) -> tuple[Faces, tuple[str, ...]]:
    """All pictures of a folder or zip, in whatever folders, 48 x 48 and grey, without labels; and notes for the user.

    `spool` as for `load`. Raises FerError for a missing, empty, broken or hostile input.
    """
    with images(path) as listing:
        entries = [Entry(inside, "train", "unlabelled", str(inside), read) for inside, read in listing.images]
        splits, notes = _decoded(entries, ("unlabelled",), (48, "grey"), spool)
    if not splits:
        raise FerError(f"no image in {path} can be decoded (first: {entries[0].path}): is it complete?")
    faces = splits["train"]
    return replace(faces, labels=np.full(len(faces), UNLABELLED, np.int64)), tuple(notes)


def joined(parts: list[Faces]) -> Faces:
    """The faces of all `parts`, in that order; spooled on disk where the first part is."""
    spool = parts[0].spool
    pixels = _room((sum(map(len, parts)), *parts[0].pixels.shape[1:]), spool)
    start = 0
    for part in parts:
        pixels[start : start + len(part)] = part.pixels
        start += len(part)
    labels, names = np.concatenate([part.labels for part in parts]), sum((part.names for part in parts), ())
    sources = None
    if any(part.sources is not None for part in parts):
        none = [np.full(len(part), UNLABELLED, np.int64) for part in parts]
        sources = np.concatenate(
            [n if part.sources is None else part.sources for n, part in zip(none, parts, strict=True)]
        )
    return Faces(pixels, labels, names, spool, sources)


def is_copy(faces: Faces, of: list[Faces]) -> NDArray[np.bool_]:
    """bool [n]: whether the pixels of each face also stand in one of the splits `of`."""
    others = {pixels.tobytes() for other in of for pixels in other.pixels}
    return np.array([pixels.tobytes() in others for pixels in faces.pixels], bool)


def drop_copies(faces: Faces, of: list[Faces]) -> Faces:
    """`faces` without those whose pixels also stand in one of the splits `of`."""
    return faces.take(np.flatnonzero(~is_copy(faces, of)))


def training_split(data: Dataset) -> Faces:
    """Train without the images whose pixels stand in an evaluation split."""
    return drop_copies(data.split("train"), [faces for name, faces in data.splits.items() if name != "train"])


def stratified(faces: Faces, count: int) -> Faces:
    """About `count` faces, in memory, spread evenly through each class in proportion to its size; always the same."""
    faces = replace(faces, spool=None)
    if count >= len(faces):
        return faces
    chosen: list[int] = []
    for label in np.unique(faces.labels):
        members = np.flatnonzero(faces.labels == label)
        share = max(1, round(count * len(members) / len(faces)))
        chosen.extend(int(i) for i in members[np.linspace(0, len(members) - 1, share).astype(int)])
    return faces.take(np.array(sorted(chosen), np.int64))


def _decoded(
    entries: list[Entry], classes: tuple[str, ...], kind: tuple[int, str], spool: Path | None
) -> tuple[dict[Split, Faces], list[str]]:
    """The splits that are there, and what to tell of images that are broken or had to be converted."""
    size, colour = kind
    _check_memory(len(entries) * CHANNELS[colour] * size * size, spool)
    splits: dict[Split, Faces] = {}
    broken: list[str] = []
    converted = oblong = 0
    for split in SPLITS:
        here = [entry for entry in entries if entry.split == split]
        pixels = _room((len(here), CHANNELS[colour], size, size), spool)
        kept: list[Entry] = []
        for entry in here:
            image = read_picture(entry.read)
            if image is None:
                broken.append(str(entry.path))
                continue
            converted += image.shape != ((size, size) if colour == "grey" else (size, size, 3))
            oblong += max(image.shape[:2]) > OBLONG * min(image.shape[:2])
            pixels[len(kept)] = to_face(image, size, colour)
            kept.append(entry)
        if kept:
            labels = np.array([classes.index(entry.label) for entry in kept], np.int64)
            splits[split] = Faces(pixels[: len(kept)], labels, tuple(entry.name for entry in kept), spool)
    notes = [f"{len(broken)} images cannot be decoded and were left out (first: {broken[0]})"] if broken else []
    notes += [f"{converted} images were not {size}x{size} {colour} and were converted"] if converted else []
    if oblong:
        notes.append(
            f"{oblong} images are oblong, and only their centre square counts: "
            "if these are photos, cut the faces out first, with fer-train crop"
        )
    return splits, notes


def _room(shape: tuple[int, ...], spool: Path | None) -> NDArray[np.uint8]:
    """Empty pixels in memory, or in a nameless file in `spool`. Raises FerError where the disk has no room."""
    if spool is None or not shape[0]:
        return np.empty(shape, np.uint8)
    try:
        with tempfile.TemporaryFile(dir=spool) as file:  # the mapping outlives the file's handle
            os.posix_fallocate(file.fileno(), 0, math.prod(shape))  # else a full disk would end in a bus error
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise FerError(
            f"cannot keep {math.prod(shape) / 1e9:.1f} GB of faces in {spool}: {error.strerror}; choose another place"
        ) from error


def _check_memory(needed: int, spool: Path | None) -> None:
    """Raise FerError for pixels that memory does not hold, before the machine begins to swap."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # not every system tells
        return
    if spool is None and needed > free:
        raise FerError(
            f"the faces take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free: "
            "fer-train fit takes --stream, elsewhere give fewer images"
        )


def _carved(train: Faces) -> dict[Split, Faces]:
    """A stratified tenth of train becomes validation; at least one face a class stays in train."""
    rng = np.random.RandomState(0)  # a fixed stream in every numpy version
    held: list[int] = []
    for label in np.unique(train.labels):
        members = rng.permutation(np.flatnonzero(train.labels == label))
        held.extend(int(i) for i in members[: min(len(members) - 1, max(1, round(CARVED * len(members))))])
    mask = np.zeros(len(train), bool)
    mask[held] = True
    return {"train": train.take(np.flatnonzero(~mask)), "valid": train.take(np.flatnonzero(mask))}
