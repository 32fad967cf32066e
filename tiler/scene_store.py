"""The scene store: one acquisition as zarr, on its own pixels, with validity, labels and quality beside the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import datetime
from functools import cached_property

import numpy as np
import zarr

from tiler.coarse import offered_channels
from tiler.coarse_store import Moments, StoredCoarse, add_coarse
from tiler.disk_pipeline import read_rectangle
from tiler.fusion import coarse_channels
from tiler.grids import Box, PixelGrid
from tiler.labels import IGNORE, Labels
from tiler.quality import BandStatistics, Bins, estimate_missing_ratio
from tiler.quicklook import add_quicklook, fill_quicklook, read_quicklook
from tiler.scenes import Scene
from tiler.scratch import Scratch
from tiler.sensors import Sensor
from tiler.shards import Shard, shard_box, shard_shape, shards_of
from tiler.stores import (
    CHUNK_PX,
    add_array,
    add_georeference,
    array_of,
    attributes_of,
    finish_group,
    new_group,
    open_group,
    write_shard,
)


def bins_of(scene: Scene) -> Bins:
    """Return the histogram bins of a scene's digital numbers."""
    return Bins.for_range(scene.sensor.valid_min, scene.sensor.valid_max, np.dtype(scene.dtype))


def create_scene_store(url: str, scene: Scene, labelled: bool) -> None:
    """Make the empty store of a scene: every pixel missing, every label ignored, no coarse value known."""
    group = new_group(url)
    grid, bands = scene.grid, len(scene.sensor.bands)
    attributes = add_georeference(group, grid)
    shape, shard, chunk = (grid.height, grid.width), shard_shape(grid), (CHUNK_PX, CHUNK_PX)
    described = {**attributes, "long_name": list(scene.sensor.bands), "scale_to_physical": scene.sensor.scale}
    layout = ("band", "y", "x"), (bands, *shape), (bands, *chunk), (bands, *shard)
    add_array(group, "image", *layout, scene.dtype, scene.fill, described)
    add_array(group, "valid", ("y", "x"), shape, chunk, shard, "bool", False, attributes)
    if labelled:
        label_attributes = {**attributes, "ignore": IGNORE}
        add_array(group, "label", ("y", "x"), shape, chunk, shard, "uint8", IGNORE, label_attributes)
    modalities = add_coarse(group, scene.coarse)
    counts = (-(-shape[0] // shard[0]), -(-shape[1] // shard[1]), bands, bins_of(scene).count)
    quality = group.require_group("quality")  # a group of its own, so that xarray shows the scene only
    add_quicklook(quality, grid, bands, shard, scene.dtype, scene.fill)
    dims = ("shard_row", "shard_col", "band", "bin")
    add_array(quality, "histogram", dims, counts, (1, 1, *counts[2:]), None, "uint32", 0)
    facts = {
        "id": scene.id,
        "acquired": scene.acquired.isoformat() if scene.acquired else None,
        "sensor": scene.sensor.model_dump(mode="json"),
        "band_names": list(scene.sensor.bands),
        "grid": grid.to_json(),
        "bins": asdict(bins_of(scene)),
        "sources": [p.path for p in scene.pieces],
        "fingerprint": scene.fingerprint,
        "modalities": modalities,
    }
    finish_group(group, facts)


def _untimed(step: str) -> AbstractContextManager[None]:
    return nullcontext()


def fill_shard(
    group: zarr.Group,
    scene: Scene,
    labels: Labels | None,
    shard: Shard,
    timed: Callable[[str], AbstractContextManager[None]] = _untimed,
    scratch: Scratch | None = None,
) -> dict[str, int]:
    """Read one shard's pixels from the scene's files and write them, each array in one assignment.

    Args:
        group: arrays of the scene store.
        scene: its files.
        labels: its labels.
        shard: which part.
        timed: makes the context of a step, "read" or "write".
        scratch: memory for the image.

    Returns:
        Counts for the marker: pixels, valid pixels, labelled pixels, labelled pixels of any class above 0, and bytes
        before compression.
    """
    box = shard_box(shard, scene.grid)
    with timed("read"):
        image, valid = scene.read(box, scratch)
        label = None if labels is None else labels.read(scene.grid, box)
    with timed("write"):
        write_shard(array_of(group, "image"), (slice(None), *box.slices), image, past_cache=True)
        write_shard(array_of(group, "valid"), box.slices, valid)
        if label is not None:
            write_shard(array_of(group, "label"), box.slices, label)
        fill_quicklook(group, scene.grid, box, image, valid)
        counts = bins_of(scene).counts(image, valid)
        write_shard(array_of(group, "quality/histogram"), (shard.row, shard.col, slice(None), slice(None)), counts)
    written = image.nbytes + valid.nbytes + (0 if label is None else label.nbytes)
    record = {
        "pixels": valid.size,
        "valid": int(np.count_nonzero(valid)),
        "labelled": 0,
        "positive": 0,
        "bytes_written": written,
    }
    if label is not None:
        known = (label != IGNORE) & valid
        record |= {"labelled": int(known.sum()), "positive": int((known & (label > 0)).sum())}
    return record


class SceneStore:
    """A scene store opened for reading."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.group = open_group(url)
        attrs = attributes_of(self.group)
        self.id = str(attrs["id"])
        self.acquired = datetime.fromisoformat(str(attrs["acquired"])) if attrs["acquired"] else None
        self.sensor = Sensor.model_validate(attrs["sensor"])
        self.grid = PixelGrid.from_json(attrs["grid"])
        self.modalities = tuple(StoredCoarse.from_json(m) for m in attrs.get("modalities", ()))
        self._bins = Bins(**attrs["bins"])

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of what `network_input` returns if nothing else is asked for: the bands, then the missing mask."""
        return (*self.sensor.bands, "mask")

    @property
    def offered(self) -> tuple[str, ...]:
        """Every channel that may be asked for, in order: `channels`, the modalities' bands, a mask of each."""
        return offered_channels(self.sensor, [m.sensor for m in self.modalities])

    @property
    def labelled(self) -> bool:
        """Whether the scene has labels."""
        return "label" in self.group

    @cached_property
    def quality(self) -> dict:
        """What `summarise` found.

        Raises:
            FileNotFoundError: the scene has not been ingested to its end.
        """
        found = self.group.attrs.get("quality")
        if not isinstance(found, dict):
            raise FileNotFoundError(f"scene {self.id} at {self.url} is not ingested to its end; run ingest again")
        return found

    @cached_property
    def medians(self) -> np.ndarray:
        """Median digital number of each band over valid pixels (zero for a scene without any), float32 (band,)."""
        values = [band["median"] for band in self.quality["bands"]]
        return np.array([0.0 if v is None else v for v in values], np.float32)

    def read(self, name: str, box: Box, fill: float | int | bool) -> np.ndarray:
        """Read a rectangle of `image`, `valid` or `label`; what hangs over the scene's border is `fill`."""
        array, part = array_of(self.group, name), box.clip(self.grid.box)
        lead = (slice(None),) * (array.ndim - 2)
        if part == box:
            return read_rectangle(array, (*lead, *box.slices))
        out = np.full((*array.shape[:-2], box.height, box.width), fill, array.dtype)
        if not part.empty:
            out[(*lead, *part.shift(-box.y0, -box.x0).slices)] = read_rectangle(array, (*lead, *part.slices))
        return out

    def network_input(self, box: Box, channels: Sequence[str] | None = None) -> np.ndarray:
        """Read what networks see of a rectangle, which may hang over the scene's border.

        Bands are digital numbers, the scene's median where missing (also beyond the border); "mask" is 1 where they
        are missing, else 0. Bands of coarse modalities are resampled by geography, NaN where missing;
        "<modality>_mask" is 1 where none of a modality's bands has a value, else 0.

        Args:
            box: scene pixels.
            channels: names out of `offered`, in the order wanted; None means `channels`.

        Returns:
            float32 (channel, y, x).

        Raises:
            ValueError: a channel that the store does not offer.
        """
        wanted = self.channels if channels is None else tuple(channels)
        unknown = [name for name in wanted if name not in self.offered]
        if unknown:
            raise ValueError(
                f"scene {self.id}: channels {unknown} are asked for, its store offers {list(self.offered)}; ingest a "
                f"run that names their `modalities`"
            )
        if wanted == self.channels:
            return self._imagery(box)
        out = np.empty((len(wanted), box.height, box.width), np.float32)
        for own in (True, False):
            places = [place for place, name in enumerate(wanted) if (name in self.channels) == own]
            names = [wanted[place] for place in places]
            if places and own:
                out[places] = self._imagery(box)[[self.channels.index(name) for name in names]]
            elif places:
                out[places] = self.coarse_input(box, names)
        return out

    def _imagery(self, box: Box) -> np.ndarray:
        valid = self.read("valid", box, False)
        out = np.empty((len(self.channels), box.height, box.width), np.float32)
        out[:-1] = self.read("image", box, 0)
        np.copyto(out[:-1], self.medians[:, None, None], where=~valid)
        out[-1] = ~valid
        return out

    def coarse_input(self, box: Box, channels: Sequence[str]) -> np.ndarray:
        """Return channels of coarse modalities as `network_input` does, and nothing else: float32 (channel, y, x)."""
        out = np.empty((len(channels), box.height, box.width), np.float32)
        for modality in self.modalities:
            places = [place for place, name in enumerate(channels) if name in modality.channels]
            if places:
                names, values = [channels[place] for place in places], self._coarse[modality.name]
                out[places] = coarse_channels(modality.sensor.bands, names, values, modality.grid, self.grid, box)
        return out

    @cached_property
    def _coarse(self) -> dict[str, np.ndarray]:
        """Values of the modalities by name: a few kilobytes, kept because every tile needs them."""
        _ = self.quality  # they are written last: before the end of Ingest all would seem to be missing
        return {modality.name: modality.values(self.group) for modality in self.modalities}

    @property
    def coarse_moments(self) -> dict[str, Moments]:
        """Count, sum and sum of squares of the values of each coarse channel around the scene, by channel."""
        stored = self.quality["coarse"] if self.modalities else {}
        return {channel: (int(count), total, squares) for channel, (count, total, squares) in stored.items()}

    def quicklook(self) -> tuple[np.ndarray, np.ndarray, PixelGrid]:
        """Return every n-th pixel of the scene: image (band, y, x), valid (y, x) and their grid."""
        return read_quicklook(self.group, self.grid)

    def summarise(self, patch_px: int = 512) -> dict:
        """Merge the shards' histograms into the scene's quality and write it to the store (idempotent).

        Returns:
            missing ratio (exact, and the three-patch estimate), per-band statistics, label coverage, and the moments of
            coarse modalities.
        """
        histogram = array_of(self.group, "quality/histogram")
        counts = np.zeros(histogram.shape[2:], np.int64)
        for row in range(histogram.shape[0]):
            for col in range(histogram.shape[1]):
                counts += histogram[row, col]
        bands = [BandStatistics.of(c, self._bins) for c in counts]
        pixels = self.grid.height * self.grid.width
        estimate = estimate_missing_ratio(
            lambda box: self.read("valid", box, False), self.grid.height, self.grid.width, patch_px
        )
        quality = {
            "pixels": pixels,
            "valid": bands[0].count,
            "missing_ratio": 1.0 - bands[0].count / pixels,
            "missing_ratio_3_patches": estimate,
            "bands": [
                {"name": name, **{k: None if v != v else v for k, v in asdict(b).items()}}  # NaN is not JSON
                for name, b in zip(self.sensor.bands, bands, strict=True)
            ],
            "coverage": self._coverage() if self.labelled else None,
        }
        if self.modalities:
            quality["coarse"] = {
                band: moments for m in self.modalities for band, moments in m.moments(self.group).items()
            }
        self.group.update_attributes({"quality": quality})
        return quality

    def _coverage(self) -> dict[str, float | int | None]:
        """Return how much of the valid part is labelled, and how much of that is of a class above background."""
        labelled = positive = 0
        for shard in shards_of(self.id, self.grid):
            box = shard_box(shard, self.grid)
            label, valid = self.read("label", box, IGNORE), self.read("valid", box, False)
            known = (label != IGNORE) & valid
            labelled, positive = labelled + int(known.sum()), positive + int((known & (label > 0)).sum())
        return {"labelled": labelled, "positive": positive, "ratio": positive / labelled if labelled else None}
