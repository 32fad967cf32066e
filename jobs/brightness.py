"""Reading the steady pixels of a run and its reference: every n-th pixel of each window, at every date.

Mostly they are those of the quick-looks, which Ingest keeps beside each scene: a hundredth of the pixels. One row of
windows is held at a time, at all dates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jobs.progress import Progress
from jobs.run_embeddings import RunEmbeddings
from models.brightness import FEWEST_DATES, Steady, steadiest
from tiler.grids import Box, PixelGrid
from tiler.quicklook import quicklook_step
from tiler.scene_store import SceneStore
from tiler.stores import array_of, is_complete

PASS_H = 6
"""Scenes that lie nearer in time are of one pass, and share its light and air: one date, not two."""
SIDE = 32
"""Samples along a window, at most."""


@dataclass(frozen=True)
class Aligned:
    """A scene of the reference on the pixels of a scene of the run."""

    scene: SceneStore
    down_px: int
    """Its row of the run's first row."""
    along_px: int

    def samples(self, names: Sequence[str], step: int, rows: range, cols: range) -> np.ndarray:
        """Return logarithms of every n-th pixel, float32 (band, row, col); NaN where missing or not above zero.

        Args:
            names: of bands.
            step: every how many pixels of the run's scene.
            rows: numbers of samples: sample i is pixel `i * step` of the run's scene.
            cols: likewise.
        """
        out = np.full((len(names), len(rows), len(cols)), np.nan, np.float32)
        grid, small = self.scene.grid, quicklook_step(self.scene.grid)
        if step % small or self.down_px % small or self.along_px % small:
            small, image, valid = 1, "image", "valid"
        else:
            image, valid = "quality/quicklook", "quality/quicklook_valid"
        (r, down), (c, along) = (
            _inside(numbers, step, first, length, small)
            for numbers, first, length in ((rows, self.down_px, grid.height), (cols, self.along_px, grid.width))
        )
        if r.start >= r.stop or c.start >= c.stop:
            return out
        bands = [self.scene.sensor.bands.index(name) for name in names]
        pixels = np.asarray(array_of(self.scene.group, image)[:, down, along])[bands].astype(np.float32)
        seen = np.asarray(array_of(self.scene.group, valid)[down, along])
        out[:, r, c] = np.log(np.where(seen & (pixels > 0), pixels, np.nan))
        return out


def _inside(numbers: range, step: int, first_px: int, length_px: int, small: int) -> tuple[slice, slice]:
    """Return which of the samples lie inside a scene, and where they are among its every `small`-th pixels."""
    low = max(numbers.start, -(first_px // step))
    high = min(numbers.stop, -(-(length_px - first_px) // step))
    start = (low * step + first_px) // small
    kept = slice(low - numbers.start, max(low, high) - numbers.start)
    return kept, slice(start, start + (max(low, high) - low - 1) * (step // small) + 1, step // small)


def offset_px(grid: PixelGrid, other: PixelGrid) -> tuple[int, int] | None:
    """Return row and column of `other` at the first pixel of `grid`; None where their pixels do not coincide."""
    if grid.crs != other.crs or not np.allclose(np.delete(grid.transform, (2, 5)), np.delete(other.transform, (2, 5))):
        return None
    row, col = other.offset_of(grid)
    down, along = round(row), round(col)
    return (down, along) if max(abs(row - down), abs(col - along)) < 0.1 else None


def passes(run: RunEmbeddings) -> dict[str, list[int]]:
    """Return the passes of a run: date as text to numbers of stores. Scenes without a date are left out."""
    used = np.unique(run.source)
    times = np.array([run.stores[number].times[0] for number in used.tolist()], "datetime64[s]")
    used, times = used[~np.isnat(times)], times[~np.isnat(times)]
    order = np.argsort(times, kind="stable")
    apart = np.diff(times[order]) > np.timedelta64(PASS_H, "h")
    groups = np.split(order, np.flatnonzero(apart) + 1) if len(order) else []
    return {str(times[group[0]]): used[group].tolist() for group in groups}


def steady_pixels(run: RunEmbeddings, reference: RunEmbeddings, region: np.ndarray) -> list[Steady]:
    """Return the steadiest pixels of each pass of a run.

    Args:
        run: what is judged.
        reference: what it is compared with.
        region: int (n,): of each item of the run.

    Returns:
        Nothing where fewer than `FEWEST_DATES` passes of the reference have pixels of the run's.
    """
    opened = lru_cache(maxsize=64)(SceneStore)
    before = list(passes(reference).values())
    found = []
    for date, sources in passes(run).items():
        columns: list[tuple[int, np.ndarray, np.ndarray]] = []
        names: tuple[str, ...] = ()
        for source in sources:
            if len(before) < FEWEST_DATES or not is_complete(run.ingested[source]):
                continue
            scene = opened(run.ingested[source])
            there = [
                [one for number in group if (one := _aligned(scene, reference.ingested[number], opened)) is not None]
                for group in before
            ]
            lists = [one.scene.sensor.bands for group in there for one in group]
            common = tuple(name for name in scene.sensor.bands if all(name in bands for bands in lists))
            if sum(map(bool, there)) >= FEWEST_DATES and common:
                names = common
                items = np.flatnonzero((run.source == source) & run.seen & (region >= 0))
                with Progress(len(items), f"brightness of {scene.id}", unit="windows") as progress:
                    for row, both in _windows(run, items, scene, there, names):
                        columns.append((int(region[row]), *both))
                        progress.advance()
        if columns:
            regions, moved, spread = zip(*columns, strict=True)
            found.append(Steady(names, date, np.array(regions), np.stack(moved), np.stack(spread)))
    return found


def _aligned(scene: SceneStore, url: str, opened: Callable[[str], SceneStore]) -> Aligned | None:
    if not is_complete(url):
        return None
    other = opened(url)
    offset = offset_px(scene.grid, other.grid)
    if offset is None:
        return None
    inside = -scene.grid.height < offset[0] < other.grid.height and -scene.grid.width < offset[1] < other.grid.width
    return Aligned(other, *offset) if inside else None


def _windows(
    run: RunEmbeddings, items: np.ndarray, scene: SceneStore, there: Sequence[Sequence[Aligned]], names: Sequence[str]
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """Yield rows of a run with `moved` and `spread` of their window; windows of one row of a scene are read at once."""
    lines: dict[int, list[tuple[int, Box]]] = {}
    for row in items.tolist():
        lines.setdefault(run.box(row).y0, []).append((row, run.box(row)))
    small = quicklook_step(scene.grid)
    for top, line in lines.items():
        step = small * max(1, line[0][1].height // (SIDE * small))
        rows = range(-(-max(0, top) // step), -(-line[0][1].y1 // step))
        left, right = min(box.x0 for _, box in line), max(box.x1 for _, box in line)
        cols = range(-(-left // step), -(-right // step))
        now = Aligned(scene, 0, 0).samples(names, step, rows, cols)
        before = np.full((len(there), *now.shape), np.nan, np.float32)
        for layer, group in zip(before, there, strict=True):
            for one in group:
                layer[...] = np.where(np.isnan(layer), one.samples(names, step, rows, cols), layer)
        for row, box in line:
            part = slice(-(-box.x0 // step) - cols.start, -(-box.x1 // step) - cols.start)
            flat = (layer[..., part].reshape(*layer.shape[:-2], -1).astype(np.float64) for layer in (now, before))
            yield row, steadiest(next(flat), next(flat))
