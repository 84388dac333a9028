"""Labelled faces out of an ImageFolder, plain or zipped, in their splits; the one reader that every stage uses."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.framing import to_face

Split = str  # "train", "valid" or "test"
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
SPLIT_OF_FOLDER = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
LARGEST_IMAGE = 32 * 2**20  # bytes in the file; anything larger is no face crop
CARVED = 0.1  # share of train that becomes validation where the data has none


@dataclass(frozen=True)
class Faces:
    """One split.

    pixels: uint8 [n, 1, size, size]; labels: int64 [n], indices into the dataset's classes;
    names: n strings `split/class/file`, unique (file names alone are not).
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


@dataclass
class _Listing:
    """Where the images are, before any is decoded: (path inside the data, reader of its bytes)."""

    images: list[tuple[PurePosixPath, Callable[[], bytes]]] = field(default_factory=list)
    folders: set[PurePosixPath] = field(default_factory=set)


def load(path: Path, size: int = 48, carve: bool = False) -> Dataset:
    """Read an ImageFolder or a zip of one; each face becomes grey and `size` x `size`.

    Layouts: `train/<class>/*`, `test/<class>/*` (and `valid/`), or `<class>/*` alone. In `test/`, FER2013's file names
    decide: `PublicTest_*` is validation, `PrivateTest_*` is test. With `carve`, data without a validation split gets
    a tenth of train as one, stratified, always the same. Nothing is unpacked to disk.
    Raises FerError for a missing, empty, broken or hostile input.
    """
    if not path.exists():
        raise FerError(f"{path} does not exist: expected a folder or zip of images in class folders")
    if path.is_dir():
        return _decode(path, _list_folder(path), size, carve)
    if not zipfile.is_zipfile(path):
        raise FerError(f"{path} is neither a folder nor a complete zip file: expected images in class folders")
    with zipfile.ZipFile(path) as archive:
        return _decode(path, _list_zip(path, archive), size, carve)


def drop_copies(faces: Faces, of: list[Faces]) -> Faces:
    """`faces` without those whose pixels also stand in one of the splits `of`."""
    held_out = {pixels.tobytes() for other in of for pixels in other.pixels}
    return faces.take(np.array([i for i, p in enumerate(faces.pixels) if p.tobytes() not in held_out], np.int64))


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


def _list_folder(root: Path) -> _Listing:
    listing = _Listing()
    for found in sorted(root.rglob("*")):
        inside = PurePosixPath(found.relative_to(root).as_posix())
        if _ignored(inside):
            continue
        if found.is_dir():
            listing.folders.add(inside)
        elif inside.suffix.lower() in IMAGE_SUFFIXES:
            listing.images.append((inside, _reader(found, found.stat().st_size)))
    return listing


def _list_zip(path: Path, archive: zipfile.ZipFile) -> _Listing:
    listing = _Listing()
    for member in sorted(archive.infolist(), key=lambda m: m.filename):
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts:
            raise FerError(
                f"{path} holds a path that leaves its folder ({member.filename!r}): nothing was read from it"
            )
        if _ignored(inside):
            continue
        if member.is_dir():
            listing.folders.add(inside)
        elif inside.suffix.lower() in IMAGE_SUFFIXES:
            if member.flag_bits & 0x1:
                raise FerError(f"{path} is encrypted: expected a plain zip; unpack it and give the folder")
            listing.images.append((inside, _member_reader(archive, member)))
            listing.folders.add(inside.parent)
    return listing


def _ignored(inside: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in inside.parts)


def _reader(file: Path, length: int) -> Callable[[], bytes]:
    return lambda: file.read_bytes() if length <= LARGEST_IMAGE else b""


def _member_reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    return lambda: archive.read(member) if member.file_size <= LARGEST_IMAGE else b""


