"""Videos of real encoders and containers, made from the clip by ffmpeg."""

import subprocess
from pathlib import Path

from fer_benchmarks.demo_clip import FPS, FRAMES

KEPT = [n for n in range(FRAMES) if n < 25 or n % 5 == 0]  # of the clip: a second of every frame, then every fifth
KEPT_TIMES = [n / FPS for n in KEPT]
MILLISECOND_NS = 1_000_000


def encode(clip: Path, target: Path, *options: str) -> Path:
    """`target`, in the container that its suffix names."""
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-i", clip, *options, target], check=True)
    return target


def variable_rate(clip: Path, target: Path, *options: str) -> Path:
    """A video of variable rate: the frames KEPT, each at its time in the clip."""
    return encode(clip, target, "-vf", "select='lt(n,25)+not(mod(n,5))'", "-vsync", "vfr", *options)


def browser_webm(clip: Path, target: Path) -> Path:
    """The clip as a browser's MediaRecorder writes it: no duration, and a default duration of 1 ms for each frame."""
    encode(clip, target, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-live", "1", "-f", "webm")
    data = target.read_bytes()
    told, wrong = (b"\x23\xe3\x83\x84" + ns.to_bytes(4) for ns in (1_000_000_000 // FPS, MILLISECOND_NS))
    assert data.count(told) == 1
    target.write_bytes(data.replace(told, wrong))
    return target
