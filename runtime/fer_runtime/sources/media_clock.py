"""The time of a video's frames, from the timestamps that its file gives, with the faults that such timestamps have."""

DEFAULT_FPS = 25.0  # where a file declares nothing likely; ffmpeg assumes the same of a raw stream
MAX_LIKELY_FPS = 240.0  # a phone's slow motion; browsers' recordings declare 1000, the unit of their timestamps
MAX_STAMP_S = 1e9  # of a timestamp, 30 years; what is beyond is a number without a meaning, as of older OpenCVs
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
        self.jumps = jumps
        """Whether the container allows forward jumps."""
        self._start: float | None = None  # the timestamp, in seconds, that stands for time 0
        self.last = 0.0
        """The time of the last frame."""

    def time(self, stamp_ms: float) -> float:
        """The time of the next frame, seconds. stamp_ms: as OpenCV tells it after the grab, 0 where there is none."""
        stamp = stamp_ms / 1e3
        sane = abs(stamp) < MAX_STAMP_S  # false for NaN too
        if self._start is None:
            self._start = stamp if sane else 0.0
            return self.last
        expected = self.last + self.step
        if not sane or stamp == 0:
            self.last = expected
            return expected
        change = stamp - self._start - self.last
        if change < -RESTART_S or (self.jumps and change > DISCONTINUITY_S):
            self._start = stamp - expected
            self.last = expected
        else:
            self.last += max(0.0, change)
        return self.last
