"""--arch FILE:CLASS: the network that a user's own Python file makes."""

import contextlib
import importlib
import importlib.util
import operator
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from fer_export.loading.errors import reason
from fer_runtime.errors import FerError


def made(arch: str) -> nn.Module:
    """What FILE:CLASS makes: FILE is a path to a .py file, or a module's name. Raises FerError."""
    place, _, name = arch.rpartition(":")
    if not place or not name:
        raise FerError(f"--arch is {arch!r}: expected FILE:CLASS, such as net:Net for the class Net in net.py")
    file = _file(place)
    if file is None and (place.endswith(".py") or "/" in place):
        raise FerError(f"--arch is {arch!r}, but there is no file {place}: expected FILE:CLASS, such as src/net.py:Net")
    try:
        with _searched(file):
            found: Any = operator.attrgetter(name)(_module(place, file))
            network = found if isinstance(found, nn.Module) else found()
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise FerError(
            f"--arch {arch} cannot be made ({reason(error)}): expected a class that takes no arguments, or a function "
            "that gives the network, def make(): return Net(7), as --arch net:make"
        ) from error
    if not isinstance(network, nn.Module):
        raise FerError(f"--arch {arch} gives a {type(network).__name__}: expected a network (torch.nn.Module)")
    return network


def _file(place: str) -> Path | None:
    """The Python file that is meant: net, net.py, models/net.py, models.net; None where there is none."""
    names = [place] if place.endswith(".py") else [f"{place}.py", f"{place.replace('.', '/')}.py"]
    return next((Path(name).resolve() for name in names if Path(name).is_file()), None)


def _module(place: str, file: Path | None) -> ModuleType:
    """The module, by its name where it has one that nothing else bears."""
    if file is None:
        return importlib.import_module(place)
    name = ".".join([*_packages(file), file.stem])
    known = getattr(sys.modules.get(name), "__file__", None)
    if file.stem.isidentifier() and known in (None, str(file)) and name not in sys.builtin_module_names:
        module = importlib.import_module(name)
        if getattr(module, "__file__", None) == str(file):
            return module
    spec = importlib.util.spec_from_file_location(f"fer_export_arch.{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look themselves up there
    spec.loader.exec_module(module)
    return module


def _packages(file: Path) -> list[str]:
    """The packages that a file lies in, the outermost first: its relative imports need them."""
    folder, names = file.parent, list[str]()
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


@contextlib.contextmanager
def _searched(file: Path | None) -> Iterator[None]:
    """The current folder, and before it the file's, or that of its outermost package, are where modules are found."""
    folders = [""] if file is None else [str(file.parents[len(_packages(file))]), ""]
    sys.path[:0] = folders
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for folder in folders:
            sys.path.remove(folder)
