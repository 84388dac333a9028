"""From the folders that pictures lie in to the split and class of each; what can be read in two ways is refused.

The classes are those of torchvision's ImageFolder: the first folder names the class, and what lies below belongs to it.
The split is the word directly above the classes. Folders that wrap all of it are passed through.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fer_runtime.data.folder_names import (
    KNOWN_SPLITS,
    SPLITS,
    Split,
    is_numbered,
    is_plain,
    names_expression,
    reason_to_ask,
    split_of,
)
from fer_runtime.errors import FerError

MAX_CLASSES = 64  # more folders are people, words or dates, and no expressions
Parts = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where one picture belongs."""

    split: Split
    """The split that its folder names; train where none is named."""
    label: str
    """Its class."""
    inside: str
    """Its path inside the class folder, mostly the file's name."""


@dataclass(frozen=True)
class Layout:
    """What was understood of the folders."""

    wrapper: str
    """The folders around everything, as `archive/data`; empty where there are none."""
    splits: dict[str, Split]
    """Folder, inside the wrapper -> split; empty where the class folders stand alone."""
    places: list[Place | None]
    """Of each picture, in order; None for one that lies outside class folders."""


def understood(origin: object, paths: Sequence[PurePosixPath]) -> Layout:
    """The layout of pictures at `paths`, inside the data. origin: names the data in errors.

    Raises FerError, saying what to rename, for folders that can be read in two ways or in none.
    """
    folders = [path.parts[:-1] for path in paths]
    wrapper = _wrapper(folders)
    inside = [parts[len(wrapper) :] if parts[: len(wrapper)] == wrapper else None for parts in folders]
    tops = _names(parts[0] for parts in inside if parts)
    if not tops:
        raise FerError(f"{origin} has images outside class folders (first: {paths[0]}): expected <class>/<image>")
    _refuse_ambiguous(origin, tops)
    unnamed = [top for top in tops if split_of(top) is None]
    if unnamed and len(unnamed) < len(tops):
        known = ", ".join(f"{top} is {split}" for split in SPLITS for top in tops if split_of(top) == split)
        raise FerError(
            f"{origin}: {known}, but no rule names {_listed(unnamed)}: "
            f"name each after a split ({KNOWN_SPLITS}), or take it away"
        )
    places: list[Place | None] = []
    splits: dict[str, Split] = {}
    for path, parts in zip(paths, inside, strict=True):
        at = _split_end(origin, parts) if parts and not unnamed else 0
        if parts is None or len(parts) <= at:
            places.append(None)
            continue
        split = split_of(parts[at - 1]) if at else "train"
        assert split is not None
        if at:
            splits["/".join(parts[:at])] = split
        file = path.parts[len(wrapper) + at + 1 :]
        places.append(Place(split, unicodedata.normalize("NFC", parts[at]), "/".join(file)))
    _check_splits(origin, splits)
    _check_classes(origin, paths, places)
    ordered = sorted(splits.items(), key=lambda item: SPLITS.index(item[1]))
    return Layout("/".join(wrapper), dict(ordered), places)


def _wrapper(folders: list[Parts]) -> Parts:
    """The folders around all others: the only one at its level that holds pictures, and neither a split nor a class."""
    prefix: Parts = ()
    while True:
        inside = [parts[len(prefix) :] for parts in folders if parts[: len(prefix)] == prefix]
        tops = _names(parts[0] for parts in inside if parts)
        if len(tops) != 1:
            return prefix
        below = _names(parts[1] for parts in inside if len(parts) > 1)
        direct = any(len(parts) == 1 for parts in inside)
        classes = sum(map(names_expression, below))
        if split_of(tops[0]) or classes > 1:
            wraps = classes > 1 and not split_of(tops[0])
        elif reason_to_ask(tops[0]) or names_expression(tops[0]):
            wraps = False
        else:
            wraps = bool(below) and not direct
        wraps |= bool(below) and all(map(split_of, below))  # training/{train,test}
        if not wraps:
            return prefix
        prefix = (*prefix, tops[0])


