"""What a foreign network's outputs are: logits, or what logits can be got from; else a refusal that says why."""

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from fer_export.loading import probe
from fer_export.torch_silence import quiet
from fer_runtime.errors import FerError

SAME = 1e-4  # of probabilities and their sums
LEAST = 1e-7  # probability: its logarithm is finite, and no float32 softmax tells less apart
FEATURES = 4  # times as many outputs as classes: a network without its head
STEPS = 8  # operators after a softmax that are looked through
BOUNDED = {"sigmoid", "hardsigmoid", "tanh", "softsign"}  # to 0..1 or -1..1
CLIPPED = {"clamp", "clamp_min", "clamp_max", "clip", "hardtanh"}  # to what their arguments say
THROUGH = {
    *CLIPPED, "log", "mul", "div", "add", "view", "reshape", "squeeze", "unsqueeze", "flatten", "contiguous", "clone",
    "alias", "detach", "detach_", "to", "_to_copy", "dropout",
}  # fmt: skip


class Picked(nn.Module):
    """A network of several outputs, reduced to one. key: its place among them, or its name."""

    def __init__(self, network: nn.Module, key: int | str) -> None:
        super().__init__()
        self.network, self.key = network, key

    def forward(self, x: Tensor) -> Tensor:
        """That output."""
        found: Tensor = self.network(x)[self.key]
        return found


class InFloat32(nn.Module):
    """A network whose outputs are of another precision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """As the file's outputs are."""
        found: Tensor = self.network(x).float()
        return found


class Logarithm(nn.Module):
    """The logarithm of a network's probabilities, whose softmax they are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("least", torch.tensor(LEAST))

    def forward(self, x: Tensor) -> Tensor:
        """Of probabilities that sum to any one number."""
        found: Tensor = self.network(x)
        shares: Tensor = found / found.sum(1, keepdim=True)
        return torch.log(torch.maximum(shares, self.get_buffer("least")))


def as_logits(path: Path, network: nn.Module, tried: Tensor, classes: int) -> tuple[nn.Module, tuple[str, ...]]:
    """A network that gives logits, [n, classes] for faces like `tried` [n, c, h, w], and what the user should be told.

    Raises FerError for outputs of another shape, and for those that no logits can be got from.
    """
    network, notes = _single(path, network, tried, classes)
    with torch.no_grad():
        if network(tried[:1]).dtype != torch.float32:
            network = InFloat32(network)
    found = probe.check(path, network, tried)
    if _sums_to_one(found) or _sums_to_one(found.exp()):
        return _before_softmax(network, tried, found, notes)
    if (found >= 0).all() and _is_constant(found.sum(1)):  # percentages, and the like
        told = f"the outputs sum to {float(found.sum(1)[0]):g} for every face: their logarithms serve as logits"
        return Logarithm(network), (*notes, told)
    if found.min() >= 0 or (found.abs() <= 1).all():
        last, bounded = _last_operator(network, tried)
        if bounded and (found.abs() <= 1).all():
            raise FerError(
                f"{path} ends in a {last}, so its outputs stay within {float(found.min()):.2g} and "
                f"{float(found.max()):.2g}: they are no logits, and no softmax of them is ever sure; let it return "
                f"what goes into the {last}"
            )
        if last == "relu":
            notes = (*notes, "the network ends in a ReLU: all classes of negative score are alike, as in training")
    return network, notes


def _single(path: Path, network: nn.Module, tried: Tensor, classes: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with one output, [n, classes]."""
    with torch.no_grad():
        found = network(tried)
    if isinstance(found, Tensor):
        if tuple(found.shape) != (len(tried), classes):
            raise FerError(f"{path} {_other_shape(found, len(tried), classes)}")
        with torch.no_grad():
            alone = network(tried[:1])
        if tuple(alone.shape) != (1, classes):
            raise FerError(
                f"{path} gives {list(alone.shape)} for one face: expected [1, {classes}]; a squeeze() in its forward "
                "should name its dimension"
            )
        return network, ()
    named = dict(_named(found))
    fitting = {key: value for key, value in named.items() if tuple(value.shape) == (len(tried), classes)}
    if not fitting:
        shapes = ", ".join(f"{key}: {list(value.shape)}" for key, value in named.items()) or type(found).__name__
        raise FerError(f"{path} gives several outputs ({shapes}): expected one of them of [{len(tried)}, {classes}]")
    key = _logits_of(fitting)
    if key is None:
        raise FerError(
            f"{path} gives several outputs of [batch, {classes}] ({', '.join(map(str, fitting))}): let it return the "
            "one to use"
        )
    left = ", ".join(str(name) for name in named if name != key)
    return Picked(network, key), (f"of the network's outputs {key!r} gives the logits; left out: {left}",)


def _named(found: Any) -> Iterator[tuple[int | str, Tensor]]:
    """The tensors of a tuple, list or dict, by place or name."""
    items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, tuple | list) else ()
    yield from ((key, value) for key, value in items if isinstance(value, Tensor))


