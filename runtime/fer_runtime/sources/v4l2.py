"""Linux's cameras: name, driver and modes, by ioctl as v4l2-ctl does (linux/videodev2.h)."""

import fcntl
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES = 0x80685600, 0xC0405602, 0xC02C564A
CAPTURE, DEVICE_CAPS = 0x1, 0x80000000  # bits of the capabilities
DISCRETE = 1  # type of a frame size; others are ranges
MAX_ENTRIES = 64  # formats, or sizes of one, that are listed

# Asks the device: (request, the struct's bytes) -> the bytes it filled in. Raises OSError.
Ask = Callable[[int, bytes], bytes]


@dataclass(frozen=True)
class Camera:
    """A device that gives pictures."""

    path: str
    """Such as /dev/video0."""
    name: str
    """As the kernel gives it."""
    driver: str
    """As the kernel gives it, such as uvcvideo."""
    modes: tuple[str, ...]
    """"MJPG 640x480 1280x720" and the like, in the camera's order."""


def cameras(folder: Path = Path("/dev")) -> tuple[list[Camera], list[str]]:
    """(what gives pictures, in order; paths that this user may not open)."""
    found, refused = [], []
    for path in sorted(folder.glob("video*"), key=lambda path: (len(path.name), path.name)):
        try:
            with path.open("rb", buffering=0) as device:
                camera = read(str(path), partial(_ioctl, device.fileno()))
        except PermissionError:
            refused.append(str(path))
        except OSError:  # no video device, or one that is just being unplugged
            continue
        else:
            found += [camera] if camera else []
    return found, refused


def read(path: str, ask: Ask) -> Camera | None:
    """The camera behind `ask`, None for a device that gives no pictures, such as a video encoder. Raises OSError."""
    driver, name, _, _, capabilities, own = struct.unpack("16s32s32sIII12x", ask(QUERYCAP, bytes(104)))
    if not (own if capabilities & DEVICE_CAPS else capabilities) & CAPTURE:
        return None
    return Camera(path, _text(name), _text(driver), tuple(_modes(ask)))


def _modes(ask: Ask) -> Iterator[str]:
    for index in range(MAX_ENTRIES):
        try:
            answer = ask(ENUM_FMT, struct.pack("II56x", index, CAPTURE))
        except OSError:  # EINVAL: no further one
            return
        (code,) = struct.unpack_from("4s", answer, 44)
        sizes = " ".join(_sizes(ask, code))
        yield f"{_text(code)} {sizes}".strip()


def _sizes(ask: Ask, code: bytes) -> Iterator[str]:
    for index in range(MAX_ENTRIES):
        try:
            answer = ask(ENUM_FRAMESIZES, struct.pack("I4s36x", index, code))
        except OSError:
            return
        (kind,) = struct.unpack_from("I", answer, 8)
        if kind == DISCRETE:
            yield "{}x{}".format(*struct.unpack_from("II", answer, 12))
        else:
            least_w, most_w, _, least_h, most_h, _ = struct.unpack_from("6I", answer, 12)
            yield f"{least_w}x{least_h} to {most_w}x{most_h}"
            return


def _ioctl(device: int, request: int, data: bytes) -> bytes:
    filled = bytearray(data)
    fcntl.ioctl(device, request, filled)
    return bytes(filled)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("ascii", "replace").strip()