def _split_end(origin: object, parts: Parts) -> int:
    """How many folders from the top name the split: two of train/train/happy. Raises FerError where they differ."""
    at = 1
    while at < len(parts) - 1 and split_of(parts[at]):
        at += 1
    if len({split_of(part) for part in parts[:at]}) > 1:
        raise FerError(
            f"{origin}: {'/'.join(parts[: at + 1])} names two splits: expected one, directly above the class, "
            f"as {parts[at - 1]}/{parts[at]}"
        )
    return at


def _refuse_ambiguous(origin: object, names: list[str]) -> None:
    asked = [name for name in names if reason_to_ask(name)]
    if asked:
        raise FerError(f"{origin}: the folder {asked[0]} {reason_to_ask(asked[0])} (found {_listed(names)})")


def _check_splits(origin: object, splits: dict[str, Split]) -> None:
    for split in SPLITS:
        same = [folder for folder, its in splits.items() if its == split]
        if len(same) > 1:
            raise FerError(
                f"{origin}: {_listed(same)} are all read as {split}: put them together, or give one of them by itself"
            )


def _check_classes(origin: object, paths: Sequence[PurePosixPath], places: Sequence[Place | None]) -> None:
    """Raise FerError for class folders that are something else: parts, people, a folder above or below the classes."""
    placed = [place for place in places if place]
    if 2 * len(placed) < len(places):
        first = next(path for path, place in zip(paths, places, strict=True) if place is None)
        raise FerError(f"{origin} has images outside class folders (first: {first}): expected <class>/<image>")
    labels = _names(place.label for place in placed)
    if unprintable := next((label for label in labels if not label.isprintable()), None):
        raise FerError(f"{origin}: the class folder {unprintable!r} cannot be a label: rename it in printable letters")
    _refuse_ambiguous(origin, labels)
    other = [place for place in placed if not names_expression(place.label)]
    below = _names(name for place in other for name in place.inside.split("/")[:-1])
    if len(labels) > 1 and any(map(split_of, below)):
        raise FerError(f"{origin}: {_listed(labels)} seem to be datasets of their own: give one of them by itself")
    if classes := [name for name in below if names_expression(name)]:
        above = _names(place.label for place in other if "/" in place.inside)
        raise FerError(
            f"{origin}: {_listed(above)} would be classes, but hold {_listed(classes)}: "
            f"name them after splits ({KNOWN_SPLITS}), or move the folders of the classes up"
        )
    for split, label, name in sorted({(p.split, p.label, name) for p in placed for name in p.inside.split("/")[:-1]}):
        if split_of(name) not in (None, split):
            raise FerError(
                f"{origin}: the class {label} holds a folder {name}, which names a split: "
                f"expected the split above the class, as {name}/{label}"
            )
    if any(map(names_expression, labels)):
        return
    shared = _shared_below(placed)
    if len(labels) > 1 and len(shared) > 1 and not all(map(is_numbered, shared)):
        raise FerError(
            f"{origin}: {_listed(labels)} all hold {_listed(shared)}, so that either may be the classes: name the "
            f"upper folders after splits ({KNOWN_SPLITS}), or move all pictures of a class into its folder itself"
        )
    if any(map(is_plain, labels)):
        raise FerError(f"{origin}: {_listed(labels)} would be the classes: expected a folder for each expression")
    if len(labels) > 1 and all(map(is_numbered, labels)):
        raise FerError(
            f"{origin}: {_listed(labels)} would be the classes, but are numbered as people or videos are: "
            "expected a folder for each expression, or classes named without numbers"
        )
    if len(labels) > MAX_CLASSES:
        raise FerError(f"{origin}: {_listed(labels)} would be the classes: expected at most {MAX_CLASSES} expressions")


def _shared_below(placed: list[Place]) -> list[str]:
    """The folders that every class folder holds, where none holds anything else; else none."""
    below: dict[str, set[str]] = {}
    for place in placed:
        if "/" not in place.inside:
            return []
        below.setdefault(place.label, set()).add(place.inside.split("/")[0])
    sets = list(below.values())
    return sorted(sets[0]) if all(names == sets[0] for names in sets) else []


def _names(found: Iterable[str]) -> list[str]:
    return sorted(set(found))


def _listed(names: list[str]) -> str:
    """a, b and c; the first few of many."""
    shown = names if len(names) <= 8 else [*names[:4], f"{len(names) - 4} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
