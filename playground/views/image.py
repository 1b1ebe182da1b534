"""A PNG from numbers, without a library: one byte a pixel and a palette that fades one colour in."""

import base64
import struct
import zlib

import numpy as np

LOW, HIGH = (120, 170, 245), (37, 99, 216)  # of the ramp, which begins transparent: it suits light and dark paper


def ramp() -> list[tuple[int, int, int, int]]:
    """256 colours (red, green, blue, alpha), from nothing to the accent colour."""
    colours = []
    for i in range(256):
        share = i / 255
        red, green, blue = (round(low + (high - low) * share) for low, high in zip(LOW, HIGH, strict=True))
        colours.append((red, green, blue, round(255 * min(1.0, share * 1.25))))
    return colours


def plotly_scale(power: float = 1.0, steps: int = 33) -> list[list]:
    """The same ramp as a Plotly colour scale; power 0.5 colours by the square root of a value."""
    colours = ramp()
    scale = []
    for step in range(steps):
        share = (step / (steps - 1)) ** 2  # closer steps where a square root is steep
        red, green, blue, alpha = colours[round(255 * share**power)]
        scale.append([share, f"rgba({red},{green},{blue},{alpha / 255:.3f})"])
    return scale


def png(pixels: np.ndarray) -> bytes:
    """pixels: uint8 (height, width), indices into `ramp()`."""
    height, width = pixels.shape
    lines = np.zeros((height, width + 1), dtype=np.uint8)  # each line begins with its filter: 0, none
    lines[:, 1:] = pixels
    colours = ramp()
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", bytes(value for colour in colours for value in colour[:3])),
            _chunk(b"tRNS", bytes(colour[3] for colour in colours)),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)),
            _chunk(b"IEND", b""),
        ]
    )


def data_url(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
