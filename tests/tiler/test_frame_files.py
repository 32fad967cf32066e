"""PNGs and NetCDF files of one band at one time."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from tiler.frame_files import read_header, read_plane
from tiler.frame_values import BITS

GREY = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7) * 7


def saved(folder: Path, image: Image.Image, **options: object) -> str:
    path = folder / "coms_ir1_201103030645.png"
    image.save(path, **options)
    return str(path)


def test_a_grey_png_is_its_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY))
    values, valid = read_plane(path)
    np.testing.assert_array_equal(values, GREY)
    assert valid.all()
    header = read_header(path)
    assert (header.height_px, header.width_px, header.dtype, header.value_range) == (5, 7, "uint8", (0, 255))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_another_mode_is_the_same(tmp_path: Path, mode: str) -> None:
    values, valid = read_plane(saved(tmp_path, Image.fromarray(GREY).convert(mode)))
    np.testing.assert_array_equal(values, GREY)
    assert valid.all()


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    wide = GREY.astype(np.uint16) * 257
    path = saved(tmp_path, Image.fromarray(wide))
    values, _ = read_plane(path)
    np.testing.assert_array_equal(values, wide)
    assert str(values.dtype) == read_header(path).dtype == "uint16"


def test_coloured_lines_and_transparent_pixels_are_missing(tmp_path: Path) -> None:
    picture = np.stack([GREY, GREY, GREY, np.full_like(GREY, 255)], axis=-1)
    picture[2, :, 2] = 0  # a yellow coast line
    picture[2, :, :2] = 200
    picture[0, 0, 3] = 0
    picture[4, 4, 0] += 2  # rounded on its own
    values, valid = read_plane(saved(tmp_path, Image.fromarray(picture)))
    expected = np.ones(GREY.shape, bool)
    expected[2] = expected[0, 0] = False
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(values, np.where(expected, GREY, 0))


def test_a_picture_of_colours_is_no_measurement(tmp_path: Path) -> None:
    picture = np.stack([GREY, 255 - GREY, GREY], axis=-1)
    with pytest.raises(ValueError, match=r"% of the picture is coloured; give the grey one"):
        read_plane(saved(tmp_path, Image.fromarray(picture)))


def netcdf(path: Path, engine: str, **attributes: object) -> str:
    counts = (GREY.astype(np.uint16) * 16) if engine == "h5netcdf" else GREY.astype(np.int16) * 16
    image = (("dim_image_y", "dim_image_x"), counts, attributes)
    xr.Dataset({"image_pixel_values": image, "flags": ((), np.int32(3))}).to_netcdf(path, engine=engine)
    return str(path)


def test_netcdf_as_gk2a_has_it(tmp_path: Path) -> None:
    path = netcdf(tmp_path / "gk2a_ami_le1b_ir105_ea020lc_201907250600.nc", "h5netcdf", **{BITS: np.uint8(11)})
    values, valid = read_plane(path)
    counts = GREY.astype(np.uint16) * 16
    np.testing.assert_array_equal(valid, counts < 2048)
    np.testing.assert_array_equal(values, np.where(counts < 2048, counts, 0))
    header = read_header(path)
    assert (header.height_px, header.width_px, header.dtype, header.value_range) == (5, 7, "uint16", (0, 2047))


def test_classic_netcdf_is_read_too(tmp_path: Path) -> None:
    path = netcdf(tmp_path / "gk2a_ir105_201907250600.nc", "scipy", missing_value=np.int16(16 * 7))
    values, valid = read_plane(path)
    assert values.dtype == np.int16
    assert (~valid).sum() == 1
    assert values[1, 2] == int(GREY[1, 2]) * 16


def test_a_netcdf_that_says_where_north_is_comes_north_up(tmp_path: Path) -> None:
    path = tmp_path / "x.nc"
    coordinates = {"y": np.arange(5.0), "x": np.arange(7.0)[::-1]}
    xr.Dataset({"counts": (("y", "x"), GREY)}, coordinates).to_netcdf(path, engine="h5netcdf")
    np.testing.assert_array_equal(read_plane(str(path))[0], GREY[::-1, ::-1])


def test_of_several_images_one_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "x.nc"
    xr.Dataset({"a": (("y", "x"), GREY), "b": (("y", "x"), GREY // 2)}).to_netcdf(path, engine="h5netcdf")
    np.testing.assert_array_equal(read_plane(str(path), "b")[0], GREY // 2)
    with pytest.raises(ValueError, match=r"\['a', 'b'\]; `variable` must name one"):
        read_plane(str(path))
    with pytest.raises(ValueError, match="variable 'c' is not among them"):
        read_header(str(path), "c")


def test_a_picture_that_promises_billions_of_pixels_is_not_opened(tmp_path: Path) -> None:
    header = struct.pack(">4sIIBBBBB", b"IHDR", 60_000, 60_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    png += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (tmp_path / "x.png").write_bytes(png)
    for read in (read_header, read_plane):
        with pytest.raises(ValueError, match=r"x\.png cannot be read: Image size .* exceeds limit"):
            read(str(tmp_path / "x.png"))


@pytest.mark.parametrize(
    ("name", "how"),  # HDF5 without checksums cannot tell flipped bytes
    [(name, how) for name in ("x.png", "x.nc") for how in ("cut", "empty", "text", "absent")] + [("x.png", "flipped")],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, how: str) -> None:
    path = tmp_path / name
    if name == "x.png":
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)).save(path)
    else:
        netcdf(path, "h5netcdf")
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(
        {"cut": bytes(data[: len(data) * 2 // 3]), "empty": b"", "text": b"<html>404</html>"}.get(how, data)
    )
    if how == "absent":
        path.unlink()
    with pytest.raises(ValueError, match=name):
        read_plane(str(path))
