"""The limits that an exported file must keep, and how its outputs are compared with PyTorch's."""

import numpy as np
from numpy.typing import NDArray

# Largest |delta logit| over max(1, |logit|): what float32 sums in another order, and weights in half, may differ by.
MAX_DIFFERENCE = {"fp32": 1e-4, "fp16": 2e-2}
MIN_AGREEMENT = 0.98  # share of real faces with the same top-1, in int8
MAX_SOFTMAX_DIFFERENCE = 1e-5  # of probabilities from the softmax of logits / temperature
MIN_SPEEDUP = 1.1  # of int8 over fp32, unless --min-speedup says otherwise


def relative_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """|found - expected| over max(1, |expected|), of each logit; infinite where either is NaN."""
    difference = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    return np.where(np.isnan(difference), np.float32(np.inf), difference)


def agreement(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Share of the rows of two logits [n, classes] with the same top-1."""
    return float((found.argmax(1) == expected.argmax(1)).mean())
