"""Every way in which people keep 8-bit pictures, and files that are none."""

import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from tests.tiler.images_for_tests import picture, save
from tests.tiler.rasters_for_tests import write_tif
from tiler.image_files import ORIENTATION, image_size, read_image, read_mask, upright

HEIGHT, WIDTH = 30, 44


def bands(pixels: np.ndarray) -> np.ndarray:
    return np.moveaxis(pixels, 2, 0)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_what_keeps_values_is_read_exactly_and_red_comes_first(tmp_path, suffix):
    pixels = picture(HEIGHT, WIDTH)
    pixels[:9] = (255, 0, 0)
    path = save(tmp_path / f"a.{suffix}", pixels, **({"lossless": True} if suffix == "webp" else {}))
    found = read_image(str(path))
    assert_array_equal(found.pixels, bands(pixels))
    assert (found.pixels[0, 0, 0], found.pixels[2, 0, 0]) == (255, 0), "a blue sky stays blue"
    assert (found.stored_px, found.orientation, found.notes) == ((HEIGHT, WIDTH), 1, ())
    assert image_size(str(path)) == (HEIGHT, WIDTH)


def test_gray_has_three_equal_bands(tmp_path):
    gray = picture(HEIGHT, WIDTH)[..., 0]
    assert_array_equal(read_image(str(save(tmp_path / "a.png", gray))).pixels, np.stack([gray] * 3))
    bits = Image.fromarray(gray > 100)
    bits.save(tmp_path / "bits.png")
    assert_array_equal(read_image(str(tmp_path / "bits.png")).pixels[1], np.where(gray > 100, 255, 0))


def test_transparency_is_laid_over_white_and_noted(tmp_path):
    pixels = np.concatenate([picture(HEIGHT, WIDTH), np.full((HEIGHT, WIDTH, 1), 255, np.uint8)], axis=2)
    opaque = read_image(str(save(tmp_path / "opaque.png", pixels)))
    assert_array_equal(opaque.pixels, bands(pixels[..., :3]))
    assert opaque.notes == ()
    pixels[..., 3] = np.arange(WIDTH) * 5
    found = read_image(str(save(tmp_path / "soft.png", pixels)))
    share = pixels[..., 3:] / 255
    assert_array_equal(found.pixels, bands(np.rint(pixels[..., :3] * share + 255 * (1 - share)).astype(np.uint8)))
    assert found.notes == ("transparency over white",)
    gray_alpha = Image.fromarray(pixels).convert("LA")
    gray_alpha.save(tmp_path / "la.png")
    assert (read_image(str(tmp_path / "la.png")).pixels[:, :, 0] == 255).all(), "where nothing is, is white"


def test_palettes_are_colours_also_with_a_transparent_one(tmp_path):
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, 5:] = (10, 200, 30)
    image = Image.fromarray(pixels).quantize(4)
    image.save(tmp_path / "p.png")
    assert_array_equal(read_image(str(tmp_path / "p.png")).pixels, bands(pixels))
    image.save(tmp_path / "t.png", transparency=int(np.asarray(image)[0, 0]))
    found = read_image(str(tmp_path / "t.png"))
    assert (found.pixels[:, :, :5] == 255).all()
    assert_array_equal(found.pixels[:, :, 5:], bands(pixels)[:, :, 5:])


def test_sixteen_bits_are_divided_by_257(tmp_path):
    wide = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    expected = np.rint(wide / 257).astype(np.uint8)
    for suffix in ("png", "tif"):
        found = read_image(str(save(tmp_path / f"wide.{suffix}", wide)))
        assert_array_equal(found.pixels, np.stack([expected] * 3))
        assert found.notes == ("16 bits",)
    colours = np.stack([wide, wide[::-1], wide[:, ::-1]])
    write_tif(tmp_path / "rgb.tif", colours, crs=None, transform=None)
    assert_array_equal(read_image(str(tmp_path / "rgb.tif")).pixels, np.rint(colours / 257).astype(np.uint8))
    write_png16(tmp_path / "rgb.png", colours)
    found = read_image(str(tmp_path / "rgb.png"))
    assert_array_equal(found.pixels, np.rint(colours / 257).astype(np.uint8))
    assert found.notes == ("16 bits",)


