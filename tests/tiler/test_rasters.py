"""Raster files: the driver of the suffix alone, headers, damage found before work starts, changed files refused."""

import os
import subprocess
import sys
import threading
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.testing import assert_array_equal
from obstore.store import MemoryStore

from tests.tiler.rasters_for_tests import TRANSFORM, UTM52, numbers, write_tif
from tests.tiler.web_for_tests import web
from tiler.grids import Box
from tiler.patterns import expand
from tiler.rasters import CACHE_BYTES, digest, fingerprint, open_raster, read_header, read_window
from tiler.sources import is_printable


def test_a_header_says_what_the_file_holds(tmp_path):
    path = write_tif(tmp_path / "a.TIF", numbers(3, 17, 29, dtype="int16"), nodata=-999)
    header = read_header(path)
    assert (header.height, header.width, header.bands, header.dtype, header.nodata) == (17, 29, 3, "int16", -999)
    assert header.grid is not None
    assert header.grid.transform == tuple(TRANSFORM)[:6] == header.transform
    assert header.grid.pyproj_crs.to_epsg() == 32652
    assert header.size_bytes == os.path.getsize(path)


@pytest.mark.parametrize(
    ("crs", "transform", "kept"), [(None, None, None), (None, TRANSFORM, tuple(TRANSFORM)[:6]), (UTM52, None, None)]
)
def test_a_file_lies_nowhere_without_both_crs_and_transform(crs, transform, kept, tmp_path):
    if transform is None and crs is not None:
        transform = Affine.identity()
    header = read_header(write_tif(tmp_path / "a.tif", numbers(4, 9), crs=crs, transform=transform))
    assert header.grid is None
    assert header.transform == kept


def test_headers_are_read_on_several_threads_and_warnings_stay_as_they_were(tmp_path, monkeypatch):
    """The first thread leaves while the second has yet to meet the warning that both ignore."""
    paths = [write_tif(tmp_path / f"{n}.tif", numbers(1, 20, 30), crs=None, transform=None) for n in range(2)]
    both, left, opened = threading.Barrier(2, timeout=30), threading.Event(), rasterio.open

    def meeting(path, **options):
        both.wait()
        assert path == paths[0] or left.wait(30)
        return opened(path, **options)

    def read(path):
        try:
            with open_raster(path) as data:
                return data.width
        finally:
            left.set()

    before = list(warnings.filters)
    monkeypatch.setattr(rasterio, "open", meeting)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(read, paths)) == [30, 30]
    assert warnings.filters == before


def test_a_window_is_read_as_it_lies(tmp_path):
    array = numbers(3, 40, 60)
    path = write_tif(tmp_path / "a.tif", array)
    assert_array_equal(read_window(path, [3, 1], 7, 11, 20, 31), array[[2, 0], 7:27, 11:42])


def test_an_unknown_suffix_is_refused(tmp_path):
    (tmp_path / "a.vrt").write_text("<VRTDataset/>")
    with (
        pytest.raises(ValueError, match=r"cannot tell the format of .*a\.vrt.*\.tif"),
        open_raster(f"{tmp_path}/a.vrt"),
    ):
        pass


def test_a_vrt_in_disguise_is_refused(tmp_path):
    secret = write_tif(tmp_path / "secret.tif", numbers(8, 9))
    evil = tmp_path / "evil.tif"
    evil.write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="8"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{secret}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    for call in (lambda: read_header(str(evil)), lambda: read_window(str(evil), [1], 0, 0, 8, 9)):
        with pytest.raises(ValueError, match=r"evil\.tif cannot be opened as GTiff.*replace or remove"):
            call()


def test_garbage_and_absence_are_refused(tmp_path):
    (tmp_path / "garbage.tif").write_bytes(b"II*\0" + os.urandom(400))
    (tmp_path / "text.tif").write_text("not an image at all")
    for name in ("garbage.tif", "text.tif", "absent.tif"):
        with pytest.raises(ValueError, match=f"{name} cannot be opened.*replace or remove"):
            read_header(f"{tmp_path}/{name}")


@pytest.mark.parametrize("options", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}, {"compress": "deflate"}])
def test_a_truncated_file_is_found_while_planning(options, tmp_path):
    path = write_tif(tmp_path / "cut.tif", numbers(2, 150, 170), **options)
    read_header(path)
    os.truncate(path, int(os.path.getsize(path) * 0.6))
    with pytest.raises(ValueError, match=r"cut\.tif (is damaged|cannot be opened).*replace"):
        read_header(path)


