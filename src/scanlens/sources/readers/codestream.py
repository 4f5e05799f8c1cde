"""The image size a compressed frame declares inside itself.

A JPEG, JPEG-LS or JPEG 2000 codestream carries a size of its own, and decoders allocate by it: a frame of
a few bytes may ask for gigabytes whatever the header around it says.
"""

from __future__ import annotations

_J2K_START = b"\xff\x4f\xff\x51"  # SOC, then SIZ, which ISO/IEC 15444-1 A.5.1 wants right behind it
_JPEG_START = b"\xff\xd8"
_NOT_FRAME_HEADERS = {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC share the SOF markers' range
_JPEG_LS_FRAME = 0xF7
_STANDALONE = {0x01, *range(0xD0, 0xDA)}


def declared_pixels(frame: bytes) -> int | None:
    """Return rows x columns as the codestream declares them, or None where it is none that is known.

    Args:
        frame: The first bytes of one encapsulated frame (JPEG, JPEG-LS, JPEG 2000 or HTJ2K).
    """
    if frame.startswith(_J2K_START):
        right, bottom, left, top = (int.from_bytes(frame[8 + 4 * i : 12 + 4 * i], "big") for i in range(4))
        return max(right - left, 0) * max(bottom - top, 0)
    if frame.startswith(_JPEG_START):
        return _jpeg_pixels(frame)
    return None


def _jpeg_pixels(frame: bytes) -> int | None:
    position = 2
    while position + 9 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAME_HEADERS) or marker == _JPEG_LS_FRAME:
            rows = int.from_bytes(frame[position + 5 : position + 7], "big")
            columns = int.from_bytes(frame[position + 7 : position + 9], "big")
            return rows * columns
        position += 2 + max(int.from_bytes(frame[position + 2 : position + 4], "big"), 2)
    return None
