"""Deliveries of tiles whose archives are bombs, lie, or name what lies elsewhere, through `sandan ingest --dry-run`."""

import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from jobs.ingest import main
from tests.hostile.cases import Case
from tests.tiler.rasters_for_tests import TRANSFORM, numbers, write_tif
from tiler.aihub import scan

NAME = "SN10_CHN_00001_230409"
OTHER = "SN10_CHN_00002_230409"
DEFLATED = zipfile.ZIP_DEFLATED


def _parts(folder: Path) -> tuple[bytes, bytes]:
    """Return an image and a label."""
    image = write_tif(folder / "made" / "image.tif", numbers(4, 24, 24), crs=None, transform=None)
    label = write_tif(folder / "made" / "label.tif", np.full((24, 24), 10, np.int8), transform=TRANSFORM)
    return Path(image).read_bytes(), Path(label).read_bytes()


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def _info(name: str, mode: int = 0o644 | stat.S_IFREG, flags: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.flag_bits = mode << 16, flags
    return info


def _patched(data: bytes, offset: int, value: bytes) -> bytes:
    """Change a field of the first entry of the central directory."""
    start = data.index(b"PK\1\2") + offset
    return data[:start] + value + data[start + len(value) :]


def _images(image: bytes) -> dict[str, bytes]:
    """Return archives of images none of which is to be opened."""
    fine = _zip((f"{NAME}.tif", image))
    bomb = _zip((f"{NAME}.tif", bytes(50_000_000)), packed=DEFLATED)
    twice = _zip((f"{OTHER}.tif", image), (f"{NAME}.tif", image))
    second = twice.rindex(b"PK\1\2")
    overlapping = twice[: second + 42] + bytes(4) + twice[second + 46 :]
    return {
        "a name that climbs": _zip((f"../../{NAME}.tif", image)),
        "an absolute name": _zip((f"/tmp/{NAME}.tif", image)),
        "a name of another system": _zip((f"..\\{NAME}.tif", image)),
        "a name that stands": _zip((f"./x/../{NAME}.tif", image)),
        "a chain in a name": _zip((f"/vsicurl/http://127.0.0.1:9/{NAME}.tif", image)),
        "an address as a name": _zip((f"http://127.0.0.1:9/{NAME}.tif", image)),
        "a name of control characters": _zip((f"\x1b[2J\n{NAME}.tif", image)),
        "a link": _zip((_info(f"{NAME}.tif", 0o777 | stat.S_IFLNK), b"/etc/passwd")),
        "an encrypted member": _patched(fine, 8, b"\1\0"),
        "a name twice": _doubled(image),
        "a member of four gigabytes": _patched(fine, 24, b"\xfe\xff\xff\xff"),
        "data beyond the archive": _patched(fine, 20, b"\0\0\0\x7f"),
        "overlapping members": overlapping,
        "no archive": b"no archive at all",
        "nothing": b"",
        "a cut archive": fine[: len(fine) // 2],
        "a directory that lies": _patched(fine, 42, b"\xff\xff\xff\x7f"),
        "a bomb of zeros": bomb,
        "an archive in an archive": _zip(("more.zip", fine)),
        "a text called an image": _zip((f"{NAME}.tif", b"no image at all" * 99)),
        "a day that is none": _zip(("SN10_CHN_00001_999999.tif", image)),
        "a VRT called an image": _zip((f"{NAME}.tif", b"<VRTDataset rasterXSize='24' rasterYSize='24'></VRTDataset>")),
        "damaged data": fine[:80] + bytes(255 - b for b in fine[80:400]) + fine[400:],
    }


def _doubled(image: bytes) -> bytes:
    """Return an archive that names two members alike."""
    data = _zip((f"{NAME}.tif", image), (f"{OTHER}.tif", image))
    return data.replace(OTHER.encode(), NAME.encode())


def cases(folder: Path) -> list[Case]:
    """Return every case."""
    image, label = _parts(folder)
    made = []

    def delivery(number: int) -> Path:
        place = folder / f"d{number}"
        (place / "Training" / "TL_SN10").mkdir(parents=True)
        (place / "Training" / "TL_SN10" / f"{NAME}.tif").write_bytes(label)
        return place

    def planned(place: Path) -> Callable[[], object]:
        config = place / "run.yaml"
        dataset = {"root": str(place), "tile_px": 24}
        config.write_text(yaml.safe_dump({"out": str(place / "out"), "dataset": dataset, "engine": {"kind": "serial"}}))
        return lambda: main([str(config), "--dry-run"])

    for number, (name, data) in enumerate(_images(image).items()):
        place = delivery(number)
        (place / "Training" / "TS_SN10_SN10.zip").write_bytes(data)
        made.append(Case(name, planned(place), f"d{number}"))
    place = delivery(900)
    part = place / "Training" / "TS_SN10_SN10"
    part.mkdir()
    os.mkfifo(part / f"{NAME}.tif")
    made.append(Case("a pipe as an image", planned(place), "d900"))
    place = delivery(901)
    part = place / "Training" / "TS_SN10_SN10"
    part.mkdir()
    (part / f"{NAME}.tif").write_bytes(image)
    os.symlink("..", part / "up")
    os.symlink("none.tif", part / f"{OTHER}.tif")
    (part / os.fsdecode(b"caf\xe9\x1b\n.tif")).write_bytes(image)
    made.append(Case("links in circles, links to nothing, names of noise", planned(place), None))
    made.append(
        Case("what they are called", lambda: [ascii(row).encode() for row in scan(str(place), "SN10").unmatched], None)
    )
    made.append(Case("a device as the root", planned_root(folder, "/dev/zero"), "/dev/zero"))
    made.append(Case("no root", planned_root(folder, "none"), "none"))
    return made


def planned_root(folder: Path, root: str) -> Callable[[], object]:
    """Return what plans a data set of a root."""
    config = folder / f"root{len(root)}.yaml"
    config.write_text(
        yaml.safe_dump({"out": str(folder / "out"), "dataset": {"root": root}, "engine": {"kind": "serial"}})
    )
    return lambda: main([str(config), "--dry-run"])
