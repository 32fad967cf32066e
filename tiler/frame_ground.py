"""Frames of one or several series as items; the group is the series."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from tiler.frame_rows import frame_names
from tiler.frame_store import FrameStore
from tiler.ground import Cache, Pair

CACHE_BYTES = 512 * 2**20


class FrameGround:
    """The frames of stores that lack no more than a share of their values."""

    def __init__(
        self,
        stores: Sequence[FrameStore],
        channels: Sequence[str] = (),
        missing_limit: float = 1.0,
        cache_bytes: int = CACHE_BYTES,
        left_out: Collection[str] = (),
    ) -> None:
        """Take the frames of stores.

        Args:
            stores: of equal size and units; each is a group.
            channels: bands, in the order wanted; none: those of the first store.
            missing_limit: largest missing ratio of a frame that is taken.
            cache_bytes: memory for frames that were read lately.
            left_out: names of frames (`tiler.frame_rows`) that curation removed.

        Raises:
            ValueError: a store lacks a band, stores have unlike sizes or units, or no frame is left.
        """
        self.channels = tuple(channels) or stores[0].bands
        self._stores = tuple(stores)
        self._bands = [_places(store, self.channels) for store in stores]
        sizes = {(s.height_px, s.width_px) for s in stores}
        ranges = {self._range(place) for place in range(len(stores))}
        if len(sizes) > 1 or len(ranges) > 1:
            raise ValueError(
                f"series {[s.series for s in stores]} have frames of {sorted(sizes)} px and ranges {sorted(ranges)}; "
                "what is trained together needs one size and one unit: ingest with the same side_px and value_range"
            )
        rows = [
            np.flatnonzero((store.missing_ratio <= missing_limit) & ~np.isin(frame_names(store), list(left_out)))
            for store in stores
        ]
        self._rows = np.concatenate(rows)
        self.groups = np.repeat(np.arange(len(stores)), [len(r) for r in rows])
        self.times = np.concatenate([store.times[r] for store, r in zip(stores, rows, strict=True)])
        if not len(self.times):
            raise ValueError(
                f"no frame of {[s.series for s in stores]} lacks at most {missing_limit:.0%} of its values, or "
                "curation left none"
            )
        self._cache: Cache[Pair] = Cache(cache_bytes)

    @property
    def sensor(self) -> str:
        """Names of the sensors."""
        return "+".join(dict.fromkeys(store.sensor for store in self._stores))

    @property
    def valid_range(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Offset and scale of the stores."""
        return self._range(0)

    def read(self, item: int) -> Pair:
        """Read a frame."""
        store, row = int(self.groups[item]), int(self._rows[item])
        bands = self._bands[store]

        def fresh() -> Pair:
            images, valid = self._stores[store].take([row])
            return images[0][bands], valid[0][bands]

        return self._cache.get((store, row), fresh, lambda pair: sum(array.nbytes for array in pair))

    def _range(self, place: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        store, bands = self._stores[place], self._bands[place]
        return tuple(store.offset[bands].tolist()), tuple(store.scale[bands].tolist())


def _places(store: FrameStore, channels: Sequence[str]) -> list[int]:
    absent = [name for name in channels if name not in store.bands]
    if absent:
        raise ValueError(f"data.channels: series {store.series} has the bands {list(store.bands)}, not {absent}")
    return [store.bands.index(name) for name in channels]
