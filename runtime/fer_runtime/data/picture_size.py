"""How many pixels a picture claims to have, before a decoder takes memory for them."""

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
JPEG_HEAD = b"\xff\xd8"
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers that carry the size (ITU-T T.81, table B.1)
BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
FILL = 0xFF


def picture_size(data: bytes | bytearray) -> tuple[int, int] | None:
    """Width and height that a PNG's header or a JPEG's first frame header names; None where there is none."""
    if data.startswith(PNG_HEAD):
        return _numbers(data, 16, 4) if data[12:16] == b"IHDR" else None
    return _jpeg_size(data) if data.startswith(JPEG_HEAD) else None


def _jpeg_size(data: bytes | bytearray) -> tuple[int, int] | None:
    at = len(JPEG_HEAD)
    while at + 4 <= len(data) and data[at] == FILL:
        marker = data[at + 1]
        if marker == FILL or marker in BARE:
            at += 1 if marker == FILL else 2
        elif marker in START_OF_FRAME:
            size = _numbers(data, at + 5, 2)
            return size and size[::-1]  # the height comes first
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _numbers(data: bytes | bytearray, at: int, length: int) -> tuple[int, int] | None:
    """Two numbers of `length` bytes, most significant first; None where the data ends before."""
    if at + 2 * length > len(data):
        return None
    return int.from_bytes(data[at : at + length], "big"), int.from_bytes(data[at + length : at + 2 * length], "big")
