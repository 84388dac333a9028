"""The time of a video's frames, from the timestamps that its file gives, with the faults that such timestamps have."""

from math import isfinite

DEFAULT_FPS = 25.0  # where a file declares nothing likely; ffmpeg assumes the same of a raw stream
MAX_LIKELY_FPS = 240.0  # a phone's slow motion; browsers' recordings declare 1000, the unit of their timestamps
RESTART_S = 1.0  # a step back of more than that is a new beginning, as where files were joined; less is disorder
DISCONTINUITY_S = 10.0  # a step of more than that is none in time, where the container allows jumps (as in ffmpeg)
# Containers made for broadcasts, which may jump between programmes and do when they are cut or joined.
JUMPING = (".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".m3u8")


class MediaClock:
    """Seconds from the first frame of a video, never falling.

    A frame without a timestamp comes one frame's duration after the one before it.
    """

    def __init__(self, fps: float, jumps: bool = False) -> None:
        """fps: declared frames per second, 0 when unknown; jumps: whether the container allows forward jumps."""
        self.step = 1 / (fps or DEFAULT_FPS)
        """Seconds that a frame is expected to last."""
        self._jumps = jumps
        self._start: float | None = None  # the timestamp, in seconds, that stands for time 0
        self._last = 0.0

    def time(self, stamp_ms: float) -> float:
        """The time of the next frame, seconds. stamp_ms: as OpenCV tells it after the grab, 0 where there is none."""
        stamp = stamp_ms / 1e3
        if self._start is None:
            self._start = stamp if isfinite(stamp) else 0.0
            return self._last
        expected = self._last + self.step
        if not isfinite(stamp) or stamp == 0:
            self._last = expected
            return expected
        change = stamp - self._start - self._last
        if change < -RESTART_S or (self._jumps and change > DISCONTINUITY_S):
            self._start = stamp - expected
            self._last = expected
        else:
            self._last += max(0.0, change)
        return self._last
