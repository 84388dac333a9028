"""A whole pickled network, as torch.save(model) writes: why it is refused, what to type, how it is loaded."""

import sys
from pathlib import Path
from typing import Any

import torch

from fer_export.loading.errors import reason
from fer_export.loading.options import LoadOptions
from fer_export.torch_silence import quiet
from fer_runtime.errors import FerError

ELSEWHERE = {"torch", "torchvision", "numpy", *sys.stdlib_module_names} - {"__main__"}  # no user's own files


def refusal(path: Path, code: tuple[str, ...], options: LoadOptions) -> str:
    """Why the file is refused, and what to type; code: what loading it would import, the network's class first."""
    own = [name for name in code if not _is_elsewhere(name)]
    if own:
        held = f"is a whole pickled network ({own[0]})"
        trusted = options.command(path, "--unsafe-pickle")
    else:
        held = f"holds more than weights ({code[0]})"
        trusted = options.command(path, "--unsafe-pickle", "--arch", options.arch or "net:CLASS")
    return (
        f"{path} {held}: loading it would run code from the file. Where you trained it, "
        f"{_recipe((*own, *code), options)}; "
        f"or, if you trust whoever made the file: {trusted}"
    )


def load(path: Path, code: tuple[str, ...], options: LoadOptions) -> Any:
    """What is in the file; this runs code from it. Raises FerError."""
    sys.path.insert(0, "")  # the user's own modules lie in the current folder
    try:
        with quiet():
            return torch.load(path, map_location="cpu", weights_only=False)
    except (AttributeError, ImportError) as error:  # its class was defined in a notebook, or is elsewhere
        raise FerError(
            f"{path} names {code[0]}, which is not here ({reason(error)}): where you trained it, "
            f"{_recipe(code, options)}"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the code in it raises
        raise FerError(f"{path} cannot be unpickled ({reason(error)})") from error
    finally:
        sys.path.remove("")


def _is_elsewhere(name: str) -> bool:
    """Whether a class is none that a user has written."""
    return name.partition(".")[0] in ELSEWHERE


def _recipe(code: tuple[str, ...], options: LoadOptions) -> str:
    """How to get from a pickle to weights, and from them to a file."""
    module, _, name = code[0].rpartition(".")
    if not module or _is_elsewhere(code[0]):
        module, name = "__main__", "CLASS"
    notebook = module == "__main__"
    place = "put the class into net.py, here" if notebook else f"stay where Python finds {module}"
    arch = options.arch or f"{'net' if notebook else module}:{name}"
    command = options.command("weights.pt", "--arch", arch)
    return f"type torch.save(model.state_dict(), 'weights.pt'), {place}, then: {command}"
