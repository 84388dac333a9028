"""What every source is: an iterator of frames, which are only decoded where somebody wants them."""

from collections.abc import Callable, Iterator
from typing import Protocol

from fer_runtime.sources.media_clock import MAX_LIKELY_FPS
from fer_runtime.types import Frame

ShouldDecode = Callable[[float], bool]  # takes a frame's time on the source's clock, seconds
OnIdle = Callable[[float], bool]  # takes the seconds since the last frame; False: no more are wanted


def always(seconds: float) -> bool:  # noqa: ARG001 - the types' signature
    """Every frame is decoded, and every wait goes on."""
    return True


class Source(Protocol):
    """Where frames come from."""

    fps: float
    """Nominal frames per second, 0 when unknown."""
    live: bool
    """Whether frames come at their own pace, whoever looks at them."""
    notes: list[str]
    """After the frames: what the user should be told."""

    def frames(self, should_decode: ShouldDecode = always, on_idle: OnIdle = always) -> Iterator[Frame]:
        """The frames in order for which `should_decode`; the others are skipped without decoding.

        on_idle: called a few times per second while no frame comes, as from a camera that is lost and opened again.
        Raises FerError when the source holds no frame.
        """


def nominal_fps(fps: float) -> float:
    """The frames per second that a source declares, 0 where it declares nothing likely."""
    return fps if 0 < fps <= MAX_LIKELY_FPS else 0.0