def write_png16(path: Path, colours: np.ndarray) -> None:
    """Write uint16 (3, y, x) as PNG, which Pillow cannot."""
    height, width = colours.shape[1:]
    rows = np.moveaxis(colours, 0, 2).astype(">u2").reshape(height, -1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_cmyk_becomes_colours(tmp_path):
    Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=95)
    found = read_image(str(tmp_path / "print.jpg"))
    assert found.notes == ("CMYK",)
    assert np.abs(found.pixels.astype(int) - np.array([255, 0, 0])[:, None, None]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_rotation_is_applied(tmp_path, orientation):
    pixels = picture(HEIGHT, WIDTH)
    pixels[:6, :9] = 0
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = save(tmp_path / "a.png", pixels, exif=exif)
    found = read_image(str(path))
    assert found.stored_px == (HEIGHT, WIDTH)
    assert found.orientation == orientation
    assert_array_equal(found.pixels, upright(bands(pixels), orientation))
    assert found.pixels.shape[1:] == ((HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    y, x = corner[orientation]  # where the dark upper left corner of the file belongs, by the TIFF standard
    assert (found.pixels[:, y, x] == 0).all()


def test_of_several_pictures_the_first_counts(tmp_path):
    first, second = (Image.fromarray(picture(HEIGHT, WIDTH, seed)) for seed in (1, 2))
    first.save(tmp_path / "two.tif", save_all=True, append_images=[second])
    found = read_image(str(tmp_path / "two.tif"))
    assert_array_equal(found.pixels, bands(np.asarray(first)))
    assert found.notes == ("first of 2 pictures",)


def bomb(path: Path) -> None:
    """Write a PNG of some bytes that says it has 400 million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    body = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + body + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    )


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_what_was_cut_short_is_damaged(tmp_path, suffix, share):
    whole = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = save(tmp_path / f"a.{suffix}", whole)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"a\.\w+ cannot be read: "):
        read_image(str(path))


def test_what_unpacks_to_absurd_sizes_is_refused_before_it_is_unpacked(tmp_path):
    bomb(tmp_path / "bomb.png")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bomb\.png cannot be read: .*400000000 pixels"):
        read_image(str(tmp_path / "bomb.png"))
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_what_is_no_picture_of_bytes_is_told(tmp_path):
    (tmp_path / "text.jpg").write_text("<html>")
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.float32)).save(tmp_path / "float.tif")
    for name in ("text.jpg", "float.tif", "absent.png"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            read_image(str(tmp_path / name))


def test_reading_warns_of_nothing(tmp_path):
    pixels = Image.fromarray(picture(HEIGHT, WIDTH)).quantize(8)
    pixels.save(tmp_path / "p.png", transparency=bytes([0, 255, 255, 255, 255, 255, 255, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(str(tmp_path / "p.png"))


def test_masks_come_as_they_are_stored(tmp_path):
    gray = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    assert_array_equal(read_mask(str(save(tmp_path / "gray.png", gray))), gray)
    assert_array_equal(read_mask(str(save(tmp_path / "equal.png", np.stack([gray] * 3, axis=2)))), gray)
    colours = picture(HEIGHT, WIDTH)
    assert_array_equal(read_mask(str(save(tmp_path / "colours.png", colours))), colours)
    indexed = Image.fromarray(gray % 3)
    indexed.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    indexed.save(tmp_path / "p.png")
    assert_array_equal(read_mask(str(tmp_path / "p.png")), gray % 3)
    Image.fromarray(gray > 90).save(tmp_path / "bits.png")
    assert_array_equal(read_mask(str(tmp_path / "bits.png")), np.where(gray > 90, 255, 0))
    save(tmp_path / "wide.png", gray.astype(np.uint16) + 300)
    with pytest.raises(ValueError, match="do not fit 8 bits"):
        read_mask(str(tmp_path / "wide.png"))
