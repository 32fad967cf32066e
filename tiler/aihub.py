"""The layout of AI-Hub 71805: which file is the image, the label, the GEMS and the AIR raster of which tile.

Archives are read where they lie (GDAL's `/vsizip/`): nothing is unpacked. Tiles are matched by name; what has no
partner is listed, never silently dropped.
"""

from __future__ import annotations

import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tiler.rasters import ZIPPED
from tiler.sources import is_printable
from tiler.tile_store import TileEntry

SPLITS = {"TS": "train", "TL": "train", "VS": "validation", "VL": "validation"}
"""First part of a folder's name to the official split."""
PARTS = {
    ("S", "SN10_SN10"): ("SN10", "image"),
    ("S", "SN10_GEMS"): ("SN10", "gems"),
    ("S", "SN10_AIR_POLLUTION"): ("SN10", "air"),
    ("S", "LS30_LS30"): ("LS30", "image"),
    ("L", "SN10"): ("SN10", "label"),
    ("L", "LS30"): ("LS30", "label"),
}
"""(source or label, rest of a folder's name) to (sensor, what its files are)."""
ROLES = ("image", "label", "gems", "air")
NAME = re.compile(r"^(?P<sensor>[A-Z][A-Z0-9]*)(?:_[A-Z_]+?)?_(?P<country>[A-Z]{3})_(?P<number>\d{5})_(?P<date>\d{6})$")
"""SN10_CHN_00001_230409; a modality may stand between sensor and country."""

MEMBER_BYTES = 2**30
"""Of an unpacked file; tiles have some megabytes."""
HIGHEST_RATIO = 2000
"""Bytes unpacked for each byte packed: deflate cannot pack by more than 1032."""
ENCRYPTED = 1
"""Flag of a member of a zip."""


@dataclass(frozen=True)
class AihubTile:
    """One tile of the data set."""

    sensor: str
    country: str
    number: str
    date: str
    """Two digits each of year, month and day."""
    split: str
    """train or validation, as delivered."""
    files: dict[str, str] = field(compare=False)
    """Role (of `ROLES`) to a path that `tiler.rasters` opens."""

    @property
    def id(self) -> str:
        """The tile's name, as the data set writes it."""
        return f"{self.sensor}_{self.country}_{self.number}_{self.date}"

    @property
    def entry(self) -> TileEntry:
        """Its line in the list of a store."""
        return TileEntry(self.id, self.split, self.date, self.country)

    @property
    def acquired(self) -> datetime:
        """Day of acquisition, UTC."""
        return datetime.strptime(self.date, "%y%m%d").replace(tzinfo=UTC)


@dataclass(frozen=True)
class AihubListing:
    """What a delivery holds."""

    tiles: tuple[AihubTile, ...]
    """Tiles with an image and a label, by id."""
    unmatched: tuple[tuple[str, str], ...]
    """(path, why) of every other raster: no partner, a name of another form, twice, or nothing to be opened."""


def scan(root: str, sensor: str) -> AihubListing:
    """List a delivery, from its top folder or any folder below it that holds the named parts.

    Args:
        root: folder with `TS_SN10_SN10`, `TL_SN10` ... at any depth, each as a folder or as a zip.
        sensor: SN10 or LS30.

    Raises:
        ValueError: no such folder, or no part of this sensor in it.
    """
    if not Path(root).is_dir():
        raise ValueError(f"aihub: {root} is not a folder; give the one that holds Training/ and Validation/")
    found: dict[tuple[str, str, str, str], dict[str, str]] = {}
    unmatched: list[tuple[str, str]] = []
    parts = 0
    for part, split, role in _parts(Path(root), sensor):
        parts += 1
        for path, refused in _rasters(part):
            if refused:
                unmatched.append((path, refused))
                continue
            named = NAME.match(Path(path).stem)
            if (
                named is None
                or not _is_day(named["date"])
                or (role in ("image", "label") and named["sensor"] != sensor)
            ):
                unmatched.append((path, f"not named like {sensor}_CHN_00001_230409.tif"))
                continue
            files = found.setdefault((split, named["country"], named["number"], named["date"]), {})
            if role in files:
                unmatched.append((path, f"a second {role} beside {files[role]}"))
            else:
                files[role] = path
    if not parts:
        wanted = sorted(name for (_, name), (s, _) in PARTS.items() if s == sensor)
        raise ValueError(f"aihub: nothing of {sensor} below {root}; folders or zips like TS_{wanted[-1]} are expected")
    tiles = []
    for (split, country, number, date), files in sorted(found.items()):
        missing = [role for role in ("image", "label") if role not in files]
        if missing:
            unmatched += [(path, f"no {' and no '.join(missing)} of its name") for path in files.values()]
        else:
            tiles.append(AihubTile(sensor, country, number, date, split, files))
    return AihubListing(tuple(sorted(tiles, key=lambda t: (t.id, t.split))), tuple(sorted(unmatched)))


