"""A model on any number of faces, batch by batch, and the softmax of what it returns; whatever runs the model."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
BATCH = 64  # faces per call: larger batches leave the core's cache


def batches(inputs: NDArray[T], size: int = BATCH) -> Iterator[NDArray[T]]:
    """`inputs` [n, ...] in order, `size` at a time; one empty batch for n = 0."""
    return (inputs[start : start + size] for start in range(0, max(1, len(inputs)), size))


def batched(
    run: Callable[[NDArray[T]], NDArray[np.float32]], inputs: NDArray[T], size: int = BATCH
) -> NDArray[np.float32]:
    """run: a batch of `inputs` [n, ...] -> float32 [batch, classes]. Returns float32 [n, classes]."""
    return np.concatenate([run(batch) for batch in batches(inputs, size)])


def softmax(logits: NDArray[np.floating[Any]], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits [..., classes] / temperature over the last axis, computed in float64."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return probabilities
