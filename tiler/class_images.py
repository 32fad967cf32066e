"""The images of some classes of a tile store as one array: what was flagged, for clustering or a notebook of your own.

flagged = json.loads(Path("OUT/curation/curation.json").read_text())["flagged"]
images, rows = class_images(TileStore(url), flagged, channels_last=True)    # (n, 224, 224, 3) where side_px is 224
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from tiler.image_spec import nearest
from tiler.tile_store import TileStore


def class_images(
    store: TileStore, classes: Sequence[str], *, channels_last: bool = False, left_out: Collection[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Read every image of some classes; damaged ones are not among them.

    All of them lie in memory at once: 3,269 of 224 px take half a gigabyte.

    Args:
        store: of a data set whose images have classes.
        classes: their names; none give no image.
        channels_last: (n, y, x, band) in place of (n, band, y, x).
        left_out: ids of images that curation removed.

    Returns:
        The images in the order of the store, in its type, missing pixels 0; and int64 (n,): their rows.

    Raises:
        ValueError: a class that the store does not have.
    """
    for name in classes:
        if name not in store.class_names:
            raise ValueError(
                f"class {name!r} is none of {store.url}, which has {list(store.class_names)}"
                f"{nearest(name, store.class_names)}"
            )
    wanted = np.isin([tile["label"] for tile in store.tiles], list(classes))
    kept = store.kept(1.0, left_out=left_out)
    rows = kept[wanted[kept]].astype(np.int64)
    images = store.images(rows.tolist())
    return (np.moveaxis(images, 1, -1) if channels_last else images), rows
