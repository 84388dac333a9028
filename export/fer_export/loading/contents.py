"""What a checkpoint holds beside its weights: it is told, and no code from it is run."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fer_export.loading.state_dict import StateDict
from fer_runtime.errors import FerError

# Keys under which training scripts keep the weights, the likeliest first.
KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module")
DEPTH = 4
DICTS = ("collections.defaultdict",)


class Unread:
    """What stands for an object of a class that loading would have to import: it does nothing, and holds nothing."""

    def __init__(self, *_arguments: object, **_named: object) -> None:
        """Take whatever the pickle says."""

    def __setstate__(self, _state: object) -> None:
        """Take whatever the pickle says."""


def plain_dict(*_arguments: object) -> dict[Any, Any]:
    """What stands for a defaultdict: the weights may be in it."""
    return {}


def read(path: Path, code: tuple[str, ...]) -> Any:
    """The file's content, with `Unread` in place of everything that `code` names. Raises what torch.load raises.

    torch's restricted unpickler calls nothing but what it is told to be safe, and these are the stand-ins alone.
    """
    stand_ins: list[Any] = [(plain_dict if name in DICTS else Unread, name) for name in code]
    with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def network_or_weights(path: Path, content: Any) -> tuple[Any, tuple[str, ...]]:
    """The state_dict, or the whole network, out of what training scripts wrap them in, and what is to be told.

    Raises FerError where there is none, or where it cannot be told which is meant.
    """
    notes: list[str] = []
    whole = content
    for _ in range(DEPTH):
        if isinstance(content, nn.Module | torch.export.ExportedProgram):
            return content, tuple(notes)
        if not isinstance(content, dict) or _is_state_dict(content):
            break
        sets = {str(key): value for key, value in content.items() if _holds_weights(str(key), value)}
        if not sets:
            break
        key = next((key for key in KEYS if key in sets), None)
        if key is None and len(sets) > 1:
            raise FerError(
                f"{path} holds several networks ({', '.join(sets)}): save the one you mean, as torch.save("
                f"checkpoint[{next(iter(sets))!r}], 'weights.pt')"
            )
        key = key or next(iter(sets))
        if rivals := [name for name in sets if name != key]:
            notes.append(f"the weights are those under {key!r}; {', '.join(rivals)} of the file are left out")
        content = sets[key]
    if not isinstance(content, dict) or not _is_state_dict(content):
        raise FerError(
            f"{path} is not a checkpoint of ours and holds no weights: expected what torch.save(model.state_dict(), "
            f"...) writes, found {_described(whole)}"
        )
    kept = StateDict({str(key): value for key, value in content.items() if isinstance(value, Tensor)})
    if dropped := [str(key) for key, value in content.items() if not isinstance(value, Tensor)]:
        notes.append(f"beside the weights stand {', '.join(dropped[:4])}: they are left out")
    kept._metadata = getattr(content, "_metadata", {})
    return kept, tuple(notes)


def _is_state_dict(content: dict[Any, Any]) -> bool:
    """Whether tensors stand in it by name, and no network deeper down."""
    tensors = sum(isinstance(value, Tensor) for value in content.values())
    return tensors > 0 and not any(key in content and _holds_weights(key, content[key]) for key in KEYS)


def _holds_weights(key: str, value: Any) -> bool:
    """Whether this is a network, or a dict with tensors by name at some depth, and no optimizer's."""
    if isinstance(value, nn.Module | torch.export.ExportedProgram):
        return True
    if not isinstance(value, dict) or "param_groups" in value or "optim" in key.lower() or "sched" in key.lower():
        return False
    return any(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in _leaves(value, DEPTH))


def _leaves(content: dict[Any, Any], depth: int) -> Iterator[tuple[Any, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and depth:
            yield from _leaves(value, depth - 1)
        else:
            yield key, value


def _described(content: Any) -> str:
    if isinstance(content, dict):
        return f"a dict of {sorted(map(str, content))[:4]}"
    return type(content).__name__
