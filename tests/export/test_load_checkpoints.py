"""Weights as training scripts save them: wrapped, beside other things, in several copies; and --arch with any path."""

import argparse
import collections
import datetime
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fer_runtime.model.session import Classifier
from helpers.foreign import LABELS, export, faces, made, refused

Weights = dict[str, Tensor]


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + name: value for name, value in weights.items()}


def renamed(old: str, new: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name.replace(old, new): value for name, value in weights.items()}


def is_exported(network: nn.Module) -> None:
    with torch.no_grad():
        wanted = network(torch.from_numpy(faces(1)) / 255).numpy()
    assert np.abs(Classifier(Path("weights.onnx")).logits(faces(1)) - wanted).max() < 1e-4


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: {k: v for k, v in w.items() if "num_batches" not in k}, ""),
        (lambda w: {**w, "total_ops": torch.zeros(1), "conv1.total_params": torch.zeros(1)}, "2 tensors in the file"),
        (lambda w: {**prefixed("model.")(w), "criterion.weight": torch.ones(3)}, "left out: criterion.weight"),
        (lambda w: {**prefixed("module.")(w), "n_averaged": torch.tensor(3)}, "left out: n_averaged"),
        (prefixed("_orig_mod.module."), "begin with '_orig_mod.module.'"),
        (prefixed("module._orig_mod."), "begin with 'module._orig_mod.'"),
        (prefixed("net.model.module._orig_mod."), "begin with 'net.model."),
        (prefixed("my_classifier."), "begin with 'my_classifier.'"),
        (renamed("conv1.", "conv1._orig_mod."), "'_orig_mod'"),
        (renamed("conv1.", "conv1.module."), "'module'"),
        (lambda w: prefixed("model.")(renamed("fc1.", "fc1._orig_mod.")(w)), "begin with 'model.'"),
        (lambda w: {**prefixed("model.")(w), **prefixed("ema.")(w)}, "left out: ema."),
    ],
)
def test_names_that_wrappers_have_changed(
    change: Callable[[Weights], Weights], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network = made("Grey")
    torch.save(change(network.state_dict()), "weights.pt")
    export("weights.pt", "--arch", "nets:Grey", *LABELS)
    assert told in capsys.readouterr().err
    is_exported(network)


@pytest.mark.usefixtures("here")
def test_of_two_copies_none_is_chosen_in_silence() -> None:
    weights = made("Grey").state_dict()
    torch.save({**prefixed("student.")(weights), **prefixed("teacher.")(weights)}, "weights.pt")
    told = refused("weights.pt", "--arch", "nets:Grey", *LABELS)
    assert "holds the weights of nets:Grey more than once (student., teacher.)" in told
    torch.save({"student": weights, "teacher": weights}, "weights.pt")
    assert "holds several networks (student, teacher)" in refused("weights.pt", "--arch", "nets:Grey", *LABELS)


@pytest.mark.usefixtures("here")
def test_a_layer_that_the_network_lacks_is_not_dropped() -> None:
    torch.save({**made("Grey").state_dict(), "attention.weight": torch.ones(3)}, "weights.pt")
    told = refused("weights.pt", "--arch", "nets:Grey", *LABELS)
    assert "it has attention.weight nowhere, the file [3]" in told


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "beside",
    [
        {"args": argparse.Namespace(lr=0.1)},
        {"hyper_parameters": {"root": PosixPath("/data"), "at": Path("x")}},
        {"best": np.float64(0.6), "history": [np.float32(1)]},
        {"optimizer": torch.optim.Adam([torch.zeros(1, requires_grad=True)]).state_dict(), "epoch": 3},
        {"when": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "log": collections.defaultdict(list, a=[1])},
        {"ema_state_dict": OrderedDict(a=torch.ones(1))},
    ],
)
@pytest.mark.parametrize("key", ["model", "state_dict", "my_weights"])
def test_what_stands_beside_the_weights(beside: dict[str, Any], key: str) -> None:
    """It is not read, and no code from the file is run."""
    network = made("Grey")
    torch.save({key: network.state_dict(), **beside}, "weights.pt")
    if key == "my_weights" and "ema_state_dict" in beside:
        assert "holds several networks" in refused("weights.pt", "--arch", "nets:Grey", *LABELS)
        return
    export("weights.pt", "--arch", "nets:Grey", *LABELS)
    is_exported(network)


