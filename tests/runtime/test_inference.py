"""Batched prediction and softmax: once for every package."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_runtime.model.inference import BATCH, batched, softmax


@pytest.mark.parametrize("n", [0, 1, BATCH, BATCH + 1, 3 * BATCH - 1])
def test_batches_cover_every_face_once_and_in_order(n: int) -> None:
    sizes = []

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(len(batch))
        return batch * 2

    inputs = np.arange(n * 3, dtype=np.float32).reshape(n, 3)
    assert np.array_equal(batched(run, inputs), inputs * 2)
    assert max(sizes) <= BATCH


def test_softmax_at_a_temperature_and_for_logits_that_exp_does_not_hold() -> None:
    assert np.allclose(softmax(np.log(np.array([[1.0, 3.0]]))), [[0.25, 0.75]])
    assert np.allclose(softmax(np.log(np.array([[1.0, 9.0]])), 2), [[0.25, 0.75]])
    found = softmax(np.array([[[1000.0, 1000.0, -1000.0]]], np.float32))
    assert found.shape == (1, 1, 3)
    assert np.allclose(found, [0.5, 0.5, 0])
