"""What a cheap camera does to a face: each corruption grows with its severity and repeats."""

import numpy as np
import pytest

from fer_benchmarks.measure.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from helpers.drawn import draw_face


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_grows_and_repeats(name: str) -> None:
    rng = np.random.RandomState(0)
    faces = np.stack([draw_face("happy", rng) for _ in range(20)])
    before = faces.copy()
    harm = []
    for severity in SEVERITIES:
        found = corrupt(faces, name, severity)
        assert found.dtype == np.uint8
        assert found.shape == faces.shape
        assert np.array_equal(found, corrupt(faces, name, severity))
        harm.append(float(np.abs(found.astype(float) - faces).mean()))
    assert np.array_equal(faces, before)
    assert 0.3 < harm[0] < harm[2] < harm[4]
    coloured = np.repeat(faces[:2, :, :, None], 3, 3)
    assert corrupt(coloured, name, 5).shape == coloured.shape
