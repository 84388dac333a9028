"""Labels in another order than the network's outputs: found where it is plain, and only there."""

import numpy as np
import pytest

from fer_runtime.data.label_order import better_order, note
from fer_runtime.data.metrics import Scores, score

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
CSV = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def scores_of(share_right: float, outputs: tuple[str, ...], n: int = 700, seed: int = 0) -> Scores:
    """Of a network whose outputs stand for `outputs`, and are said to stand for CLASSES."""
    rng = np.random.RandomState(seed)
    labels = rng.randint(0, 7, n)
    seen = np.where(rng.rand(n) < share_right, labels, rng.randint(0, 7, n))
    predicted = np.array([outputs.index(CLASSES[label]) for label in seen])
    return score(predicted, labels, CLASSES)


@pytest.mark.parametrize("outputs", [CSV, tuple(reversed(CLASSES)), (*CLASSES[1:], CLASSES[0])])
@pytest.mark.parametrize("share_right", [1.0, 0.6])
def test_another_order_is_found(outputs: tuple[str, ...], share_right: float) -> None:
    assert better_order(scores_of(share_right, outputs)) == outputs


def test_the_note_names_both_accuracies_and_the_order() -> None:
    found = note(scores_of(1, CSV))
    assert found is not None
    assert "100.0% right instead of" in found
    assert "as angry, disgust, fear, happy, sad, surprise, neutral" in found


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_said_of_networks_in_order_or_of_chance(seed: int) -> None:
    for share_right in (0.0, 0.2, 0.7, 1.0):
        for n in (5, 30, 700):
            assert better_order(scores_of(share_right, CLASSES, n, seed)) is None
