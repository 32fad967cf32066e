"""Scenes that look whole when a run is planned, and are found out by whoever reads them."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio

from tests.hostile.scenes import TEXTS, tiff
from tests.jobs.worlds import World, damage, image, moved, undamaged, write_tif

SIZE = (333, 290)
PLACE = moved(5, 7)


def _written(path: Path, array: np.ndarray) -> None:
    path.unlink()
    write_tif(path, array, transform=PLACE, **undamaged())


def _replaced(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def _gone(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _middle_block(path: Path, tag: str) -> int:
    with rasterio.open(path) as file:
        return int(file.get_tag_item(f"{tag}_2_2", "TIFF", bidx=1))


def misplace(path: Path) -> None:
    """Let the directory say that a block in the middle lies behind the end of the file."""
    data, place = path.read_bytes(), struct.pack("<I", _middle_block(path, "BLOCK_OFFSET"))
    assert data.count(place) == 1
    path.write_bytes(data.replace(place, struct.pack("<I", 2**31)))


def swell(path: Path) -> None:
    """Put into the middle of a file a block of 64 KB that unpacks to 64 MB."""
    import zlib

    start, size = _middle_block(path, "BLOCK_OFFSET"), _middle_block(path, "BLOCK_SIZE")
    data, bomb = path.read_bytes(), zlib.compress(b"\x55" * 2**26, 9)
    for old, new in ((start, len(data)), (size, len(bomb))):
        place = struct.pack("<I", old)
        assert data.count(place) == 1, "one entry of the directory"
        data = data.replace(place, struct.pack("<I", new))
    path.write_bytes(data + bomb)


FROM_THE_START: dict[str, Callable[[Path], object]] = {"flipped": damage, "misplaced": misplace}
"""Damaged before the run is planned, where planning does not look."""
AFTERWARDS: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: _replaced(path, b""),
    "text": lambda path: _replaced(path, TEXTS["a text"].encode()),
    "bomb": lambda path: _replaced(path, tiff(width=10**6, height=10**6, bits=(16,) * 4)),
    "vrt": lambda path: _replaced(path, TEXTS["a VRT of raw bytes"].encode()),
    "gone": lambda path: path.unlink(),
    "pipe": lambda path: _gone(path, os.mkfifo),
    "folder": lambda path: _gone(path, os.mkdir),
    "loop": lambda path: _gone(path, lambda place: os.symlink(place.name, place)),
    "zero": lambda path: _gone(path, lambda place: os.symlink("/dev/zero", place)),
    "float64": lambda path: _written(path, image(*SIZE).astype(np.float64) * 1e6),
    "lower": lambda path: _written(path, image(SIZE[0] - 9, SIZE[1])),
    "higher": lambda path: _written(path, image(SIZE[0] + 9, SIZE[1])),
    "one-band": lambda path: _written(path, image(*SIZE)[:1]),
}
"""Done to a file that was whole when the run was planned: disks fill, copies are under way, links are moved."""
VOID: dict[str, tuple[np.ndarray, dict]] = {
    "nan": (np.full((4, *SIZE), np.nan, np.float32), {"nodata": float("nan")}),
    "infinite": (np.full((4, *SIZE), np.inf, np.float32), {"nodata": None}),
    "nodata": (np.zeros((4, *SIZE), np.uint16), {"nodata": 0}),
}
"""Whole files without one measurement: nothing is wrong with them, and nothing of them may be in the map."""


class Poisoned:
    """A world of good scenes, with poisoned ones and void ones on their ground."""

    def __init__(self, here: World) -> None:
        self.world = here
        here.scene("good-a", image(430, 530))
        here.scene("good-b", image(350, 400, 2), transform=moved(60, 80))
        self.bad = {
            name: here.scene(f"bad-{name}", image(*SIZE, 3), transform=PLACE, **undamaged()) for name in POISONS
        }
        for name, (array, declared) in VOID.items():
            here.scene(f"void-{name}", array, transform=PLACE, **declared)
        for name, poison in FROM_THE_START.items():
            poison(self.bad[name])
        self._whole = {name: (self.bad[name].read_bytes(), self.bad[name].stat().st_mtime_ns) for name in AFTERWARDS}

    def heal(self) -> None:
        """Make the files again what they were when the first run was planned."""
        for name, (data, changed_ns) in self._whole.items():
            path = self.bad[name]
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            os.utime(path, ns=(changed_ns, changed_ns))

    def poison(self) -> None:
        """Do to each file what is done to it after the run was planned."""
        for name, poison in AFTERWARDS.items():
            poison(self.bad[name])


POISONS = (*FROM_THE_START, *AFTERWARDS)