def _parts(root: Path, sensor: str) -> Iterator[tuple[Path, str, str]]:
    """Yield (folder or zip, split, role) of the parts of a sensor; a zip beside its extracted folder is left out."""
    for path in sorted(root.rglob("*")):
        stem = path.stem if path.suffix.lower() == ".zip" else path.name
        head, _, rest = stem.partition("_")
        part = PARTS.get((head[1:], rest))
        if head not in SPLITS or part is None or part[0] != sensor:
            continue
        if path.is_dir() or (path.suffix.lower() == ".zip" and not path.with_suffix("").is_dir()):
            yield path, SPLITS[head], part[1]


def _rasters(part: Path) -> Iterator[tuple[str, str]]:
    """Yield the TIFFs of a part, as paths that GDAL opens, each with why it is not opened, else nothing.

    Raises:
        ValueError: a zip is damaged.
    """
    if part.is_dir():
        for place in sorted(p for p in part.rglob("*") if p.suffix.lower() in (".tif", ".tiff")):
            yield from _named(str(place), "" if place.is_file() else "not a file")
        return
    try:
        with zipfile.ZipFile(part) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"aihub: {part} is damaged ({error}); fetch it again") from error
    wrong = _wrong_members(members, part.stat().st_size)
    for member in sorted(members, key=lambda m: m.filename):
        if member.filename.lower().endswith((".tif", ".tiff")):
            yield from _named(f"{ZIPPED}{part.resolve()}/{member.filename}", wrong.get(id(member), ""))


def _is_day(date: str) -> bool:
    try:
        datetime.strptime(date, "%y%m%d")
    except ValueError:
        return False
    return True


def _named(path: str, refused: str) -> Iterator[tuple[str, str]]:
    """Yield a path; one that lists and logs cannot show is escaped, and refused."""
    if is_printable(path):
        yield path, refused
    else:
        yield ascii(path)[1:-1], "its name is not UTF-8 or holds control characters"


def _wrong_members(members: list[zipfile.ZipInfo], size_bytes: int) -> dict[int, str]:
    """Return why members of an archive are not opened, by id(): what they say of themselves cannot be meant well."""
    wrong: dict[int, str] = {}
    names = Counter(member.filename for member in members)
    reached = 0
    for member in sorted(members, key=lambda m: m.header_offset):
        parts = member.filename.split("/")
        end = member.header_offset + member.compress_size
        if member.filename.startswith("/") or "\\" in member.filename or {"..", ".", ""} & set(parts[:-1]):
            wrong[id(member)] = "its name leaves the archive"
        elif names[member.filename] > 1:
            wrong[id(member)] = "its name is in the archive twice"
        elif member.flag_bits & ENCRYPTED:
            wrong[id(member)] = "it is encrypted"
        elif stat.S_ISLNK(member.external_attr >> 16):
            wrong[id(member)] = "it is a link"
        elif member.header_offset < reached or end > size_bytes:
            wrong[id(member)] = "its data overlap another's, or end beyond the archive"
        elif member.file_size > MEMBER_BYTES or member.file_size > HIGHEST_RATIO * max(1, member.compress_size):
            wrong[id(member)] = f"it unpacks to {member.file_size} bytes"
        reached = max(reached, end)
    return wrong
