"""Accuracy, macro-F1 and intervals of a classifier, against figures worked out by hand."""

import numpy as np
import pytest

from fer_runtime.data.metrics import score


def test_scores_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 0, 1])
    scores = score(predicted, labels, ("a", "b", "c", "unused"))
    assert scores.accuracy == 0.5
    assert scores.precision == pytest.approx({"a": 2 / 3, "b": 1 / 3, "c": 0, "unused": 0})
    assert scores.recall == pytest.approx({"a": 2 / 3, "b": 1 / 2, "c": 0, "unused": 0})
    assert scores.macro_f1 == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)
    assert scores.confusion == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert scores.interval == pytest.approx(0.3124, abs=1e-3)  # Wilson: 0.188 to 0.812
