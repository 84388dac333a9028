"""Labelled faces out of an ImageFolder, plain or zipped, in their splits; the one reader that every stage uses."""

import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime import listing
from fer_runtime.errors import FerError
from fer_runtime.framing import to_face
from fer_runtime.listing import SPLITS, Entry, Split

CARVED = 0.1  # share of train that becomes validation where the data has none


@dataclass(frozen=True)
class Faces:
    """One split.

    pixels: uint8 [n, 1, size, size]; labels: int64 [n], indices into the dataset's classes;
    names: n strings `folder/class/file`, the folder as the data has it (FER2013's PublicTest stands in test).
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: NDArray[np.int64]) -> "Faces":
        """The faces at `index` (int64 [k]), in that order."""
        return Faces(self.pixels[index], self.labels[index], tuple(self.names[i] for i in index))


@dataclass(frozen=True)
class Dataset:
    """classes: labels in order; splits: what is there of train, valid and test; notes: what a user should be told."""

    classes: tuple[str, ...]
    splits: dict[Split, Faces]
    notes: tuple[str, ...] = ()

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
        """The same faces with `labels` as classes, in that order. Raises FerError for a class not among them."""
        unknown = [name for name in self.classes if name not in labels]
        if unknown:
            raise FerError(
                f"the data has a class {unknown[0]!r} that the model does not know: it knows {', '.join(labels)}"
            )
        index = np.array([labels.index(name) for name in self.classes], np.int64)
        splits = {name: Faces(f.pixels, index[f.labels], f.names) for name, f in self.splits.items()}
        return Dataset(labels, splits, self.notes)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and pixels of all splits: equal for a folder and a zip of it."""
        digest = hashlib.sha256()
        for faces in self.splits.values():
            for index in sorted(range(len(faces)), key=lambda i: faces.names[i]):
                digest.update(faces.names[index].encode())
                digest.update(faces.pixels[index].tobytes())
        return digest.hexdigest()


def load(path: Path, size: int = 48, carve: bool = False) -> Dataset:
    """Read an ImageFolder or a zip of one; each face becomes grey and `size` x `size`.

    Layouts: `train/<class>/*`, `test/<class>/*` (and `valid/`), or `<class>/*` alone. In `test/`, FER2013's file names
    decide: `PublicTest_*` is validation, `PrivateTest_*` is test. With `carve`, data without a validation split gets
    a tenth of train as one, stratified, always the same. Nothing is unpacked to disk.
    Raises FerError for a missing, empty, broken or hostile input.
    """
    with listing.opened(path) as entries:
        classes = tuple(sorted({entry.label for entry in entries}))  # ImageFolder's order
        splits, notes = _decoded(entries, classes, size)
    if not splits:
        raise FerError(f"no image in {path} can be decoded (first: {entries[0].path}): is it complete?")
    if carve and "train" in splits and "valid" not in splits:
        splits |= _carved(splits["train"])
        if not len(splits["valid"]):
            raise FerError(f"{path} has one image a class: expected several, some to train on and some to validate")
        notes.append(f"no validation split found: {len(splits['valid'])} training images were set aside for it")
    elif set(splits) == {"train"}:
        notes.append("no validation or test split found: all images count as one set, whether trained on or not")
    return Dataset(classes, splits, tuple(notes))


def is_copy(faces: Faces, of: list[Faces]) -> NDArray[np.bool_]:
    """bool [n]: whether the pixels of each face also stand in one of the splits `of`."""
    others = {pixels.tobytes() for other in of for pixels in other.pixels}
    return np.array([pixels.tobytes() in others for pixels in faces.pixels], bool)


def drop_copies(faces: Faces, of: list[Faces]) -> Faces:
    """`faces` without those whose pixels also stand in one of the splits `of`."""
    return faces.take(np.flatnonzero(~is_copy(faces, of)))


def stratified(faces: Faces, count: int) -> Faces:
    """About `count` faces, spread evenly through each class in proportion to its size; always the same ones."""
    if count >= len(faces):
        return faces
    chosen: list[int] = []
    for label in np.unique(faces.labels):
        members = np.flatnonzero(faces.labels == label)
        share = max(1, round(count * len(members) / len(faces)))
        chosen.extend(int(i) for i in members[np.linspace(0, len(members) - 1, share).astype(int)])
    return faces.take(np.array(sorted(chosen), np.int64))


def _decoded(entries: Iterable[Entry], classes: tuple[str, ...], size: int) -> tuple[dict[Split, Faces], list[str]]:
    """The splits that are there, and what to tell of images that are broken or had to be converted."""
    kept: dict[Split, list[tuple[NDArray[np.uint8], int, str]]] = {}
    broken: list[str] = []
    converted = 0
    for entry in entries:
        image = _image(entry)
        if image is None:
            broken.append(str(entry.path))
            continue
        converted += image.shape != (size, size)
        face = to_face(image, size)
        kept.setdefault(entry.split, []).append((face, classes.index(entry.label), entry.name))
    splits = {}
    for split in (split for split in SPLITS if split in kept):
        pixels, labels, names = zip(*kept[split], strict=True)
        splits[split] = Faces(np.stack(pixels)[:, None], np.array(labels, np.int64), names)
    notes = [f"{len(broken)} images cannot be decoded and were left out (first: {broken[0]})"] if broken else []
    notes += [f"{converted} images were not {size}x{size} grey and were converted"] if converted else []
    return splits, notes


def _image(entry: Entry) -> NDArray[np.uint8] | None:
    """Pixels uint8 [h, w] or [h, w, 3], or None for an image that cannot be decoded."""
    try:
        data = np.frombuffer(entry.read(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, cv2.error):
        return None  # a broken or unreadable file or member, or an image that cv2 refuses as too large
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    pixels = (image if image.dtype == np.uint8 else image // 256).astype(np.uint8, copy=False)
    return pixels[:, :, :3] if pixels.ndim == 3 else pixels


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
