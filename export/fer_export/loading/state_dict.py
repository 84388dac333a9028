"""Weights loaded into a network whose names differ by what wrappers have put into them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fer_export.loading.errors import reason
from fer_runtime.errors import FerError

TORCH_WRAPPERS = frozenset({"module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"})
WRAPPERS = TORCH_WRAPPERS | {"model", "net", "network"}  # and what notebooks and Lightning call the network
PROFILED = ("total_ops", "total_params")  # thop's counts, which it leaves in every module
COUNTED = "num_batches_tracked"  # torch itself loads batch norms of before 0.4.1, which have none


class StateDict(dict[str, object]):
    """Tensors by name, and what a module keeps beside them; with torch's `_metadata`: the versions of its modules."""

    _metadata: dict[str, object]


@dataclass(frozen=True)
class Match:
    """How the names in a file and in a network belong together."""

    words: frozenset[str]
    """Parts of names that are left out on both sides."""
    prefix: str
    """With which the network's own names begin in the file, "" or "model."."""
    names: dict[str, str]
    """The file's name -> the network's."""
    rivals: tuple[str, ...]
    """Other prefixes under which the same names stand in the file."""


def load_into(network: nn.Module, weights: dict[str, Tensor], path: Path, arch: str) -> tuple[str, ...]:
    """Load a file's weights into the network that `arch` made; returns what the user should be told.

    Raises FerError for weights of another network, and for a file that holds them more than once.
    """
    expected = network.state_dict()
    match = max((_match(weights, expected, words) for words in _words()), key=lambda found: len(found.names))
    if match.rivals:
        listed = ", ".join(prefix or "no prefix" for prefix in (match.prefix, *match.rivals))
        raise FerError(
            f"{path} holds the weights of {arch} more than once ({listed}): save those you mean alone, as torch.save("
            f"{{k.removeprefix({match.prefix!r}): v for k, v in weights.items() if k.startswith({match.prefix!r})}}, "
            "'weights.pt')"
        )
    own, others = _split(weights, match)
    _check_shapes(path, arch, expected, own)
    try:
        result = network.load_state_dict(own, strict=False)
    except Exception as error:  # a network's own hooks may raise anything
        raise FerError(f"the weights in {path} do not fit {arch} ({reason(error)})") from error
    missing = [name for name in result.missing_keys if not name.endswith(COUNTED)]
    for name in (*missing, *result.unexpected_keys):
        raise FerError(_mismatch(path, arch, name, _shape(expected.get(name)), _shape(own.get(name))))
    return tuple(_notes(match, others))


def _words() -> list[frozenset[str]]:
    """What may be left out of names: nothing first, since a network's own parts may be called so too."""
    return [frozenset(), TORCH_WRAPPERS, WRAPPERS]


def _match(found: Iterable[str], expected: Iterable[str], words: frozenset[str]) -> Match:
    short = {_without(name, words): name for name in expected}
    if len(short) < len(set(expected)):  # two names would become one
        return Match(words, "", {}, ())
    places: dict[str, dict[str, str]] = {}
    for name in found:
        parts = _without(name, words).split(".")
        for at in range(len(parts)):
            if (tail := ".".join(parts[at:])) in short:
                prefix = "".join(f"{part}." for part in parts[:at])
                places.setdefault(prefix, {}).setdefault(name, short[tail])
    if not places:
        return Match(words, "", {}, ())
    most = max(len(names) for names in places.values())
    best = sorted((prefix for prefix, names in places.items() if len(names) == most), key=_foreignness)
    rivals = [prefix for prefix in best[1:] if _foreignness(prefix)[0] == _foreignness(best[0])[0]]
    return Match(words, best[0], places[best[0]], tuple(rivals))


def _foreignness(prefix: str) -> tuple[int, int]:
    """How unlikely a prefix is that of the network itself: none, wrappers, other words such as ema."""
    parts = prefix.split(".")[:-1]
    return (0 if not parts else 1 if set(parts) <= WRAPPERS else 2), len(parts)


def _without(name: str, words: frozenset[str]) -> str:
    return ".".join(part for part in name.split(".") if part not in words) if words else name


def _split(weights: dict[str, Tensor], match: Match) -> tuple[StateDict, list[str]]:
    """The weights by the network's names, with what else stands under its prefix; and the names that are left out."""
    own = StateDict()
    others = []
    for name, value in weights.items():
        short = _without(name, match.words)
        if name in match.names:
            own[match.names[name]] = value
        elif name.endswith(PROFILED) or not short.startswith(match.prefix):
            others.append(name)
        else:
            own[short.removeprefix(match.prefix)] = value
    facts: dict[str, object] = getattr(weights, "_metadata", {})  # torch's versions of each module's format
    own._metadata = {
        _without(name, match.words).removeprefix(match.prefix.rstrip(".")).lstrip("."): value
        for name, value in facts.items()
    }
    return own, others


def _check_shapes(path: Path, arch: str, expected: Mapping[str, object], own: Mapping[str, object]) -> None:
    """Raise FerError for a tensor of another shape; lazy layers have none yet and take any."""
    for name, tensor in expected.items():
        if name in own and isinstance(tensor, Tensor) and not is_lazy(tensor) and _shape(tensor) != _shape(own[name]):
            raise FerError(_mismatch(path, arch, name, _shape(tensor), _shape(own[name])))


def _shape(tensor: object) -> str:
    if tensor is None:
        return "nowhere"
    return str(list(tensor.shape)) if isinstance(tensor, Tensor) else "something else"


def _mismatch(path: Path, arch: str, name: str, expected: str, found: str) -> str:
    return f"the weights in {path} are not those of {arch}: it has {name} {expected}, the file {found}"


def _notes(match: Match, others: list[str]) -> list[str]:
    notes = []
    if match.prefix:
        notes.append(f"the weights' names begin with {match.prefix!r}, which a wrapper has put there: it is left out")
    parts = Counter(part for name in match.names for part in name.split(".") if part in match.words)
    if inside := [part for part in parts if f"{part}." not in match.prefix]:
        notes.append(f"the parts {', '.join(map(repr, inside))} of the weights' names are wrappers': they are left out")
    if others:
        first = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        notes.append(f"{len(others)} tensors in the file are not the network's and are left out: {first}")
    return notes