def test_damage_between_is_found_by_the_worker(tmp_path):
    path = write_tif(tmp_path / "hole.tif", numbers(1, 320, 170), compress="deflate", blockysize=16)
    middle = os.path.getsize(path) // 2
    with open(path, "r+b") as file:
        file.seek(middle)
        file.write(b"\xff" * 4000)
    read_header(path)  # the first and the last block are whole
    with pytest.raises(ValueError, match=r"hole\.tif cannot be read at row 3, column 2.*replace"):
        read_window(path, [1], 3, 2, 300, 100)


def test_the_fingerprint_of_an_object_follows_its_content(monkeypatch):
    store = MemoryStore()
    store.put("s/x/b.tif", b"12345")
    monkeypatch.setattr("obstore.store.from_url", lambda url, **_: store)
    before = fingerprint("s3://bucket/s/x/b.tif")
    assert before.startswith("s3://bucket/s/x/b.tif|5|")
    store.put("s/x/b.tif", b"54321")
    assert fingerprint("s3://bucket/s/x/b.tif") != before


def test_a_fingerprint_changes_with_the_file_and_not_with_its_folder(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.tif").write_bytes(b"abc")
        os.utime(tmp_path / folder / "a.tif", ns=(5, 1_700_000_000_000_000_000))
    first = fingerprint(f"{tmp_path}/one/a.tif")
    assert fingerprint(f"{tmp_path}/two/a.tif") == first
    os.utime(tmp_path / "two/a.tif", ns=(5, 1_700_000_000_000_000_001))
    assert fingerprint(f"{tmp_path}/two/a.tif") != first
    (tmp_path / "one/a.tif").write_bytes(b"abcd")
    os.utime(tmp_path / "one/a.tif", ns=(5, 1_700_000_000_000_000_000))
    assert fingerprint(f"{tmp_path}/one/a.tif") != first


def test_a_digest_keeps_order_and_borders():
    texts = (["ab", "c"], ["a", "bc"], ["c", "ab"], ["abc"], [])
    assert len({digest(t) for t in texts}) == len(texts)
    assert digest(["ab", "c"]) == digest(("ab", "c"))


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    path, first, second = tmp_path / "a.tif", numbers(2, 9, 13), numbers(2, 9, 13, seed=8)
    write_tif(path, first)
    assert_array_equal(read_window(str(path), [2], 1, 2, 5, 7)[0], first[1, 1:6, 2:9])
    write_tif(tmp_path / "b.tif", second)
    (tmp_path / "b.tif").replace(path)
    os.utime(path, ns=(1, 1))
    assert_array_equal(read_window(str(path), [2], 1, 2, 5, 7)[0], second[1, 1:6, 2:9])
    path.unlink()
    with pytest.raises(ValueError, match="cannot be opened"):
        read_window(str(path), [2], 1, 2, 5, 7)


@pytest.mark.parametrize(
    "other",
    [
        numbers(2, 8, 13),
        numbers(2, 900, 13),
        numbers(2, 9, 14),
        numbers(3, 9, 13),
        numbers(1, 9, 13),
        numbers(2, 9, 13).astype("float64"),
        numbers(2, 9, 13, dtype="int16"),
    ],
    ids=["lower", "higher", "wider", "a band more", "a band less", "float64", "int16"],
)
def test_a_file_that_became_another_one_is_refused_not_stretched_or_clipped(tmp_path, other):
    """GDAL would fill the window from whatever is there."""
    path, array = tmp_path / "a.tif", numbers(2, 9, 13)
    header = read_header(write_tif(path, array))
    assert_array_equal(header.read([2], Box(1, 2, 9, 13))[0], array[1, 1:9, 2:13])
    write_tif(path, other)
    with pytest.raises(ValueError, match=r"a\.tif was 2 x 9 x 13 uint16 in \d+ bytes when .*, and is \d.*repeat"):
        header.read([2], Box(1, 2, 9, 13))


def test_a_file_of_the_same_form_but_another_size_is_refused(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(1, 9, 13))
    header = read_header(path)
    with Path(path).open("ab") as file:
        file.write(b"0")
    with pytest.raises(ValueError, match="repeat the command"):
        header.read([1], Box(0, 0, 9, 13))


def test_windows_are_read_into_an_array_that_is_there(tmp_path):
    array, out = numbers(3, 40, 61), np.zeros((4, 20, 31), "uint16")
    path = write_tif(tmp_path / "a.tif", array)
    read_window(path, [3, 1], 7, 11, 20, 31, out[1:3])
    assert_array_equal(out[1:3], array[[2, 0], 7:27, 11:42])
    assert not out[[0, 3]].any()


def test_threads_that_read_one_file_get_the_same_pixels(tmp_path):
    array = numbers(1, 300, 301)
    path = write_tif(tmp_path / "a.tif", array, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(lambda row: read_window(path, [1], row, 5, 40, 290)[0], [*range(0, 260, 3)] * 3))
    for row, values in zip([*range(0, 260, 3)] * 3, found, strict=True):
        assert_array_equal(values, array[0, row : row + 40, 5:295])


@pytest.mark.parametrize(("setting", "limit"), [(None, CACHE_BYTES), ("111", 111 * 2**20)])
def test_the_cache_of_blocks_is_capped_unless_the_environment_says_how_large(setting, limit):
    code = "import rasterio\nfrom rasterio.env import get_gdal_config\nfrom tiler.rasters import limit_block_cache\n"
    code += "limit_block_cache()\nwith rasterio.Env(): print(get_gdal_config('GDAL_CACHEMAX'))"
    rest = {key: value for key, value in os.environ.items() if key != "GDAL_CACHEMAX"}
    environment = rest if setting is None else {**rest, "GDAL_CACHEMAX": setting}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == limit


OVERVIEWS = '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{}</MDI></Metadata></PAMDataset>'


def test_a_local_file_never_reaches_the_network(tmp_path, monkeypatch):
    """Neither through what its sidecar names, nor because a folder is called like an address."""
    (tmp_path / "web").mkdir()
    with web(tmp_path / "web", tmp_path / "log") as host:
        path = write_tif(tmp_path / "a.tif", numbers(2, 40, 61))
        for address in (f"/vsicurl/{host.address}/o.tif", f"{host.address}/o.tif"):
            (tmp_path / "a.tif.aux.xml").write_text(OVERVIEWS.format(address))
            os.utime(path)
            assert read_header(path).bands == 2
            read_window(path, [1, 2], 3, 4, 20, 30)
        monkeypatch.chdir(tmp_path)
        authority = host.address.removeprefix("http://")
        write_tif(tmp_path / "http:" / authority / "b.tif", numbers(1, 40, 61))
        (found,) = expand("*/*/b.tif")
        assert found == f"http:/{authority}/b.tif"
        assert read_header(found).width == 61
        read_window(found, [1], 0, 0, 40, 61)
        assert host.asked() == []


def test_a_file_of_a_host_is_fetched_alone(tmp_path):
    array = numbers(2, 400, 610)
    write_tif(tmp_path / "web" / "a.tif", array, tiled=True, blockxsize=64, blockysize=64)
    with web(tmp_path / "web", tmp_path / "log") as host:
        address = f"{host.address}/a.tif"
        assert expand(address) == [address]
        assert fingerprint(address).startswith(f"{address}|{os.path.getsize(tmp_path / 'web' / 'a.tif')}|")
        assert read_header(address).bands == 2
        assert_array_equal(read_window(address, [1, 2], 100, 200, 20, 30), array[:, 100:120, 200:230])
        assert set(host.asked()) == {"/a.tif"}
        with pytest.raises(ValueError, match=r"b\.tif cannot be reached.*check the address"):
            fingerprint(f"{host.address}/b.tif")
        with pytest.raises(ValueError, match="a web host lists nothing"):
            expand(f"{host.address}/*.tif")
        with pytest.raises(ValueError, match=r"b\.tif cannot be opened as GTiff"):
            read_header(f"{host.address}/b.tif")


@pytest.mark.parametrize("name", ["line\nbreak.tif", "\x1b[2J.tif", "caf\udce9.tif", "\u2028.tif"])
def test_names_that_no_list_can_show_are_refused(name, tmp_path):
    (tmp_path / name).touch()
    for pattern in (str(tmp_path), f"{tmp_path}/*.tif"):
        with pytest.raises(ValueError, match="rename the file") as error:
            expand(pattern)
        assert is_printable(str(error.value))


def test_a_member_of_a_zip_is_opened_by_its_path(tmp_path):
    array = numbers(2, 40, 61)
    data = Path(write_tif(tmp_path / "made.tif", array)).read_bytes()
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("x/a.tif", data)
    (member,) = expand(f"/vsizip/{tmp_path}/all.zip/x/a.tif")
    assert_array_equal(read_window(member, [2], 3, 4, 20, 30)[0], array[1, 3:23, 4:34])
    before = fingerprint(member)
    with zipfile.ZipFile(tmp_path / "all.zip", "a") as archive:
        archive.writestr("more.txt", "x")
    assert fingerprint(member) != before
