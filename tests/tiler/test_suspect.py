"""What is refused before pixels are asked for: the limits, on both sides of each."""

import math
import os
from dataclasses import dataclass

import pytest

from tests.tiler.rasters_for_tests import TRANSFORM, grid, moved, numbers, write_tif
from tiler import suspect
from tiler.suspect import check_file, check_place, check_shape, check_transform, is_on_earth


@dataclass
class Raster:
    """What `check_shape` looks at."""

    height: int = 900
    width: int = 700
    count: int = 4
    dtype: str = "uint16"
    block: tuple[int, int] = (256, 512)

    @property
    def dtypes(self):
        return [self.dtype] * self.count

    @property
    def block_shapes(self):
        return [self.block] * self.count


@pytest.mark.parametrize(
    ("raster", "size", "says"),
    [
        (Raster(), 100, None),
        (Raster(height=0), 100, "0 x 700 px"),
        (Raster(count=0, block=(1, 1)), 100, "0 bands"),
        (Raster(height=10**5, width=10**6), 0, None),
        (Raster(height=10**5, width=10**6 + 1), 0, "promises 4 bands"),
        (Raster(count=2048, block=(1, 700)), 0, None),
        (Raster(count=2049, block=(1, 700)), 0, "2049 bands"),
        (Raster(height=2**13, width=2**14), 1, None),  # one GiB, however small the file
        (Raster(height=2**13, width=2**14 + 1), 1, "nearly all of it is not there"),
        (Raster(height=10_000, width=100_000, count=1), 100_000, None),
        (Raster(height=10_000, width=100_001, count=1), 100_000, "nearly all of it is not there"),
        (Raster(block=(2**12, 2**13)), 0, None),
        (Raster(block=(2**12, 2**13 + 1)), 0, "TILED=YES"),
        (Raster(block=(2**12, 2**12), dtype="complex_int16"), 0, "blocks"),  # a type that numpy has not
    ],
)
def test_headers_promise_what_a_file_can_hold(raster, size, says):
    if says is None:
        check_shape("a.tif", raster, size)
    else:
        with pytest.raises(ValueError, match=rf"a\.tif .*{says}.*|{says}"):
            check_shape("a.tif", raster, size)


@pytest.mark.parametrize("place", [0, 1, 3, 4])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_pixels_lie_somewhere(place, value):
    whole = [10.0, 1.0, 3e5, 2.0, -12.0, 4e6]
    check_transform("a.tif", tuple(whole))
    whole[place] = value
    with pytest.raises(ValueError, match=r"a\.tif has the transform .* lie nowhere"):
        check_transform("a.tif", tuple(whole))


def test_pixels_have_an_area():
    with pytest.raises(ValueError, match="lie nowhere"):
        check_transform("a.tif", (10.0, 20.0, 0.0, 5.0, 10.0, 0.0))  # its axes are parallel


@pytest.mark.parametrize(
    ("crs", "known"),
    [
        *[("EPSG:32652", True), ("EPSG:4326", True), ("EPSG:5179", True), ("EPSG:3857", True), ("EPSG:7415", True)],
        *[("EPSG:4978", False), ("EPSG:5703", False), ('LOCAL_CS["x",UNIT["metre",1]]', False), ("nonsense", False)],
        ("", False),
    ],
)
def test_a_crs_says_where_on_the_earth(crs, known):
    assert is_on_earth(crs) is known


def test_some_of_a_scene_lies_on_the_earth():
    check_place("a", grid(430, 610))
    x = moved(1e11, 1e11)
    with pytest.raises(ValueError, match=r"a lies nowhere on the Earth .*; correct them"):
        check_place("a", grid(430, 610, x))
    with pytest.raises(ValueError, match="nowhere"):
        check_place("a", grid(430, 610, TRANSFORM, "EPSG:4326"))


def test_a_file_is_a_file(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(4, 9))
    check_file(path)
    (tmp_path / "folder.tif").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    os.symlink("none", tmp_path / "link.tif")
    for name, says in (("none", "not exist"), ("folder", "not a file"), ("pipe", "not a file"), ("link", "not exist")):
        with pytest.raises(ValueError, match=rf"{name}\.tif cannot be opened: it .*{says}"):
            check_file(f"{tmp_path}/{name}.tif")


def test_a_link_to_itself_is_refused_and_harms_no_file_beside_it(tmp_path):
    """To ask what it is raises an error, which is not that of its neighbours."""
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    path = write_tif(tmp_path / "a.tif", numbers(1, 9, 8))
    check_file(str(path))
    with pytest.raises(ValueError, match="does not exist, or is a link to nothing; replace"):
        check_file(str(tmp_path / "loop.tif"))


def test_pipes_beside_a_file_are_refused_only_if_they_have_its_name(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(4, 9))
    os.mkfifo(tmp_path / "other.tfw")
    os.symlink("none.xml", tmp_path / "a.tif.xml")
    check_file(path)
    os.mkfifo(tmp_path / "a.tfw")
    with pytest.raises(ValueError, match=r"a\.tfw beside .*a\.tif is neither .*; remove it"):
        check_file(path)


def test_a_sidecar_is_small(tmp_path, monkeypatch):
    path = write_tif(tmp_path / "a.tif", numbers(4, 9))
    monkeypatch.setattr(suspect, "LARGEST_SIDECAR_BYTES", 50)
    for name in ("a.tif.aux.xml", "a.aux.xml"):
        (tmp_path / name).write_text("x" * 50)
        check_file(path)
        (tmp_path / name).write_text("x" * 51)
        with pytest.raises(ValueError, match=rf"{name} has more than 50 bytes"):
            check_file(path)
        (tmp_path / name).unlink()
