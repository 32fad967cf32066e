"""Image files as people keep them, read as red, green and blue in 8 bits.

Pillow reads them: it decodes every format here, knows the camera's rotation, palettes, transparency and CMYK, and
refuses what unpacks to absurd sizes; GDAL knows no rotation and takes four bands, CMYK or RGBA, as they come. Only
16-bit colour goes through GDAL, because Pillow keeps the upper byte or, band after band in a TIFF, knows none of it.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
"""Formats that keep values as they are."""
DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, RuntimeError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning, OverflowError),
)
"""What decoders raise for files that are cut short, are something else, or are made to be harmful."""
ORIENTATION = 274
"""Number of the EXIF tag."""
GDAL_DRIVERS = {"PNG": "PNG", "TIFF": "GTiff"}


@dataclass(frozen=True)
class Picture:
    """A decoded image."""

    pixels: np.ndarray
    """uint8 (3, y, x): red, green, blue; upright."""
    stored_px: tuple[int, int]
    """Height and width as the file stores them, before it is turned upright."""
    orientation: int
    """How the file lies (EXIF): 1 upright."""
    notes: tuple[str, ...]
    """What was done that one may want to know: transparency, 16 bits, more than one picture."""


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """Open a file.

    Raises:
        ValueError: it is damaged, no image, or unpacks to more pixels than Pillow takes for harmless (89 million).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                yield image
    except DAMAGE as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} cannot be read: {told}") from error


def image_size(path: str) -> tuple[int, int]:
    """Return height and width of a file as it stores them, from its first bytes.

    Raises:
        ValueError: it is damaged, or no image.
    """
    if _is_foreign(path):
        values, _ = _through_gdal(path, "TIFF", header_only=True)
        return values.shape[1], values.shape[2]
    with _opened(path) as image:
        return image.height, image.width


def read_image(path: str) -> Picture:
    """Read an image.

    Grey becomes three equal bands; transparency is laid over white; 16 bits are divided by 257 and rounded; the
    camera's rotation is applied; of several pictures in a file the first counts. Colour profiles are not applied.

    Raises:
        ValueError: it is damaged, no image, too large, or of numbers that are no 8 or 16 bits.
    """
    notes: list[str] = []
    if _is_foreign(path):
        pixels, notes = _through_gdal(path, "TIFF")
        return Picture(pixels, (pixels.shape[1], pixels.shape[2]), 1, tuple(notes))
    with _opened(path) as image:
        pictures = int(getattr(image, "n_frames", 1))
        notes += [f"first of {pictures} pictures"] if pictures > 1 else []
        wide = _is_wide_colour(image)  # before EXIF is asked for: a PNG is decoded for that, and forgets
        orientation = _orientation(image)
        stored_px = image.height, image.width
        if wide:
            pixels, more = _through_gdal(path, str(image.format))
            pixels = upright(pixels, orientation)
            notes += more
        else:
            turned = ImageOps.exif_transpose(image) if orientation != 1 else image
            pixels, more = _colours(turned)
            notes += more
    if orientation != 1:
        notes.append("turned upright")
    return Picture(np.ascontiguousarray(pixels), stored_px, orientation, tuple(notes))


def read_mask(path: str) -> np.ndarray:
    """Read a mask as it is stored: uint8 (y, x) grey values or palette indices, or uint8 (y, x, 3) colours.

    A colour image whose three bands are equal is grey. Transparency is left out.

    Raises:
        ValueError: it is damaged, no image, or of more than 8 bits that do not fit.
    """
    with _opened(path) as image:
        if image.mode == "1":
            return np.asarray(image, np.uint8) * np.uint8(255)
        if image.mode.startswith(("I", "F")):
            values = np.asarray(image)
            if values.min() < 0 or values.max() > 255:
                raise ValueError(f"values from {values.min()} to {values.max()} do not fit 8 bits")
            return values.astype(np.uint8)
        if image.mode in ("L", "P"):
            return np.asarray(image)
        if image.mode == "LA":
            return np.asarray(image)[..., 0]
        values = np.asarray(image.convert("RGB") if image.mode != "RGBA" else image)[..., :3]
    equal = bool((values == values[..., :1]).all())
    return np.ascontiguousarray(values[..., 0] if equal else values)


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Return (..., y, x) turned as the EXIF orientation asks: 1 to 8, of the TIFF standard."""
    if orientation >= 5:
        values = values.swapaxes(-2, -1)
    flip_y, flip_x = {2: (0, 1), 3: (1, 1), 4: (1, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}.get(orientation, (0, 0))
    return values[..., :: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(ORIENTATION, 1)
    return int(found) if found in range(1, 9) else 1


def _colours(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    """Return uint8 (3, y, x) of a picture of any mode, and what was done."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ValueError(f"pixels of mode {image.mode} are no 8 or 16 bits; convert the image")
        grey = np.rint(values / 257).astype(np.uint8)
        return np.stack([grey] * 3), ["16 bits"]
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA"))
        colours, opacity = pixels[..., :3], pixels[..., 3:].astype(np.uint16)
        if (opacity == 255).all():
            return np.moveaxis(colours, 2, 0), []
        over = (colours * opacity + 255 * (255 - opacity) + 127) // 255  # rounded: 255 is odd, halves do not occur
        return np.moveaxis(over.astype(np.uint8), 2, 0), ["transparency over white"]
    return np.moveaxis(np.asarray(image.convert("RGB")), 2, 0), ["CMYK"] if image.mode == "CMYK" else []


def _is_wide_colour(image: Image.Image) -> bool:
    """Whether a picture has several bands of 16 bits, of which Pillow would keep the upper bytes."""
    raw = [str(getattr(tile, "args", tile[-1])) for tile in getattr(image, "tile", ())]
    return (
        image.format in GDAL_DRIVERS and image.mode != "I;16" and any(";16" in r for r in raw) and len(image.mode) > 1
    )


def _is_foreign(path: str) -> bool:
    """Whether a file is a TIFF of a form that Pillow does not know."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if start not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path).close()
    except UnidentifiedImageError:
        return True
    except DAMAGE:
        pass  # told when it is read
    return False


def _through_gdal(path: str, form: str, header_only: bool = False) -> tuple[np.ndarray, list[str]]:
    """Return uint8 (3, y, x) of a file of 8 or 16 bits as it is stored, and what was done.

    Raises:
        ValueError: GDAL cannot read it either, or it holds other numbers, or too many pixels.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no georeference: it is a picture
            with rasterio.open(path, driver=GDAL_DRIVERS[form]) as data:
                if data.height * data.width > (Image.MAX_IMAGE_PIXELS or 0):
                    raise ValueError(f"{path} cannot be read: it has {data.height} x {data.width} pixels")
                if set(data.dtypes) not in ({"uint8"}, {"uint16"}) or data.count > 4:
                    raise ValueError(f"{path} cannot be read: {data.count} bands of {data.dtypes[0]} are no picture")
                if header_only:
                    return np.broadcast_to(np.uint8(0), (3, data.height, data.width)), []
                values = data.read()
    except RasterioError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    notes = ["16 bits"] if values.dtype == np.uint16 else []
    scaled = values.astype(np.float32) / (257 if notes else 1)
    colours, opacity = (scaled[:1].repeat(3, axis=0), scaled[1:]) if len(values) <= 2 else (scaled[:3], scaled[3:])
    if not len(opacity) or (opacity[0] == 255).all():
        return np.rint(colours).astype(np.uint8), notes
    share = opacity[0] / 255
    return np.rint(colours * share + 255 * (1 - share)).astype(np.uint8), [*notes, "transparency over white"]
