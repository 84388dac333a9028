"""From the name that the user gives to a source."""

from pathlib import Path

from fer_runtime.data.decode import IMAGE_SUFFIXES
from fer_runtime.errors import FerError
from fer_runtime.sources.base import Source
from fer_runtime.sources.files import Pictures, Video
from fer_runtime.system.profiler import Profile


def open_source(
    name: str,
    realtime: bool = False,
    profile: Profile | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Source:
    """A camera index, /dev path, `picamera`, stream URL, video file, picture or folder of pictures. Raises FerError.

    realtime: a video file is read at its own pace, and frames that come too late are passed over, as of a camera.
    profile: takes how long frames took to capture and decode. size (width, height) and fps: what a camera is asked for.
    """
    if (size or fps) and not is_camera(name):
        raise FerError(f"--size and --fps are for a camera: {name} comes as it is")
    if is_camera(name) or "://" in name:
        from fer_runtime.sources.live import Live

        return Live(name, profile=profile, size=size, fps=fps)
    path = Path(name)
    if path.is_dir():
        pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        if not pictures:
            raise FerError(f"the folder {path} holds no pictures: expected files such as .jpg or .png")
        return Pictures(pictures)
    if not path.is_file():
        raise FerError(f"{path} does not exist: expected a camera number, a URL, a video, a picture or a folder")
    if path.suffix.lower() in IMAGE_SUFFIXES - {".gif"}:  # a single GIF is mostly a short video
        return Pictures([path])
    return Video(path, realtime, profile)


def is_camera(name: str) -> bool:
    """Whether it names a camera of this machine: a number, a /dev path, or `picamera`."""
    number = name.isascii() and name.isdecimal() and len(name) < 4
    return number or name.startswith("/dev/video") or name == "picamera"