@pytest.mark.usefixtures("here")
def test_the_command_that_is_offered_works(capsys: pytest.CaptureFixture[str]) -> None:
    network = made("Grey")
    torch.save({"model": network.state_dict(), "args": argparse.Namespace(lr=0.1)}, "weights.pt")
    told = refused("weights.pt", *LABELS)
    assert "weights.pt holds weights and argparse.Namespace (conv1.weight [8, 1, 3, 3], ...)" in told
    assert "fer-export weights.pt --arch net:CLASS --labels happy,neutral,sad" in told
    export("weights.pt", "--arch", "nets:Grey", *LABELS)
    assert "note: argparse.Namespace in the file stayed unread" in capsys.readouterr().err
    is_exported(network)
    export("weights.pt", "--arch", "nets:Grey", "--unsafe-pickle", *LABELS)
    is_exported(network)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("zipped", [True, False])
def test_old_archives_and_other_dicts(zipped: bool) -> None:
    network = made("Grey")
    content = collections.defaultdict(list, network=network.state_dict(), args=argparse.Namespace(lr=0.1))
    torch.save(content, "weights.pt", _use_new_zipfile_serialization=zipped)
    export("weights.pt", "--arch", "nets:Grey", *LABELS)
    is_exported(network)


@pytest.mark.usefixtures("here")
def test_weights_as_numpy_arrays_need_trust() -> None:
    torch.save({name: value.numpy() for name, value in made("Grey").state_dict().items()}, "weights.pt")
    told = refused("weights.pt", "--arch", "nets:Grey", *LABELS)
    assert "holds more than weights (numpy." in told
    assert "fer-export weights.pt --unsafe-pickle --arch nets:Grey" in told


@pytest.mark.usefixtures("here")
def test_numbers_in_a_flat_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    network = made("Grey")
    torch.save({**network.state_dict(), "epoch": 7, "accuracy": 0.6}, "weights.pt")
    export("weights.pt", "--arch", "nets:Grey", *LABELS)
    assert "beside the weights stand epoch, accuracy: they are left out" in capsys.readouterr().err
    is_exported(network)


@pytest.mark.usefixtures("here")
def test_lazy_layers_take_the_shapes_of_the_file() -> None:
    network = made("Lazy")
    torch.save(network.state_dict(), "weights.pt")
    export("weights.pt", "--arch", "nets:Lazy", *LABELS)
    is_exported(network)


@pytest.mark.parametrize(
    ("place", "arch"),
    [
        ("src/models/my-net.py", "src/models/my-net.py:Grey"),
        ("src/net.py", "src.net:Grey"),
        ("src/net.py", "./src/net:Grey"),
        ("json.py", "json.py:Grey"),
        ("json.py", "json:Grey"),
        ("net.py", "{here}/net.py:Grey"),
    ],
)
def test_arch_takes_any_path(here: Path, place: str, arch: str) -> None:
    network = made("Grey")
    torch.save(network.state_dict(), "weights.pt")
    (here / place).parent.mkdir(parents=True, exist_ok=True)
    (here / "nets.py").rename(here / place)
    searched = list(sys.path)
    export("weights.pt", "--arch", arch.format(here=here), *LABELS)
    is_exported(network)
    assert sys.path == searched


def test_arch_in_a_package_with_relative_imports(here: Path) -> None:
    network = made("Grey")
    torch.save(network.state_dict(), "weights.pt")
    package = here / "project" / "emotion"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (here / "nets.py").rename(package / "layers.py")
    (package / "model.py").write_text("from .layers import Grey\n")
    export("weights.pt", "--arch", "project/emotion/model.py:Grey", *LABELS)
    is_exported(network)


@pytest.mark.usefixtures("here")
def test_a_file_that_the_runtime_would_not_open_is_refused_first() -> None:
    Path("large.py").write_text(
        "from torch import nn\n"
        "class Large(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.head = nn.Linear(2304, 3)\n"
        "        self.register_buffer('table', __import__('torch').zeros(70_000_000))\n"
        "    def forward(self, x):\n"
        "        return self.head(x.flatten(1))\n"
    )
    sys.path.insert(0, "")
    try:
        from large import Large  # type: ignore[import-not-found]

        torch.save(Large().state_dict(), "weights.pt")
    finally:
        sys.path.remove("")
    told = refused("weights.pt", "--arch", "large:Large", *LABELS)
    assert "in fp32 a file of 267 MiB, and fer-run opens up to 256 MiB" in told
