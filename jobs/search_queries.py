"""The examples of a search: what they name, and the vectors of that."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from jobs.embed_network import Network
from jobs.search_archive import Archive, Member, iso
from jobs.search_filters import Examples, distance_km, parse_moment
from jobs.search_image import embed_image
from models.search import rocchio, unit_float16
from tiler.area import read_area
from tiler.embedding_items import WGS84, WHOLE
from tiler.grids import Cell, MapGrid, transformer


@dataclass(frozen=True)
class Example:
    """What was asked for, before it was looked up."""

    kind: str
    """A key of `KINDS`."""
    text: str
    like: bool = True
    """Whether it is wanted, or the opposite."""

    @property
    def told(self) -> str:
        """For people."""
        return f"{'' if self.like else 'unlike '}{self.kind} {self.text}"


@dataclass(frozen=True)
class Resolved:
    """An example, looked up."""

    example: Example
    vector: np.ndarray
    """float16 (dimension,): of several items their mean."""
    ids: tuple[int, ...] = ()
    """Items of the archive that it consists of."""
    times: tuple[np.datetime64, ...] = ()
    places: tuple[tuple[float, float], ...] = ()
    """Longitude and latitude."""


@dataclass
class Lookup:
    """Finds examples in an archive."""

    archive: Archive
    grid: MapGrid | None
    """Of the map whose cells may be named."""
    network: Network | None = None
    """The embedder, once a picture has asked for it."""

    def __call__(self, example: Example) -> Resolved:
        """Look an example up.

        Raises:
            ValueError: the archive holds nothing of the kind; says what it holds.
        """
        return KINDS[example.kind](self, example)

    def time(self, example: Example) -> Resolved:
        """Look up the frame of a time; of a day, the first one."""
        series = self._members("frames", example, "a time names a frame; use --window, --at, --cell or --polygon")
        moment = parse_moment(example.text)
        ids = [at for member in series if (at := self._frame(member, moment, example.text)) is not None]
        if not ids:
            times = np.concatenate([member.store.times for member in series])
            nearest = times[np.abs(times - moment).argmin()]
            raise ValueError(
                f"--time {example.text}: there is no frame; the archive holds {iso(times.min())} to "
                f"{iso(times.max())}, the nearest is {iso(nearest)}"
            )
        return self._of_items(example, ids)

    def _frame(self, member: Member, moment: np.datetime64, text: str) -> int | None:
        times = member.store.times
        at = int(np.searchsorted(times, moment))
        last = moment + (np.timedelta64(86_399, "s") if len(text) <= 10 else np.timedelta64(0, "s"))
        return self.archive.base(member) + at if at < len(times) and times[at] <= last else None

    def window(self, example: Example) -> Resolved:
        """Look up a window of a scene, or one of its quadrants."""
        scenes = self._members("scene", example, "a window is one of a scene; use --time")
        form = re.fullmatch(r"(.+):(\d+),(\d+)(?:,(\d))?", example.text)
        if form is None:
            raise ValueError(
                f"--window {example.text!r}: give SCENE:row,col, or SCENE:row,col,part for a quadrant (1..4)"
            )
        name, place = form[1], tuple(int(v) for v in form.groups(default="0")[1:])
        known = {member.plan.what.source: member for member in scenes}
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"--window {example.text}: no scene {name!r} in the archive; did you mean {near!r}?")
        member = known[name]
        try:
            item = member.store.items.item(*place)  # type: ignore[union-attr]
        except IndexError as error:
            raise ValueError(f"--window {example.text}: there is no such window: {name} has {error}") from error
        return self._of_items(example, [self.archive.base(member) + item])

    def at(self, example: Example) -> Resolved:
        """Look up the smallest item at a place, in every scene that reaches it."""
        scenes = self._members("scene", example, "frames have no places; use --time")
        try:
            lon, lat = (float(v) for v in example.text.split(","))
        except ValueError as error:
            raise ValueError(f"--at {example.text!r}: give longitude,latitude in degrees: 129.35,35.51") from error
        found = [(member, member.store.items.at(lon, lat)) for member in scenes]  # type: ignore[union-attr]
        ids = [self.archive.base(member) + item for member, item in found if item is not None]
        if not ids:
            raise ValueError(f"--at {example.text}: no scene reaches it; {self._extent(scenes, lon, lat)}")
        return self._of_items(example, ids)

    def cell(self, example: Example) -> Resolved:
        """Look up the windows whose middles lie in a cell of the map."""
        scenes = self._members("scene", example, "frames have no cells; use --time")
        form = re.fullmatch(r"(-?\d+),(-?\d+)", example.text)
        if form is None or self.grid is None:
            raise ValueError(f"--cell {example.text!r}: give row,col of a cell of the map")
        cell, change = Cell(int(form[1]), int(form[2])), transformer(WGS84, self.grid.crs)
        box, ids, known = MapGrid.box_of(cell), list[int](), set[tuple[int, int]]()
        for member in scenes:
            centres = member.places.centres
            assert centres is not None
            x, y = centres.T if change is None else change.transform(*centres.T)
            rows, cols = self.grid.pixels.rowcol(x, y)
            inside = (rows >= box.y0) & (rows < box.y1) & (cols >= box.x0) & (cols < box.x1)
            inside &= np.arange(len(inside)) % member.store.items.parts == 0  # type: ignore[union-attr]
            ids += (self.archive.base(member) + np.flatnonzero(inside)).tolist()
            side = box.height
            known |= set(zip((rows // side).astype(int).tolist(), (cols // side).astype(int).tolist(), strict=True))
        if not ids:
            some = sorted(known)
            nearest = min(some, key=lambda one: abs(one[0] - cell.row) + abs(one[1] - cell.col))
            raise ValueError(
                f"--cell {example.text}: no window lies in it; the archive has cells "
                f"{some[0]} to {some[-1]}, the nearest is {nearest}"
            )
        return self._of_items(example, ids)

    def polygon(self, example: Example) -> Resolved:
        """Look up the smallest items whose middles lie in a polygon, or the one that holds it."""
        scenes = self._members("scene", example, "frames have no places; use --time")
        try:
            area, crs = read_area(example.text)
        except ValueError as error:
            raise ValueError(f"--polygon: {str(error).removeprefix('area: ')}") from error
        change = transformer(crs, WGS84)
        if change is not None:
            area = shapely.transform(area, change.transform, interleaved=False)
        shapely.prepare(area)
        ids: list[int] = []
        inside_of = area.representative_point()
        for member in scenes:
            items, centres = member.store.items, member.places.centres
            assert items is not None
            assert centres is not None
            inside = shapely.contains_xy(area, *centres.T)
            if items.parts > WHOLE:
                inside &= np.arange(len(inside)) % items.parts > 0
            held = items.at(inside_of.x, inside_of.y)
            found = np.flatnonzero(inside).tolist() or ([] if held is None else [held])
            ids += [self.archive.base(member) + item for item in found]
        if not ids:
            said = self._extent(scenes, inside_of.x, inside_of.y)
            raise ValueError(f"--polygon {example.text}: no scene reaches it; {said}")
        return self._of_items(example, ids)

    def image(self, example: Example) -> Resolved:
        """Embed a picture."""
        vector, self.network = embed_image(self.archive, example.text, self.network)
        return Resolved(example, vector)

    def _members(self, kind: str, example: Example, instead: str) -> list[Member]:
        found = self.archive.of_kind(kind)
        if not found:
            other = "frames" if kind == "scene" else "scenes"
            raise ValueError(f"--{example.kind} {example.text}: the archive holds {other}; {instead}")
        return found

    def _extent(self, scenes: Sequence[Member], lon: float, lat: float) -> str:
        centres = [(member.plan.what.source, member.places.centres) for member in scenes]
        every = np.concatenate([one for _, one in centres if one is not None])
        (west, south), (east, north) = every.min(0), every.max(0)
        distances = [
            (float(distance_km(one[:, 0], one[:, 1], lon, lat).min()), name) for name, one in centres if one is not None
        ]
        nearest_km, name = min(distances)
        return (
            f"the archive reaches from {west:.4f},{south:.4f} to {east:.4f},{north:.4f}; the nearest window is of "
            f"{name}, {nearest_km:.1f} km away"
        )

    def _of_items(self, example: Example, ids: Sequence[int]) -> Resolved:
        """Return the mean of the vectors of items, but for those that have none."""
        rows, kept, times, places = [], [], [], []
        for item_id in ids:
            member, item = self.archive.place(item_id)
            vectors, seen = member.store.vectors(np.array([item]))
            if not seen[0]:
                continue
            rows.append(vectors[0])
            kept.append(item_id)
            if not np.isnat(member.store.times[item]):
                times.append(member.store.times[item])
            if member.places.centres is not None:
                lon, lat = member.places.centres[item].tolist()
                places.append((lon, lat))
        if not rows:
            names = ", ".join(self.archive.label(one) for one in ids[:3])
            raise ValueError(
                f"--{example.kind} {example.text}: {names} saw too little to have a vector (embed.missing_limit); "
                f"choose another"
            )
        vector = rows[0] if len(rows) == 1 else unit_float16(np.mean(np.array(rows, np.float64), axis=0))
        return Resolved(example, vector, tuple(kept), tuple(times), tuple(places))


KINDS: dict[str, Callable[[Lookup, Example], Resolved]] = {
    "time": Lookup.time,
    "window": Lookup.window,
    "at": Lookup.at,
    "cell": Lookup.cell,
    "polygon": Lookup.polygon,
    "image": Lookup.image,
}
"""Kind of an example to what looks it up."""


def parse_example(text: str, like: bool) -> Example:
    """Return the example of `KIND:TEXT`, as `--like` and `--unlike` take it.

    Raises:
        ValueError: an unknown kind.
    """
    kind, mark, rest = text.partition(":")
    if not mark or kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.0)[0]
        option = "--like" if like else "--unlike"
        raise ValueError(f"{option} {text!r}: give KIND:TEXT, KIND one of {', '.join(KINDS)}; did you mean {near!r}?")
    return Example(kind, rest, like)


def query_of(examples: Sequence[Resolved], unlike: float) -> np.ndarray:
    """Return the vector to search with, float16 (1, dimension): `models.search.rocchio` of the examples."""
    positives, negatives = (np.array([e.vector for e in examples if e.example.like == like]) for like in (True, False))
    return rocchio(positives, negatives, unlike)[None]


def known_of(examples: Sequence[Resolved]) -> Examples:
    """Return what the filters have to know of examples: own items of all, times and places of those that are wanted."""
    wanted = [e for e in examples if e.example.like]
    return Examples(
        frozenset(one for e in examples for one in e.ids),
        tuple(sorted({t for e in wanted for t in e.times})),
        tuple(sorted({p for e in wanted for p in e.places})),
    )


def sequence_of(lookup: Lookup, times: Sequence[str]) -> tuple[list[Resolved], tuple[int, ...]]:
    """Look up the frames of a sequence; return them in order, and their offsets in seconds from the first.

    Raises:
        ValueError: a time without a frame, or that comes twice.
    """
    found = sorted((lookup(Example("time", text)) for text in times), key=lambda one: one.times[0])
    offsets = tuple(int((one.times[0] - found[0].times[0]) / np.timedelta64(1, "s")) for one in found)
    if len(set(offsets)) < len(offsets):
        raise ValueError(f"--sequence {','.join(times)}: a time comes twice; name each frame once")
    return found, offsets
