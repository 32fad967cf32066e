"""Scenes that are bombs, lies or no rasters at all, through the planning of `sandan ingest --dry-run`."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from affine import Affine
from rasterio.crs import CRS

from jobs.ingest import main
from tests.hostile.cases import Case
from tests.tiler.rasters_for_tests import TRANSFORM, UTM52, numbers, write_tif

LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'
VRT = (
    '<VRTDataset rasterXSize="29" rasterYSize="17"><SRS>EPSG:32652</SRS><GeoTransform>3e5,10,0,4e6,0,-10</GeoTransform>'
    '<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename relativeToVRT="0">{}</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
)
TEXTS = {
    "a VRT of another file": VRT.format("/etc/hostname.tif"),
    "a VRT of itself": VRT.format("{path}"),
    "a VRT of an address": VRT.format("/vsicurl/http://127.0.0.1:9/a.tif"),
    "a VRT of raw bytes": VRT.format("x").replace("VRTRasterBand ", 'VRTRasterBand subClass="VRTRawRasterBand" '),
    "a WMS service": "<GDAL_WMS><Service name='WMS'><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>",
    "a tile service": "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/${z}</ServerUrl></Service></GDAL_WMS>",
    "a recipe of GDAL": '{"type": "gdal_streamed_alg", "command_line": "gdal raster read /etc/passwd"}',
    "a STAC item": '{"type": "Feature", "stac_version": "1.0.0", "assets": {"a": {"href": "http://127.0.0.1:9/a.tif"}}}',
    "a text": "not an image at all\n" * 40,
    "a script": "#!/bin/sh\ntouch pwned\n",
    "an ASCII grid": "ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n",
    "nothing": "",
    "a page": "<!doctype html><title>404</title>",
}
SUFFIXES = (".tif", ".jp2", ".img", ".png")


def tiff(
    *, width: int, height: int, bits: tuple[int, ...] = (16,), big: bool = False, **tags: tuple[int, ...]
) -> bytes:
    """Return a TIFF that is nothing but a directory: what its tags say, and 64 bytes of pixels for all blocks."""
    count = len(bits)
    values: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: bits, 259: (1,), 262: (1,), 273: (8,), 277: (count,), 278: (height,),
        279: (64,), 284: (1,), 339: (1,) * count, **{int(k[1:]): v for k, v in tags.items()},
    }  # fmt: skip
    values = {tag: value for tag, value in sorted(values.items()) if value}
    where, more, entries = 8 + 64, b"", b""
    after = where + 2 + 12 * len(values) + 4
    for tag, value in values.items():
        data = struct.pack(f"<{len(value)}I", *(v & 0xFFFFFFFF for v in value))
        if len(data) > 4:
            data, more = struct.pack("<I", after + len(more)), more + data
        entries += struct.pack("<HHI", tag, 4, len(value)) + data
    head = b"II*\0" + struct.pack("<I", where)
    return head + bytes(64) + struct.pack("<H", len(values)) + entries + bytes(4) + more


TIFFS = {
    "a million by a million": tiff(width=10**6, height=10**6),
    "the largest that 32 bits can say": tiff(width=2**31 - 1, height=2**31 - 1),
    "one row of two thousand million": tiff(width=2**31 - 1, height=1),
    "one column of two thousand million": tiff(width=1, height=2**31 - 1),
    "a million by a million in tiles": tiff(
        width=10**6, height=10**6, t322=(512,), t323=(512,), t324=(8,), t325=(64,), t278=()
    ),
    "one tile of all": tiff(
        width=90_000, height=90_000, t322=(90_112,), t323=(90_112,), t324=(8,), t325=(64,), t278=()
    ),
    "one packed strip of all": tiff(width=60_000, height=60_000, t259=(8,)),
    "sparse": tiff(width=60_000, height=60_000, t273=(0,), t279=(0,), t259=(8,)),
    "sixty thousand bands": tiff(width=600, height=600, bits=(16,) * 60_000),
    "no width": tiff(width=0, height=9),
    "no height": tiff(width=9, height=0),
    "no bands": tiff(width=9, height=9, t277=(0,)),
    "negative width": tiff(width=-5, height=9),
    "a tile of nothing": tiff(width=9, height=9, t322=(0,), t323=(0,)),
    "seven bits": tiff(width=9, height=9, bits=(7,)),
    "a thousand bits": tiff(width=9, height=9, bits=(1000,)),
    "unknown compression": tiff(width=90, height=90, t259=(31337,)),
    "packed noise": tiff(width=90, height=90, t259=(8,)),
    "JPEG noise": tiff(width=90, height=90, t259=(7,), bits=(8,)),
    "JPEG 2000 noise": tiff(width=90, height=90, t259=(34712,), bits=(8,)),
    "strips beyond the file": tiff(width=90, height=90, t273=(10**9,), t279=(10**9,)),
    "strips at the end of 32 bits": tiff(width=90, height=90, t273=(2**32 - 1,), t279=(2**32 - 1,)),
    "a directory that follows itself": tiff(width=90, height=90)[:-4] + struct.pack("<I", 72),
    "a directory beyond the file": b"II*\0" + struct.pack("<I", 2**31),
    "BigTIFF of nothing": b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**62),
    "tags without end": b"II*\0\x08\0\0\0" + struct.pack("<H", 65535) + bytes(12 * 65535),
}
WRONG: dict[str, dict[str, Any]] = {
    "complex": {"array": np.ones((4, 17, 29), np.complex64)},
    "float64": {"array": np.ones((4, 17, 29), np.float64)},
    "uint32": {"array": np.ones((4, 17, 29), np.uint32)},
    "int8": {"array": np.ones((4, 17, 29), np.int8)},
    "int32": {"array": np.ones((4, 17, 29), np.int32)},
    "one band": {"array": numbers(1, 17, 29)},
    "without CRS": {"crs": None},
    "without anything": {"crs": None, "transform": None},
    "a local CRS": {"crs": CRS.from_wkt(LOCAL)},
    "a geocentric CRS": {"crs": "EPSG:4978"},
    "pixels of nothing": {"transform": Affine(1e-300, 0, 3e5, 0, -1e-300, 4e6)},
    "flat pixels": {"transform": Affine(10, 0, 3e5, 0, 0, 4e6)},
    "not a number": {"transform": Affine(10, 0, float("nan"), 0, -10, 4e6)},
    "infinitely far": {"transform": Affine(10, 0, float("inf"), 0, -10, 4e6)},
    "beyond the Earth": {"transform": Affine(10, 0, 1e12, 0, -10, 1e12)},
    "pixels of a continent": {"transform": Affine(1e7, 0, 3e5, 0, -1e7, 4e6)},
    "metres as degrees": {"crs": "EPSG:4326"},
    "degrees as metres": {"transform": Affine(1e-4, 0, 127, 0, -1e-4, 37)},
}
"""What is written, beside four whole bands in their place."""
SIDECARS = {
    "a sidecar of another place": (
        "{p}.aux.xml",
        "<PAMDataset><GeoTransform>1e7,1e9,0,1e7,0,-1e9</GeoTransform></PAMDataset>",
        "",
    ),
    "a sidecar of pixels of nothing": (
        "{p}.aux.xml",
        "<PAMDataset><GeoTransform>0,0,0,0,0,0</GeoTransform></PAMDataset>",
        "",
    ),
    "a sidecar that is not a number": (
        "{p}.aux.xml",
        "<PAMDataset><GeoTransform>nan,1,nan,1,1,nan</GeoTransform></PAMDataset>",
        "",
    ),
    "a sidecar of a local CRS": (
        "{p}.aux.xml",
        f"<PAMDataset><SRS>{LOCAL.replace(chr(34), '&quot;')}</SRS></PAMDataset>",
        "",
    ),
    "a sidecar too large": ("{p}.aux.xml", "<PAMDataset>" + " " * 2**24 + "</PAMDataset>", "sidecar"),
    "a world file that lies": ("{s}.tfw", "1e7\n0\n0\n-1e7\n1e9\n1e9\n", ""),
    "a world file of zeros": ("{s}.tfw", "0\n0\n0\n0\n0\n0\n", ""),
}
"""Beside a scene without a place of its own: name, text, what must be said."""
HARMLESS_SIDECARS = {
    "a sidecar of noise": ("{p}.aux.xml", "<PAMDataset><<<<>>"),
    "a sidecar of entities": (
        "{p}.aux.xml",
        '<!DOCTYPE a [<!ENTITY b "' + "x" * 999 + '">]><PAMDataset>&b;&b;</PAMDataset>',
    ),
    "deep markup": ("{p}.aux.xml", "<PAMDataset>" + "<a>" * 50_000),
    "overviews of noise": ("{p}.ovr", "II*\0nothing"),
    "a mask of noise": ("{p}.msk", "II*\0nothing"),
    "overviews at an address": (
        "{p}.aux.xml",
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/http://127.0.0.1:9/a.tif</MDI>'
        "</Metadata></PAMDataset>",
    ),
    "a world file of noise": ("{s}.tfw", "x" * 10_000),
    "a world file of another place": ("{s}.tfw", "1e7\n0\n0\n-1e7\n1e9\n1e9\n"),
}
"""Beside a scene that says itself where it lies."""
ODD: dict[str, dict[str, Any]] = {
    "rotated": {"transform": TRANSFORM @ Affine.rotation(23)},
    "south up": {"transform": Affine(10, 0, 3e5, 0, 10, 4e6)},
    "east is left": {"transform": Affine(-10, 0, 3e5, 0, -10, 4e6)},
    "not square": {"transform": Affine(10, 0, 3e5, 0, -31, 4e6)},
    "one pixel": {"array": numbers(4, 1, 1)},
    "one row": {"array": numbers(4, 1, 700)},
    "all nodata": {"array": np.zeros((4, 17, 29), np.uint16), "nodata": 0},
    "all NaN": {"array": np.full((4, 17, 29), np.nan, np.float32), "nodata": float("nan")},
    "all infinite": {"array": np.full((4, 17, 29), np.inf, np.float32)},
    "the lowest number as nodata": {"array": np.ones((4, 17, 29), np.float32), "nodata": -3.4028234663852886e38},
    "half of it nodata": {"nodata": 7},
}
"""Accepted: what the map makes of them is tested where it is made."""


def _config(folder: Path, name: str, **settings: Any) -> Callable[[], object]:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"out": str(folder / "out"), "engine": {"kind": "serial"}, **settings}))
    return lambda: main([str(path), "--dry-run"])


def _files(folder: Path) -> list[Case]:
    """Return cases of one file each."""
    made = []

    def add(name: str, data: bytes, suffix: str = ".tif") -> None:
        path = folder / f"bad{len(made)}{suffix}"
        path.write_bytes(data.replace(b"{path}", str(path).encode()))
        made.append(Case(f"{name}{suffix}", _config(folder, f"f{len(made)}", scenes=str(path)), path.name))

    good = Path(write_tif(folder / "good.tif", numbers(4, 90, 70), compress="deflate", blockysize=16)).read_bytes()
    for name, text in TEXTS.items():
        for suffix in SUFFIXES:
            add(name, text.encode(), suffix)
        add(name, text.encode(), ".vrt")
    for name, data in TIFFS.items():
        add(name, data)
    for share in (0.0005, 0.01, 0.3, 0.6, 0.9, 0.99):
        add(f"cut at {share}", good[: int(len(good) * share)])
    add("a JPEG 2000 of a million by a million", _jpeg2000(10**6, 10**6), ".jp2")
    add("a JPEG 2000 of the largest size", _jpeg2000(2**32 - 1, 2**32 - 1), ".jp2")
    add("a PNG of a million by a million", _png(10**6, 10**6), ".png")
    add("a PNG of the largest size", _png(2**31 - 1, 2**31 - 1), ".png")
    add("an HFA of noise", b"EHFA_HEADER_TAG\0" + bytes(400), ".img")
    return made


def _png(width: int, height: int) -> bytes:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def _jpeg2000(width: int, height: int) -> bytes:
    size = struct.pack(">HHIIIIIIIIH", 38 + 3, 0, width, height, 0, 0, width, height, 0, 0, 1) + b"\x0f\x01\x01"
    return b"\xff\x4f\xff\x51" + size + b"\xff\x52\0\x0c\0\0\0\1\0\1\4\4\0\1" + b"\xff\x5c\0\4\x40\x40" + b"\xff\xd9"


def _scene(folder: Path, name: str, **changed: Any) -> str:
    options = {"array": numbers(4, 17, 29), "crs": UTM52, "transform": TRANSFORM, **changed}
    return write_tif(folder / f"{name}.tif", options.pop("array"), **options)


def _described(folder: Path) -> list[Case]:
    """Return cases of whole TIFFs whose description is wrong, alone or beside a sidecar."""
    made = []
    for number, (name, changed) in enumerate(WRONG.items()):
        path = _scene(folder, f"wrong{number}", **changed)
        made.append(Case(name, _config(folder, f"w{number}", scenes=path), f"wrong{number}"))
    for number, (name, changed) in enumerate(ODD.items()):
        made.append(Case(name, _config(folder, f"o{number}", scenes=_scene(folder, f"odd{number}", **changed)), None))
    for number, (name, (pattern, text, says)) in enumerate(SIDECARS.items()):
        bare = name == "a sidecar of a local CRS"
        path = _scene(folder, f"side{number}", crs=None if bare else UTM52, transform=TRANSFORM if bare else None)
        Path(pattern.format(p=path, s=path.removesuffix(".tif"))).write_text(text)
        spec = {"id": f"side{number}", "files": path, **({} if bare else {"crs": UTM52})}
        made.append(Case(name, _config(folder, f"s{number}", scenes=[spec]), says or f"side{number}"))
    for number, (name, (pattern, text)) in enumerate(HARMLESS_SIDECARS.items()):
        path = _scene(folder, f"harmless{number}")
        Path(pattern.format(p=path, s=path.removesuffix(".tif"))).write_text(text)
        made.append(Case(name, _config(folder, f"h{number}", scenes=path), None))
    return made


def _together(folder: Path) -> list[Case]:
    """Return cases of several files, links and names."""
    made = []

    def add(name: str, says: str | None, scenes: Any, **settings: Any) -> None:
        made.append(Case(name, _config(folder, f"t{len(made)}", scenes=scenes, **settings), says))

    base = {"a": _scene(folder, "a")}
    for name, changed in {
        "pieces of unlike bands": {"array": numbers(3, 17, 29)},
        "pieces of unlike types": {"array": numbers(4, 17, 29, dtype="int16")},
        "pieces of unlike CRS": {"crs": "EPSG:32651"},
        "pieces of unlike pixels": {"transform": TRANSFORM @ Affine.scale(1.5)},
        "pieces between pixels": {"transform": TRANSFORM @ Affine.translation(0.5, 0.3)},
    }.items():
        other = _scene(folder, f"other{len(made)}", **changed)
        add(name, "other", [{"id": "x", "files": [base["a"], other]}])
    add(
        "a band number beyond the file",
        "9",
        [{"id": "x", "files": base["a"], "bands": dict(red=9, green=2, blue=3, nir=4)}],
    )
    add("a band number of nought", "0", [{"id": "x", "files": base["a"], "bands": dict(red=0, green=2, blue=3, nir=4)}])
    add(
        "a negative band number", "-1", [{"id": "x", "files": base["a"], "bands": dict(red=-1, green=2, blue=3, nir=4)}]
    )
    add(
        "an unknown CRS of the settings",
        "EPSG:99999",
        [{"id": "x", "files": _scene(folder, "bare", crs=None), "crs": "EPSG:99999"}],
    )
    add("a local CRS of the settings", "local", [{"id": "x", "files": _scene(folder, "bare2", crs=None), "crs": LOCAL}])
    add(
        "a CRS of 100,000 letters",
        "crs",
        [{"id": "x", "files": _scene(folder, "bare3", crs=None), "crs": "x" * 100_000}],
    )
    add("a map of an unknown CRS", "EPSG:99999", base["a"], grid={"crs": "EPSG:99999", "resolution_m": 10})
    add("a map of a local CRS", "grid", base["a"], grid={"crs": LOCAL, "resolution_m": 10})
    (folder / "links").mkdir()
    os.symlink("round.tif", folder / "links" / "round.tif")
    os.symlink(folder / "links", folder / "links" / "again")
    add("a link to itself", "round.tif", str(folder / "links"))
    add("a link to nothing, by a glob", "round.tif", f"{folder}/links/*.tif")
    (folder / "loop").mkdir()
    os.symlink("..", folder / "loop" / "up")
    os.symlink(base["a"], folder / "loop" / "fine.tif")
    add("folders that link to themselves", None, f"{folder}/loop/up/loop/up/l*p/*.tif")
    (folder / "twice").mkdir()
    os.symlink(base["a"], folder / "twice" / "b.tif")
    os.link(base["a"], folder / "twice" / "c.tif")
    add("one file by two links", "same file", str(folder / "twice"))
    add("one file by two ids", "same file", [{"id": "x", "files": base["a"]}, {"id": "y", "files": base["a"]}])
    add("two scenes of one id", "repeat", [{"id": "x", "files": base["a"]}, {"id": "x", "files": base["a"]}])
    for name in (
        "line\nbreak",
        "\x1b[2Jescape",
        "\x00".join("ab").replace("\0", "\x07"),
        "caf\udce9",
        "\u2028separator",
    ):
        place = folder / f"names{len(made)}"
        place.mkdir()
        os.symlink(base["a"], os.fsencode(place / f"{name}.tif"))
        add(f"a name {name!a}", "rename", str(place))
        add(f"a name {name!a} of a piece", "rename", [{"id": "x", "files": f"{place}/*.tif"}])
    for name in ("-rf", ".hidden", "a b", "ü", "x" * 240, "%2e%2e", "a;b", "$(touch pwned)", "..\\x"):
        path = _scene(folder / f"ids{len(made)}", name)
        add(f"a name {name[:9]} that is no id", "id", path)
    os.mkfifo(folder / "pipe.tif")
    add("a pipe", "pipe.tif", [{"id": "x", "files": str(folder / "pipe.tif")}])
    os.symlink("/dev/zero", folder / "zero.tif")
    add("a device", "zero.tif", str(folder / "zero.tif"))
    (folder / "folder.tif").mkdir()
    add("a folder called like a file", "folder.tif", str(folder / "folder.tif"))
    (folder / "sub" / "deep.tif").mkdir(parents=True)
    add("a folder among files", "deep.tif", str(folder / "sub"))
    piped = _scene(folder / "piped", "a")
    os.mkfifo(folder / "piped" / "a.tfw")
    add("a pipe beside a scene", "a.tfw", piped)
    wire = _scene(folder / "http:" / "127.0.0.1:9", "a")
    here = os.path.relpath(wire)
    add("a folder called like an address", None, here if here.startswith("..") else f"./{here}")
    write_tif(folder / "small.tif", numbers(1, 9, 8), crs=None, transform=None)
    bare = {"id": "x", "files": _scene(folder, "bare4", crs=None, transform=None)}
    add("a georeference of another size", "small.tif", [{**bare, "georeference": str(folder / "small.tif")}])
    add("a georeference that is no raster", "bad0.tif", [{**bare, "georeference": str(folder / "bad0.tif")}])
    add(
        "a quality raster that is no raster",
        "bad0.tif",
        [{"id": "x", "files": base["a"], "quality": {"files": str(folder / "bad0.tif")}}],
    )
    add("labels that are no raster", "bad0.tif", base["a"], labels={"files": str(folder / "bad0.tif"), "codes": {1: 1}})
    add(
        "labels of a local CRS",
        "labels",
        base["a"],
        labels={"files": _scene(folder, "l", crs=CRS.from_wkt(LOCAL)), "codes": {1: 1}},
    )
    add(
        "a modality that is no raster",
        "bad0.tif",
        base["a"],
        modalities=[{"sensor": "GEMS", "files": str(folder / "bad0.tif")}],
    )
    return made


def cases(folder: Path) -> list[Case]:
    """Return every case."""
    return _files(folder) + _described(folder) + _together(folder)
