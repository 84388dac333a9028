"""From the name that the user gives to a source."""

import os
import stat
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import cv2

from fer_runtime.data.decode import IMAGE_SUFFIXES
from fer_runtime.data.listing import is_ignored, kinds_of
from fer_runtime.errors import FerError
from fer_runtime.sources.addresses import check_address, is_address, local_path
from fer_runtime.sources.base import Source
from fer_runtime.sources.captures import opencv_name
from fer_runtime.sources.files import Pictures, Video
from fer_runtime.system.profiler import Profile
from fer_runtime.system.redact import redact_url

if TYPE_CHECKING:
    from fer_runtime.sources.live import Live

CAMERA_FOLDERS = ("/dev/video", "/dev/v4l/")  # where cameras are even while they are unplugged
PICTURES_IN_A_ROW = (".gif", ".mjpeg", ".mjpg")  # videos that begin as a picture does
FILE_SCHEMES = ("http", "https", "ftp", "sftp")  # what serves files as fast as they are read; others keep a pace


def open_source(
    name: str,
    realtime: bool = False,
    profile: Profile | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    decoder_threads: int | None = None,
) -> Source:
    """A camera index, /dev path, `picamera`, stream URL, video file, picture or folder of pictures. Raises FerError.

    realtime: a video file is read at its own pace, and frames that come too late are passed over, as of a camera.
    profile: takes how long frames took to capture and decode. size (width, height) and fps: what a camera is asked for.
    decoder_threads: of a video file; None: as many as there are cores.
    """
    if not name.strip():
        raise FerError("--source is empty: expected a camera number, a URL, a video, a picture or a folder")
    if (size or fps) and not is_camera(name):
        raise FerError(f"--size and --fps are for a camera: {redact_url(name)} comes as it is")
    path = local_path(name) or Path(name)
    if is_camera(name):
        return _live(name, profile, size, fps)
    if is_address(name) and not local_path(name):
        return _open_address(name, realtime, profile)
    if path.is_dir():
        return _album(path)
    if not path.exists():
        raise FerError(f"{path} does not exist: expected a camera number, a URL, a video, a picture or a folder")
    if not path.is_file():
        raise FerError(f"{path} is a pipe or a socket: expected a camera number, a URL, a video, a picture or a folder")
    try:
        path.open("rb").close()
    except OSError as error:
        raise FerError(f"cannot read {path}: {error.strerror}") from error
    return Pictures([path]) if _is_picture(path) else Video(path, realtime, profile, decoder_threads)


def _is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its first bytes: names may lie, or have no suffix."""
    if path.suffix.lower() in PICTURES_IN_A_ROW:
        return False
    with opencv_name(path) as name:
        return cv2.haveImageReader(name)


def _album(folder: Path) -> Pictures:
    """The pictures that lie directly in a folder; what else is there is told. Raises FerError for a folder without."""
    try:
        files = [file for file in sorted(folder.iterdir()) if not is_ignored(PurePath(file.name))]
    except OSError as error:
        raise FerError(f"cannot read {folder}: {error.strerror}") from error
    folders = [file for file in files if file.is_dir()]
    pictures = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    others = sorted(set(files) - set(pictures) - set(folders))
    inside = f", {len(folders)} folders" if folders else ""
    if not pictures:
        raise FerError(
            f"the folder {folder} holds no pictures: expected files such as .jpg or .png{kinds_of(others)}{inside}"
        )
    album = Pictures(pictures)
    if others:
        album.notes.append(
            f"{len(others)} files of other kinds were passed over{kinds_of(others)} (first: {others[0]})"
        )
    if folders:
        album.notes.append(f"{len(folders)} folders in {folder} were passed over: give each by itself")
    return album


def _live(name: str, profile: Profile | None, size: tuple[int, int] | None = None, fps: float | None = None) -> "Live":
    from fer_runtime.sources.live import Live

    return Live(name, profile, size, fps)


def _open_address(url: str, realtime: bool, profile: Profile | None) -> Source:
    """A finished video, of which every frame counts, or a stream."""
    check_address(url)
    live = _live(url, profile)
    if not live.has_end or urlsplit(url).scheme.lower() not in FILE_SCHEMES:
        return live
    live.close()
    return Video(url, realtime, profile)


def is_camera(name: str) -> bool:
    """Whether it names a camera of this machine: a number, a device or a link to one, or `picamera`."""
    number = name.isascii() and name.isdecimal() and len(name) < 4
    return number or name == "picamera" or name.startswith(CAMERA_FOLDERS) or _is_device(name)


def _is_device(name: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(name).st_mode)
    except (OSError, ValueError):
        return False
