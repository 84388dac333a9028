"""One decoder: every odd kind of picture is the same face to fer-run and to whatever reads a dataset."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Run
from fer_runtime.data.dataset import load
from fer_runtime.data.decode import decode
from fer_runtime.sources.files import Pictures
from helpers.drawn import draw_face
from helpers.odd_pictures import odd_pictures

FACE = draw_face("sad", np.random.RandomState(0))
FILES = odd_pictures(FACE)


@pytest.mark.parametrize("name", FILES)
def test_an_odd_picture_is_the_face_that_a_viewer_shows(name: str, tmp_path: Path) -> None:
    pixels = decode(FILES[name])
    assert pixels is not None
    grey = pixels if pixels.ndim == 2 else pixels[:, :, 1]
    off = np.abs(grey.astype(int) - FACE).max()
    assert off <= (8 if name.startswith("lossy") else 0)
    for folder in ("sad", "happy"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(FILES[name])
    (frame,) = Pictures([tmp_path / "sad" / name]).frames()
    assert np.array_equal(frame.image, pixels if pixels.ndim == 3 else cv2.merge([pixels] * 3))
    loaded = load(tmp_path).split("train").pixels
    assert np.abs(loaded.astype(int) - FACE).max() == off


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_fewer_bits_in_sixteen_are_the_same_face(bits: int, suffix: str) -> None:
    """As industrial cameras store theirs: it was all but black, and got another label without a word."""
    deep = FACE.astype(np.uint16) << (bits - 8)
    for stored, grey in ((deep, True), (cv2.merge([deep] * 3), False)):
        pixels = decode(cv2.imencode(suffix, stored)[1].tobytes())
        assert pixels is not None
        assert np.array_equal(pixels, FACE if grey else cv2.merge([FACE] * 3))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_dark_picture_stays_dark(suffix: str) -> None:
    dark = (FACE // 20).astype(np.uint8)
    for stored in (dark, np.zeros((9, 9), np.uint16), np.full((9, 9), 5000, np.uint16)):
        pixels = decode(cv2.imencode(suffix, stored)[1].tobytes())
        assert pixels is not None
        assert pixels.max() <= 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        FILES["palette.png"][:60],
        b"\x89PNG\r\n\x1a\n" + b"\xff\xff\xff\xf0IHDR" + bytes(100),  # a chunk of 4 GB
        b"P5 60000 60000 255\n" + bytes(100),  # 3.6 gigapixels
        b"GIF89a\xff\xff\xff\xff\xf7\x00\x00" + bytes(800),  # 65535 x 65535
        cv2.imencode(".tif", np.zeros((4, 4), np.float32))[1].tobytes(),  # of no known range
    ],
    ids=["empty", "text", "cut", "chunk", "pgm", "gif", "float"],
)
def test_what_is_broken_or_hostile_is_no_picture(data: bytes) -> None:
    assert decode(data) is None


def test_an_album_tells_what_it_passes_over(command: Run, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.JFIF", "c.jpe", "d.gif", "e.HEIC", "f.mp4", ".g.png"):
        (tmp_path / name).write_bytes(FILES["palette.gif" if name == "d.gif" else "lossy.jfif"])
    (tmp_path / "more").mkdir()
    done = command("fer-run", "--source", tmp_path, "--headless", "--jsonl", tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stderr
    names = [json.loads(line)["name"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert names == ["a.jpg", "b.JFIF", "c.jpe", "d.gif"]
    assert "2 files of other kinds were passed over; found 1 .heic, 1 .mp4 (first: " in done.stderr
    assert "1 folders in" in done.stderr
    for name in names:
        (tmp_path / name).unlink()
    done = command("fer-run", "--source", tmp_path, "--headless")
    assert done.returncode == 1
    assert "holds no pictures: expected files such as .jpg or .png; found 1 .heic, 1 .mp4, 1 .jsonl, 1 folders" in (
        done.stderr
    )
