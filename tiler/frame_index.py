"""Which frames a series has: the files of every band in slots of time, the blocks they fall into, and the gaps."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tiler.frame_cube import Cube, cube_tags, is_cube, open_cube, stem_of
from tiler.frame_files import NETCDF, SUFFIXES
from tiler.frame_names import FrameName, parse_name, shown_order
from tiler.frame_spec import FrameSpec
from tiler.frame_store import BLOCK_SLOTS
from tiler.remote import reached, remote
from tiler.sources import is_printable

IRREGULAR = ""
"""Tag of what is no file."""


@dataclass(frozen=True, order=True)
class Entry:
    """One band of one frame: where it is."""

    slot: int
    """Counted from 1970."""
    band: int
    where: str | int
    """File, or place in the array's times."""
    tag: str
    """What identifies the content, without reading it."""


@dataclass(frozen=True)
class FrameIndex:
    """All that a series has, in order."""

    series: str
    sensor: str
    bands: tuple[str, ...]
    spec: FrameSpec
    entries: tuple[Entry, ...]
    """Rising; no two of one slot and band."""
    between: int
    """Files, or times of an array, that lie between the steps."""
    unmatched: tuple[tuple[str, str], ...]
    """Files that are not part of it, with the reason."""
    cube: Cube | None = None

    @cached_property
    def slots(self) -> np.ndarray:
        """int64 (n,): slots of which there is at least one band, rising."""
        return np.unique(np.array([e.slot for e in self.entries], np.int64))

    @property
    def first_slot(self) -> int:
        """Where a store of the series begins: with the block in which the decade of its first frame does.

        Not with the first frame: an archive that grows backwards, or forgets, keeps its store.
        """
        year = int(self.times[0].astype("datetime64[Y]").astype(int)) + 1970
        start = np.datetime64(f"{year // 10 * 10}-01-01", "s").astype(np.int64)
        return int(-(-(int(start) - self.spec.phase_s) // self.spec.step_s) // BLOCK_SLOTS * BLOCK_SLOTS)

    @cached_property
    def times(self) -> np.ndarray:
        """datetime64[s] (n,): nominal times of `slots`."""
        return (self.slots * self.spec.step_s + self.spec.phase_s).astype("datetime64[s]")

    def blocks(self) -> dict[int, tuple[Entry, ...]]:
        """Return the entries of every block that has any, by its place in the store."""
        found: dict[int, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault((entry.slot - self.first_slot) // BLOCK_SLOTS, []).append(entry)
        return {block: tuple(entries) for block, entries in sorted(found.items())}

    def summary(self) -> str:
        """Say how complete the series is."""
        slots, bands = self.slots, Counter(e.slot for e in self.entries)
        total = int(slots[-1] - slots[0]) + 1
        partial = sum(count < len(self.bands) for count in bands.values())
        days = total * self.spec.step_s / 86400
        gaps = np.diff(slots) - 1
        text = (
            f"{self.series}: {_minutes(self.times[0])} to {_minutes(self.times[-1])}, {days:,.0f} days, "
            f"{total:,} steps of {self.spec.step_minutes:g} min, {len(slots):,} found, {total - len(slots):,} missing"
        )
        if len(gaps) and gaps.max():
            at = int(gaps.argmax())
            hours = int(gaps[at]) * self.spec.step_s / 3600
            text += f", longest gap {hours:g} h after {_minutes(self.times[at])}"
        if partial:
            text += f", {partial:,} without some band"
        if self.between:
            text += f"; {self.between:,} between the steps are left out"
        return text


def made_of(entries: Sequence[Entry]) -> int:
    """Return what identifies the files of a block, 64 bits and never 0."""
    text = "\n".join(f"{e.slot} {e.band} {e.tag}" for e in entries)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") or 1


def index_frames(spec: FrameSpec) -> FrameIndex:
    """Find the frames that a run names.

    Raises:
        ValueError: there are none, two files are of one band and time, several sensors are there and none is named,
            or a band is missing altogether.
    """
    path = spec.files.rstrip("/") if spec.files.strip("/") else spec.files
    if not re.search(r"[*?\[]", path) and is_cube(path, _beside(path)) and not _is_one_plane(path):
        return _of_cube(spec, open_cube(path, spec.variable))
    return _of_files(spec, listed(spec.files))


def _beside(path: str) -> list[str]:
    return os.listdir(path) if "://" not in path and Path(path).is_dir() else []


def _is_one_plane(path: str) -> bool:
    """Whether a NetCDF says by its name that it is one band at one time."""
    try:
        return path.lower().endswith(NETCDF) and bool(parse_name(path))
    except ValueError:
        return False


def listed(pattern: str) -> dict[str, str]:
    """Return the files of a folder (and below it) or of a glob, with what identifies their content, sorted.

    Raises:
        ValueError: there are none, or a name cannot be printed.
    """
    found = _remote_files(pattern) if "://" in pattern else _local_files(pattern)
    if not found:
        raise ValueError(f"frames.files: nothing matches {pattern!r}; check the path (it is relative to here)")
    odd = sorted(name for name in found if not is_printable(name))
    if odd:
        raise ValueError(f"frames.files: {odd[0]!r} is not UTF-8 or holds control characters; rename the file")
    return dict(sorted(found.items()))


def _local_files(pattern: str) -> dict[str, str]:
    if Path(pattern).is_dir():
        return {f"{pattern.rstrip('/')}/{name}": tag for name, tag in _below(pattern).items()}
    paths = [pattern] if Path(pattern).is_file() else glob.glob(pattern, recursive=True)
    return {p: _tag(os.stat(p)) if Path(p).is_file() else IRREGULAR for p in paths if not Path(p).is_dir()}


def _below(base: str) -> dict[str, str]:
    """Return what lies below a folder by its name there, links followed; what is hidden is left out."""
    found: dict[str, str] = {}
    _gather(base, "", found, {os.path.realpath(base)})
    return found


def _gather(folder: str, inside: str, found: dict[str, str], above: set[str]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = inside + entry.name
            if not entry.is_dir():
                found[name] = _tag(entry.stat()) if entry.is_file() else IRREGULAR
            elif not entry.name.startswith(".") and (real := os.path.realpath(entry.path)) not in above:
                _gather(entry.path, f"{name}/", found, above | {real})


def _remote_files(pattern: str) -> dict[str, str]:
    if pattern.startswith("http"):
        raise ValueError(
            f"frames.files: {pattern!r}: a web host lists nothing; copy the files to a disk, s3:// or gs://"
        )
    if not re.search(r"[*?\[]", pattern):
        return {f"{pattern.rstrip('/')}/{name}".rstrip("/"): tag for name, tag in _remote_objects(pattern).items()}
    base = re.split(r"[*?\[]", pattern)[0].rpartition("/")[0]
    inside = {f"{base}/{name}": tag for name, tag in _remote_objects(base).items()}
    return {name: tag for name, tag in inside.items() if fnmatch.fnmatchcase(name, pattern)}


def _tag(stat: os.stat_result) -> str:
    return f"{stat.st_size}|{stat.st_mtime_ns}"


def _remote_objects(base: str) -> dict[str, str]:
    scheme, rest = base.split("://", 1)
    bucket, _, prefix = rest.partition("/")
    with reached(base):
        batches = list(remote(f"{scheme}://{bucket}").list(prefix or None))
    start = len(prefix) + 1 if prefix else 0
    return {e["path"][start:]: f"{e['size']}|{e['e_tag']}" for batch in batches for e in batch}


def _of_files(spec: FrameSpec, files: Mapping[str, str]) -> FrameIndex:
    named: dict[str, FrameName] = {}
    unmatched: list[tuple[str, str]] = []
    for path in files:
        try:
            if files[path] == IRREGULAR:
                raise ValueError("no file but a pipe, a device or a broken link")
            if not path.lower().endswith(SUFFIXES):
                raise ValueError(f"of the kinds that are not read; those are {', '.join(SUFFIXES)}")
            named[path] = parse_name(path)
        except ValueError as error:
            unmatched.append((path, str(error)))
    sensors = sorted({name.sensor for name in named.values()})
    if not sensors:
        raise ValueError(
            f"frames.files: none of the {len(files)} files in {spec.files!r} has a name of sensor, band and time, like "
            f"coms_mi_le1b_ir1_YYYYMMDDHHMM.png; the first, {unmatched[0][0]}: {unmatched[0][1]}"
        )
    sensor = sensors[0] if len(sensors) == 1 else (spec.series or "")
    if sensor not in sensors:
        raise ValueError(f"frames.files: {spec.files!r} holds the sensors {sensors}; name one in `series`, or a glob")
    of_sensor = {path: name for path, name in named.items() if name.sensor == sensor}
    unmatched += [(path, "of another sensor") for path in named if path not in of_sensor]
    bands = _bands(spec, {name.band for name in of_sensor.values()})
    unmatched += [(path, "of another band") for path, name in of_sensor.items() if name.band not in bands]
    used = {path: name for path, name in of_sensor.items() if name.band in bands}
    places = _places(spec, np.array([name.time for name in used.values()], "datetime64[s]"))
    found: dict[tuple[int, int], str] = {}
    for (path, name), place in zip(used.items(), places, strict=True):
        if place is None:
            continue
        other = found.setdefault((place, bands.index(name.band)), path)
        if other != path:
            raise ValueError(
                f"frames.files: {other} and {path} are both {name.band} at {name.time:%Y-%m-%d %H:%M}; take one away, "
                f"or choose by a glob in `files`"
            )
    entries = sorted(Entry(slot, band, path, files[path]) for (slot, band), path in found.items())
    between = len(places) - len(found)
    return _checked(FrameIndex(spec.series or sensor, sensor, bands, spec, tuple(entries), between, tuple(unmatched)))


def _of_cube(spec: FrameSpec, cube: Cube) -> FrameIndex:
    bands = _bands(spec, set(cube.bands))
    if "://" in cube.path:
        objects = _remote_objects(cube.path)
    else:
        objects = {"": _tag(os.stat(cube.path))} if Path(cube.path).is_file() else _below(cube.path)
    tags = cube_tags(cube, objects)
    places = _places(spec, cube.times)
    known: dict[int, int] = {}
    for at, place in enumerate(places):
        if place is not None and known.setdefault(place, at) != at:
            raise ValueError(f"frames.files: {cube.path} has the time {cube.times[at]} twice; take one away")
    entries = [Entry(slot, b, at, tags[at]) for slot, at in sorted(known.items()) for b in range(len(bands))]
    series = spec.series or re.sub(r"[^A-Za-z0-9_-]", "-", stem_of(cube.path)).strip("-_") or "frames"
    between = len(places) - len(known)
    return _checked(FrameIndex(series, series, bands, spec, tuple(entries), between, (), cube))


def _bands(spec: FrameSpec, found: set[str]) -> tuple[str, ...]:
    lacking = [band for band in spec.bands if band not in found]
    if lacking:
        raise ValueError(
            f"frames.bands: {lacking} are not in {spec.files!r}, which has {list(shown_order(found))}; name those"
        )
    return spec.bands or shown_order(found)


def _places(spec: FrameSpec, times: np.ndarray) -> list[int | None]:
    """Return the slot of every time, None for one between the steps."""
    seconds = times.astype("datetime64[s]").astype(np.int64) - spec.phase_s
    slots = (seconds + spec.step_s // 2) // spec.step_s
    off = np.abs(seconds - slots * spec.step_s) > spec.tolerance_minutes * 60
    return [None if out else int(slot) for slot, out in zip(slots, off, strict=True)]


def _checked(index: FrameIndex) -> FrameIndex:
    if not index.entries:
        raise ValueError(
            f"frames: all {index.between:,} times of {index.series} lie between the steps of "
            f"{index.spec.step_minutes:g} min; set step_minutes, phase_minutes or tolerance_minutes"
        )
    return index


def _minutes(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")
