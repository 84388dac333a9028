"""Timestamps as files give them, faults included, and the time that is made of them."""

import pytest

from fer_runtime.sources.media_clock import MediaClock


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([0, 40, 80], [0, 40, 80]),
        ([0, 33, 67, 1067], [0, 33, 67, 1067]),  # variable rate
        ([100_000, 100_040], [0, 40]),  # does not begin at 0
        ([-80, -40, 0, 40], [0, 40, 80, 120]),
        ([0, 0, 0, 0], [0, 40, 80, 120]),  # no timestamps: the declared rate
        ([80, 120, 0, 0], [0, 40, 80, 120]),  # none for the last ones, as in an .avi with B-frames
        ([0, 40, 0, 120], [0, 40, 80, 120]),  # none for one of them
        ([0, 80, 40, 120], [0, 80, 80, 120]),  # in disorder
        ([0, 40, 4000, 0, 40, 80], [0, 40, 4000, 4040, 4080, 4120]),  # joined to another file, whose first tells 0
        ([100, 140, 5000, 100, 140], [0, 40, 4900, 4940, 4980]),
        ([0, float("nan"), 80], [0, 40, 80]),
        ([float("nan"), 40], [0, 40]),
        ([-3.7e20, -3.7e20, -3.7e20], [0, 40, 80]),  # as OpenCV 4.8 tells of a raw stream
        ([0, 40, 60_000], [0, 40, 60_000]),  # a picture that stands for a minute
    ],
)
def test_time_never_falls_and_follows_the_timestamps(stamps: list[float], times: list[float]) -> None:
    clock = MediaClock(25)
    assert [round(1e3 * clock.time(stamp)) for stamp in stamps] == times


def test_a_jump_between_broadcasts_is_no_time() -> None:
    clock = MediaClock(25, jumps=True)
    assert [round(1e3 * clock.time(stamp)) for stamp in (0, 40, 9000, 90_000, 90_040)] == [0, 40, 9000, 9040, 9080]
