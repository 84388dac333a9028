"""Pictures that are none, or worse than they look, and the statuses that they may be answered with."""

import io
import struct
import zipfile
import zlib

import cv2
import numpy as np

from fer_benchmarks.demo_clip import render

PNG = b"\x89PNG\r\n\x1a\n"


def jpeg() -> bytes:
    """Two faces, 640x480."""
    return cv2.imencode(".jpg", render(0))[1].tobytes()


def png() -> bytes:
    """The same."""
    return cv2.imencode(".png", render(0))[1].tobytes()


def turned(degrees_tag: int) -> bytes:
    """The JPEG lying on its side, with an EXIF orientation (1 to 8) that sets it upright again for 6."""
    lying = cv2.imencode(".jpg", cv2.rotate(render(0), cv2.ROTATE_90_COUNTERCLOCKWISE))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HH", degrees_tag, 0) + bytes(4)
    return lying[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + lying[2:]


def claiming(width: int, height: int, size: int = 0) -> bytes:
    """A PNG that claims so many pixels, padded to `size` bytes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    start = PNG + head + chunk(b"IDAT", zlib.compress(bytes(5000)))
    padding = max(0, size - len(start) - 24)
    return start + chunk(b"tEXt", b"a" * padding) + chunk(b"IEND", b"")


def claiming_jpeg(width: int, height: int) -> bytes:
    """The JPEG with another size in its header."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG's chunk."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def polyglot() -> bytes:
    """A JPEG that is a zip and a web page as well."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("index.html", "<script>alert(1)</script>")
    return jpeg() + b"<script>alert(1)</script>" + file.getvalue()


def hostile() -> dict[str, tuple[bytes, set[int]]]:
    """Bodies by name, each with the statuses that are right for it."""
    noise = np.random.RandomState(0).bytes(3000)
    long_chunk = PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)) + b"\xff\xff\xff\xf0IDAT" + noise
    loop = b"\xff\xd8" + b"\xff\xe0\0\x02" * 100_000 + b"\xff\xd9"
    wide = chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0))
    bomb = PNG + wide + chunk(b"IDAT", zlib.compress(bytes(10**7)))
    return {
        "empty": (b"", {422}),
        "noise": (noise, {422}),
        "text": (b"<script>alert(1)</script>", {422}),
        "heads alone": (PNG, {422}),
        "a JPEG's head alone": (b"\xff\xd8\xff", {422}),
        "2 kB that claim 4 GB": (claiming(37837, 37837, 2048), {413}),
        "2 kB that claim 16 EB": (claiming(2**32 - 1, 2**32 - 1, 2048), {413}),
        "no pixels": (claiming(0, 0), {422}),
        "a JPEG that claims 4 gigapixels": (claiming_jpeg(65535, 65535), {413}),
        "a JPEG that claims 39 megapixels": (claiming_jpeg(6240, 6240), {200, 422}),
        "a chunk of 4 GB": (long_chunk, {422}),
        "a deflate bomb": (bomb, {413}),
        "markers without end": (loop, {422}),
        "a polyglot": (polyglot(), {200}),
        "half a JPEG": (jpeg()[:9000], {200, 422}),
        "half a PNG": (png()[:9000], {200, 422}),
        "a WebP by another name": (cv2.imencode(".webp", render(0))[1].tobytes(), {422}),
        "a GIF's head": (b"GIF89a" + noise, {422}),
        "a JPEG with broken EXIF": (turned(60000), {200, 422}),
    }  # fmt: skip
