"""Several data sets as one: their splits joined, their classes matched, copies between them dropped."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_runtime.data import class_names, dataset
from fer_runtime.data.dataset import Dataset, Faces, drop_copies, joined
from fer_runtime.data.index import SPLITS, Split
from fer_runtime.errors import FerError

Renamed = dict[str, str | None]  # class as the data has it -> as it is trained, None to leave its faces out


def load(paths: tuple[Path, ...], renamed: Renamed, spool: Path | None = None) -> Dataset:
    """The data in `paths`, each with a validation split of its own, as `dataset.load` reads them.

    Classes are the first one's; those of the others are matched by their meaning (`class_names.match`), unless
    `renamed` says otherwise. Of pictures that two of them share, the earlier one keeps its own.
    Raises FerError, also for a class that the first one lacks.
    """
    loaded = [dataset.load(path, carve=True, spool=spool) for path in paths]
    if len(loaded) == 1 and not renamed:
        return loaded[0]
    if unknown := set(renamed) - {name for data in loaded for name in data.classes}:
        raise FerError(f"--classes: none of the data has a class {sorted(unknown)[0]!r}: it has {_all_classes(loaded)}")
    first = list(dict.fromkeys(name for name in (renamed.get(name, name) for name in loaded[0].classes) if name))
    renamed = {name: to and (class_names.match([to], first)[to] or to) for name, to in renamed.items()}
    classes = tuple(dict.fromkeys(first + [to for to in renamed.values() if to]))
    labelled, notes, recorded = [], [], []
    for number, (path, data) in enumerate(zip(paths, loaded, strict=True)):
        final = _final(path, paths[0], data.classes, classes, renamed)
        labelled.append(
            {name: _relabelled(faces, number, final, data.classes, classes) for name, faces in data.splits.items()}
        )
        told = [f"{name} is {to}" if to else f"{name} is left out" for name, to in final.items() if to != name]
        notes += [f"{path.name}: {note}" for note in ([f"class {', '.join(told)}"] if told else [])]
        notes += [f"{path.name}: {note}" for note in data.notes]
        recorded += [f"{number + 1}:{name}={to or '-'}" for name, to in final.items() if to != name]
    splits = {name: _joined(name, labelled, paths, notes) for name in SPLITS if any(name in data for data in labelled)}
    understood = "\n".join(data.understood for data in loaded)
    names = tuple(f"{number + 1}: {path.name}" for number, path in enumerate(paths)) if len(paths) > 1 else ()
    return Dataset(classes, splits, tuple(notes), understood, names, tuple(recorded))


def transfer_set(path: Path, data: Dataset, spool: Path | None = None) -> tuple[Faces, list[str]]:
    """The faces of `path` that stand in no evaluation split of `data`, and notes. Raises FerError."""
    found, notes = dataset.load_unlabelled(path, spool)
    kept = drop_copies(found, [split for name, split in data.splits.items() if name != "train"])
    if not len(kept):
        raise FerError(f"{path} has none but copies of the evaluation faces: expected other faces")
    dropped = len(found) - len(kept)
    told = [f"{path.name}: {note}" for note in notes]
    return kept, told + ([f"{path.name}: {dropped} copies of evaluation faces were dropped"] if dropped else [])


def _final(path: Path, first: Path, own: tuple[str, ...], classes: tuple[str, ...], renamed: Renamed) -> Renamed:
    """What each class of the data in `path` is in the end. Raises FerError."""
    try:
        found = class_names.match([name for name in own if name not in renamed], classes)
    except FerError as error:
        raise FerError(f"{path}: {error}, or say with --classes which is what") from error
    if lost := [name for name, to in found.items() if to is None]:
        raise FerError(
            f"{path} has a class {lost[0]!r} that {first} lacks, which has {', '.join(classes)}: give --classes "
            f"{lost[0]}=CLASS to count it as one of these, {lost[0]}={lost[0]} to add it, {lost[0]}=- to leave it out"
        )
    return {name: renamed[name] if name in renamed else found[name] for name in own}


def _relabelled(faces: Faces, number: int, final: Renamed, old: tuple[str, ...], new: tuple[str, ...]) -> Faces:
    """The faces with labels of `new`, without those left out; with the number of their source."""
    index = np.array([new.index(to) if (to := final[name]) else -1 for name in old], np.int64)
    labels = index[faces.labels]
    prefix = f"{number + 1}:" if number else ""  # names are what votes are listed by, and may stand in both
    names = tuple(prefix + name for name in faces.names)
    sources = np.full(len(faces), number, np.int64)
    whole = replace(faces, labels=labels, names=names, sources=sources)
    return whole if (labels >= 0).all() else whole.take(np.flatnonzero(labels >= 0))


def _joined(name: Split, labelled: list[dict[Split, Faces]], paths: tuple[Path, ...], notes: list[str]) -> Faces:
    """One split of all data; copies of earlier data's faces are dropped, and told."""
    kept: list[Faces] = []
    for path, data in zip(paths, labelled, strict=True):
        if name not in data:
            continue
        own = drop_copies(data[name], kept)
        if len(own) < len(data[name]):
            notes.append(
                f"{path.name}: {len(data[name]) - len(own)} {name} images stand in earlier data and were dropped"
            )
        kept.append(own)
    return joined(kept)


def _all_classes(loaded: list[Dataset]) -> str:
    return ", ".join(dict.fromkeys(name for data in loaded for name in data.classes))