def _logits_of(fitting: dict[int | str, Tensor]) -> int | str | None:
    """The output whose softmax, log-softmax or sigmoid the others are; None where they are independent."""
    if len(fitting) == 1:
        return next(iter(fitting))
    for key in fitting:
        others = [value for name, value in fitting.items() if name != key]
        made = [fitting[key], fitting[key].softmax(1), fitting[key].log_softmax(1), fitting[key].sigmoid()]
        if all(any(torch.allclose(other, each, atol=SAME) for each in made) for other in others):
            return key
    return None


def _other_shape(found: Tensor, count: int, classes: int) -> str:
    """What is wrong with an output that is not [count, classes]."""
    shape = list(found.shape)
    if not found.is_floating_point():
        return f"gives whole numbers {shape}, such as argmax does: expected logits [{count}, {classes}]"
    if classes == 2 and found.numel() == count:
        return (
            "gives one number for each face and not 2, as labels: let it return two logits, such as "
            "torch.cat([torch.zeros_like(z), z], 1), z being what goes into its sigmoid"
        )
    if found.ndim == 2 and shape[0] == count and shape[1] >= FEATURES * classes:
        return (
            f"gives {shape[1]} numbers for each face and not {classes}, as labels: is it a network of features, "
            "without its last layer? Export the whole classifier"
        )
    if found.ndim == 4:
        return f"gives {shape}, maps of features: expected [{count}, {classes}]; pool and flatten them before its head"
    return f"gives {shape} for a batch of {count}: expected [{count}, {classes}], as labels"


def _sums_to_one(found: Tensor) -> bool:
    return bool((found >= 0).all() and ((found.sum(1) - 1).abs() <= SAME).all())


def _is_constant(sums: Tensor) -> bool:
    return bool(sums[0] > 0 and len(sums) > 1 and ((sums / sums[0] - 1).abs() <= SAME).all())


def _before_softmax(
    network: nn.Module, tried: Tensor, found: Tensor, notes: tuple[str, ...]
) -> tuple[nn.Module, tuple[str, ...]]:
    """The network without the softmax at its end, which the file has itself; found: (log-)probabilities of `tried`."""
    shares = found if _sums_to_one(found) else found.exp()
    cut = _cut(network, tried, shares)
    if cut is not None:
        return cut, (*notes, "the network ends in a softmax: it is left out, since the file has its own")
    if _sums_to_one(found):
        return Logarithm(network), (*notes, "the outputs are probabilities: their logarithms serve as logits")
    return network, notes


def _cut(network: nn.Module, tried: Tensor, shares: Tensor) -> nn.Module | None:
    """The network up to its last softmax, if `shares` [n, classes] are the softmax of what it gives then."""
    for place in range(STEPS):
        graph_module = _traced(network, tried)
        softmaxes = [node for node in _tail(graph_module) if "softmax" in _name(node)] if graph_module else []
        if place >= len(softmaxes) or graph_module is None:
            return None
        graph_module.graph.output_node().args = ((softmaxes[place].args[0],),)
        graph_module.graph.eliminate_dead_code()
        graph_module.recompile()
        with torch.no_grad():
            logits = graph_module(tried)
        logits = logits[0] if isinstance(logits, tuple | list) else logits
        if logits.shape == shares.shape and torch.allclose(logits.softmax(1), shares, atol=SAME):
            return graph_module
    return None


def _traced(network: nn.Module, tried: Tensor) -> fx.GraphModule | None:
    """The network as torch.export sees it, for any batch; None where it cannot be traced."""
    try:
        with quiet():
            program = torch.export.export(network, (tried[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
            module = program.module()
    except Exception:  # noqa: BLE001 - the exporter raises almost anything, and tells its reasons when it exports
        return None
    return module if isinstance(module, fx.GraphModule) else None


def _tail(module: fx.GraphModule) -> Iterator[fx.Node]:
    """The operators that make the output, from the last one back, through those that only reshape, clip or scale."""
    found = module.graph.output_node().args[0]
    node = found[0] if isinstance(found, tuple | list) else found
    for _ in range(STEPS):
        if not isinstance(node, fx.Node) or node.op != "call_function":
            return
        yield node
        if _name(node) not in THROUGH and "softmax" not in _name(node) and node.target is not operator.getitem:
            return
        node = node.args[0] if node.args else None


def _name(node: fx.Node) -> str:
    """Of torch's operator: softmax for aten.softmax.int."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet)).removeprefix("aten.")


def _last_operator(network: nn.Module, tried: Tensor) -> tuple[str, bool]:
    """Its name, empty where it cannot be told, and whether it keeps its outputs within -1..1."""
    module = _traced(network, tried)
    last = next(_tail(module), None) if module else None
    if last is None:
        return "", False
    bounds = [float(bound) for bound in last.args[1:] if isinstance(bound, int | float)] or [-1.0, 1.0]
    return _name(last), _name(last) in BOUNDED or (_name(last) in CLIPPED and max(map(abs, bounds)) <= 1)
