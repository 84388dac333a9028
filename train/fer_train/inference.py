"""A torch network on any number of faces, batch by batch."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_train.data.batches import AT_ONCE
from fer_train.model import normalize

CPU = torch.device("cpu")


def predict(
    network: nn.Module,
    pixels: NDArray[np.uint8],
    device: torch.device = CPU,
    prepare: Callable[[Tensor], Tensor] = normalize,
) -> Tensor:
    """Logits of faces, uint8 [n, c, h, w]: float32 [n, classes] on the CPU, in eval mode.

    prepare: uint8 pixels on the device -> what the network takes; by default our own networks' normalization.
    """
    was_training = network.training
    network.eval()
    with torch.no_grad():
        chunks = torch.from_numpy(pixels).split(AT_ONCE)
        logits = torch.cat([network(prepare(chunk.to(device))).float().cpu() for chunk in chunks])
    network.train(was_training)
    return logits