def _decode(path: Path, listing: _Listing, size: int, carve: bool) -> Dataset:
    """Place every image in split and class, decode it, and stack the splits."""
    if not listing.images:
        raise FerError(f"{path} holds no images: expected class folders with images, such as train/happy/1.jpg")
    placed = [(_place(inside, path), inside, read) for inside, read in listing.images]
    classes = _classes(path, listing, [split_class for split_class, _, _ in placed])
    pixels: dict[Split, list[NDArray[np.uint8]]] = {}
    labels: dict[Split, list[int]] = {}
    names: dict[Split, list[str]] = {}
    broken: list[str] = []
    converted = 0
    for (folder, name), inside, read in placed:
        image = _image(read)
        if image is None:
            broken.append(str(inside))
            continue
        converted += image.shape != (size, size)
        split = _split(folder, inside.name)
        pixels.setdefault(split, []).append(to_face(image, size))
        labels.setdefault(split, []).append(classes.index(name))
        names.setdefault(split, []).append(f"{folder}/{name}/{inside.name}")
    if not names:
        raise FerError(
            f"none of the {len(broken)} images in {path} can be decoded (first: {broken[0]}): is it complete?"
        )
    splits = {
        split: Faces(np.stack(pixels[split])[:, None], np.array(labels[split], np.int64), tuple(names[split]))
        for split in SPLITS
        if split in names
    }
    notes = []
    if broken:
        notes.append(f"{len(broken)} images cannot be decoded and were left out (first: {broken[0]})")
    if converted:
        notes.append(f"{converted} images were not {size}x{size} grey and were converted")
    if carve and "train" in splits and "valid" not in splits:
        splits = {**_carve(splits["train"]), **{k: v for k, v in splits.items() if k == "test"}}
        notes.append(f"no validation split found: {len(splits['valid'])} training images were set aside for it")
    return Dataset(classes, splits, tuple(notes))


def _place(inside: PurePosixPath, path: Path) -> tuple[Split, str]:
    """(split folder, class) of an image; a class folder without a split folder counts as train."""
    if len(inside.parts) < 2:
        raise FerError(f"{path} has images outside class folders (first: {inside}): expected <class>/<image>")
    above = inside.parts[-3].lower() if len(inside.parts) > 2 else ""
    return SPLIT_OF_FOLDER.get(above, "train"), inside.parts[-2]


def _classes(path: Path, listing: _Listing, placed: list[tuple[str, str]]) -> tuple[str, ...]:
    """Class names in ImageFolder's order (sorted). Raises FerError for a class without training images."""
    filled = {inside.parent for inside, _ in listing.images}
    leaves = listing.folders - {parent for folder in listing.folders for parent in folder.parents}
    for folder in sorted(leaves - filled):
        raise FerError(f"class folder {folder} in {path} holds no images: fill it or remove it")
    trained = {name for split, name in placed if split == "train"} or {name for _, name in placed}
    for split, name in placed:
        if name not in trained:
            raise FerError(f"class {name!r} of {path} stands in {split} but not in train: name the folders alike")
    return tuple(sorted(trained))


def _split(folder: Split, file: str) -> Split:
    if folder == "test" and file.startswith("PublicTest"):
        return "valid"
    return folder


def _image(read: Callable[[], bytes]) -> NDArray[np.uint8] | None:
    """Pixels uint8 [h, w] or [h, w, 3], or None for an image that cannot be decoded."""
    try:
        data = np.frombuffer(read(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (OSError, zipfile.BadZipFile, cv2.error):  # a broken member, or one cv2 refuses as too large
        return None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    pixels = (image if image.dtype == np.uint8 else image // 256).astype(np.uint8, copy=False)
    return pixels[:, :, :3] if pixels.ndim == 3 else pixels


def _carve(train: Faces) -> dict[Split, Faces]:
    """A stratified tenth of train becomes validation; at least one face a class stays in train."""
    rng = np.random.RandomState(0)  # a fixed stream in every numpy version
    held: list[int] = []
    for label in np.unique(train.labels):
        members = rng.permutation(np.flatnonzero(train.labels == label))
        held.extend(int(i) for i in members[: min(len(members) - 1, max(1, round(CARVED * len(members))))])
    mask = np.zeros(len(train), bool)
    mask[held] = True
    return {"train": train.take(np.flatnonzero(~mask)), "valid": train.take(np.flatnonzero(mask))}
