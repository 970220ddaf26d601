"""Image files of all kinds, made here: small, with a colour in each pixel that tells it from the others."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(7)


def pixels(height=19, width=30, channels=3):
    """Random pixels, smooth enough for JPEG."""
    coarse = RANDOM.integers(0, 256, (4, 6, channels)).astype("uint8")
    bands = [np.asarray(Image.fromarray(coarse[..., n]).resize((width, height))) for n in range(channels)]
    return np.stack(bands, axis=-1)


def saved(image, kind, **options):
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(height=19, width=30):
    """A PNG file of random pixels."""
    return saved(Image.fromarray(pixels(height, width)), "PNG")


def png_of_16_bits(values, colour):
    """A PNG file as Pillow writes none, by PNG's types of colour: 2 is RGB, 4 grey and opacity, 6 RGBA."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def files():
    """A file of each kind, by a name that says it."""
    colours, grey = Image.fromarray(pixels()), Image.fromarray(pixels(channels=1)[..., 0])
    opacity = Image.fromarray(RANDOM.integers(0, 2, (19, 30)).astype("uint8") * 255)
    through, grey_through, palette = colours.copy(), grey.copy(), colours.quantize(16)
    through.putalpha(opacity)
    grey_through.putalpha(opacity)
    deep = RANDOM.integers(0, 1 << 16, (19, 30, 4)).astype("uint16")
    turned = Image.Exif()
    turned[0x0112] = 6
    frame = bytearray(saved(palette, "GIF"))
    frame[6:10] = struct.pack("<HH", 50, 40)  # of a larger canvas
    return {
        "jpeg": saved(colours, "JPEG", quality=90),
        "jpeg of greys": saved(grey, "JPEG"),
        "jpeg of inks": saved(colours.convert("CMYK"), "JPEG", quality=95),
        "jpeg that a camera turned": saved(colours, "JPEG", exif=turned),
        "png": saved(colours, "PNG"),
        "png of greys": saved(grey, "PNG"),
        "png of bits": saved(grey.convert("1"), "PNG"),
        "png of greys and opacity": saved(grey_through, "PNG"),
        "png with opacity": saved(through, "PNG"),
        "png of a palette": saved(palette, "PNG"),
        "png of a palette with a hole": saved(palette, "PNG", transparency=3),
        "png of 16 bits of grey": saved(Image.fromarray(deep[..., 0]), "PNG"),
        "png of 16 bits of colour": png_of_16_bits(deep[..., :3], 2),
        "png of 16 bits with opacity": png_of_16_bits(deep, 6),
        "png of 16 bits of grey with opacity": png_of_16_bits(deep[..., :2], 4),
        "gif": saved(palette, "GIF"),
        "gif with a hole": saved(palette, "GIF", transparency=3),
        "gif that moves": saved(palette, "GIF", save_all=True, append_images=[palette.rotate(90)]),
        "gif of a part": bytes(frame),
        "bmp": saved(colours, "BMP"),
    }


def broken():
    """Files that are no images, or not whole ones, and what is said of each."""
    whole = files()
    cut = {name: whole[name][: len(whole[name]) // 2] for name in ("jpeg", "png", "gif", "bmp")}
    torn = bytearray(whole["png"])
    torn[len(torn) // 2] ^= 255
    return {
        "nothing": (b"", "the file is empty"),
        "words": (b"no image" * 9, "no image file that Pillow knows"),
        **{f"half a {name}": (data, "(?i)truncated") for name, data in cut.items()},
        "a png with a wrong bit": (bytes(torn), "data stream"),
    }
