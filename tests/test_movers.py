"""What moves the weights: kernels by orthogonal steps, all others too, and the state that goes on where it was."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from fer_train.model import FerNet, build
from fer_train.movers import Movers
from fer_train.recipe import RECIPES

RECIPE = replace(RECIPES["nano"], weight_decay=0.0)


def fresh() -> tuple[FerNet, Movers]:
    torch.manual_seed(0)
    network = build("nano", 7).to(memory_format=torch.channels_last)
    return network, Movers(network, RECIPE, 100)


def learn(network: nn.Module, movers: Movers, steps: int) -> None:
    for _ in range(steps):
        faces = torch.randn(32, 1, 48, 48, generator=torch.Generator().manual_seed(movers.steps))
        nn.functional.cross_entropy(network(faces), torch.arange(32) % 7).backward()
        movers.step()


def evenness(step: Tensor) -> float:
    """Of a kernel's step: its median singular value by its largest, 1 for an orthogonal matrix."""
    values = torch.linalg.svdvals(step.flatten(1))
    return float(values.median() / values.max())


def test_a_step_is_orthogonal_where_the_gradient_is_not() -> None:
    network, movers = fresh()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    faces = torch.randn(32, 1, 48, 48)
    nn.functional.cross_entropy(network(faces), torch.arange(32) % 7).backward()
    gradients = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    movers.step()
    assert movers.steps == 1
    for name, value in network.named_parameters():
        assert value.grad is None
        assert not torch.equal(value, before[name]), name
        if value.ndim == 4:
            assert evenness(before[name] - value.detach()) > max(0.6, evenness(gradients[name])), name


def test_a_state_goes_on_where_it_was() -> None:
    (network, movers), (other, others) = fresh(), fresh()
    learn(network, movers, 2)
    other.load_state_dict(network.state_dict())
    others.load_state_dict(copy.deepcopy(movers.state_dict()))
    learn(network, movers, 2)
    learn(other, others, 2)
    assert others.steps == 4
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
