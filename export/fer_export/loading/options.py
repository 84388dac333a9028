"""What the options say of a foreign network's file, and the command that exports it."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path

from fer_runtime.data import index
from fer_runtime.errors import FerError
from fer_runtime.model.normalization import EXAMPLE_LABELS, ForeignOptions, check_labels, typed


@dataclass(frozen=True)
class LoadOptions(ForeignOptions):
    """ForeignOptions, and how the network gets out of its file."""

    arch: str | None = None
    """FILE:CLASS that makes the network of bare weights."""
    unsafe_pickle: bool = False
    """Whether code from the file may be run."""
    data: Path | None = None
    """Labelled faces, whose classes are the labels where none were given."""
    balance: str | None = None
    """The mix of classes that a checkpoint of ours is to predict; None for its own."""

    def named(self) -> list[str]:
        """The options for foreign networks that were given, as they are typed."""
        ours = ("data", "balance")
        return [f"--{f.name.replace('_', '-')}" for f in fields(self) if f.name not in ours and getattr(self, f.name)]

    def command(self, file: str | Path, *more: str) -> str:
        """What to type for `file`: `more`, then the facts that were given, with an example for missing labels."""
        words = ["fer-export", str(file), *more]
        if self.labels or self.data is None:
            words += ["--labels", ",".join(self.labels) or EXAMPLE_LABELS]
        if self.data is not None:
            words += ["--data", str(self.data)]
        for name in ("size", "mean", "std", "colour"):
            if value := getattr(self, name):
                words += [f"--{name}", typed(value) if isinstance(value, tuple) else str(value)]
        return shlex.join(words)


def labels(path: Path, options: LoadOptions) -> tuple[tuple[str, ...], list[str]]:
    """The class names and what to tell of them. Raises FerError where there are none, or one is there twice."""
    names, notes = options.labels, []
    if not names:
        if options.data is None:
            raise FerError(f"{path} carries no class names: give --labels, in the order of its outputs, or --data")
        with index.opened(options.data) as found:
            names = found.classes
            notes = [f"labels: {', '.join(names)}, the classes of {options.data.name} {found.order}"]
    check_labels(names)
    return names, notes
