"""The pictures of the scratch document: what each network finds in some photos, and the photos in their variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

from jobs.bundles import read_bundles
from jobs.figures import INK, PROBABILITY_COLORS, new_figure, png_bytes
from jobs.panels import overlay
from jobs.scratch import judged_variant
from jobs.scratch_judging import CHANNELS, Judged, label_of
from models.members import load_members
from tiler.labels import IGNORE
from tiler.tile_store import TileStore

PHOTOS = 4
COLUMN_IN = 1.75
VARIANT_TITLES = {"rgb": "RGB", "gray": "Gray", "no-light": "No light"}


def titles_of(best: str) -> dict[str, str]:
    """Return title to row, as the document has them; `best` is the best row of U-Net."""
    return {
        "BCE": "B-bce",
        "U-Net (initial)": "A",
        "U-Net (no-light)": "D",
        "DeepLabV3": "C",
        "U-Net (best)": best,
        "U-Net3Plus": "H",
    }


def chosen_photos(images: Sequence[Judged], part: str) -> list[str]:
    """Return the ids of photos that judge: with scratches, evenly spread over those by how much is scratched.

    Where there are none with scratches, any.
    """
    judging = [image for image in images if image.split == part]
    truth = {image.id: next(iter(image.counts.values())).truth_px for image in judging}
    held = sorted((name for name in truth if truth[name]), key=lambda name: truth[name]) or sorted(truth)
    places = (
        np.unique(np.round(np.linspace(0, len(held) - 1, PHOTOS + 2)[1:-1]).astype(int))
        if len(held) > PHOTOS
        else range(len(held))
    )
    return [held[int(place)] for place in places]


def prediction_panel(
    stores: Mapping[str, TileStore], bundles: Mapping[str, str], best: str, ids: Sequence[str]
) -> bytes:
    """Draw a line for each photo: input, truth, and the probability by each network; PNG.

    Args:
        stores: variant to its store.
        bundles: row to the folder of its bundle.
        best: the row that is shown as the best U-Net.
        ids: of the photos.
    """
    titles = titles_of(best)
    figure = new_figure(COLUMN_IN * (len(titles) + 2), COLUMN_IN * len(ids) + 0.5)
    grid = figure.subplots(len(ids), len(titles) + 2, squeeze=False)
    base = stores["rgb"]
    for panel in grid.ravel():
        panel.set_axis_off()
    for line, name in zip(grid, ids, strict=True):
        row = _row_of(base, name)
        label = label_of(base, row)
        line[0].imshow(_photo(base, row), interpolation="nearest")
        line[1].imshow(np.where(label == IGNORE, 0, label), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    colors = matplotlib.colormaps[PROBABILITY_COLORS]
    for column, (title, row_name) in enumerate(titles.items(), 2):
        store = stores[judged_variant(row_name)]
        network = load_members(read_bundles([bundles[row_name]]), CHANNELS, tta="none", precision="fp32", batch=1)
        for line, name in zip(grid, ids, strict=True):
            logit = network.predict_each(store.network_input(_row_of(store, name), CHANNELS)[None])[0][0, 0, 0]
            shown = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
            line[column].imshow(shown, cmap=colors, vmin=0, vmax=1, interpolation="nearest")
        grid[0, column].set_title(f"{title}\nrow {row_name}", fontsize=8.5, color=INK)
    for column, title in enumerate(("input", "truth")):
        grid[0, column].set_title(title, fontsize=8.5, color=INK)
    return png_bytes(figure)


def variant_panel(stores: Mapping[str, TileStore], ids: Sequence[str]) -> bytes:
    """Draw a line for each photo: in colour, gray, without light, and with its label in green; PNG."""
    figure = new_figure(2.2 * (len(VARIANT_TITLES) + 1), 2.2 * len(ids) + 0.4)
    grid = figure.subplots(len(ids), len(VARIANT_TITLES) + 1, squeeze=False)
    for panel in grid.ravel():
        panel.set_axis_off()
    for line, name in zip(grid, ids, strict=True):
        for panel, variant in zip(line, VARIANT_TITLES, strict=False):
            panel.imshow(_photo(stores[variant], _row_of(stores[variant], name)), interpolation="nearest")
        row = _row_of(stores["rgb"], name)
        line[-1].imshow(
            overlay(_photo(stores["rgb"], row), label_of(stores["rgb"], row) == 1, 0.8), interpolation="nearest"
        )
    for panel, title in zip(grid[0], (*VARIANT_TITLES.values(), "labelled"), strict=True):
        panel.set_title(title, fontsize=10, color=INK)
    return png_bytes(figure)


def _photo(store: TileStore, row: int) -> np.ndarray:
    """Return a stored photo as it is, uint8 (y, x, 3)."""
    return np.moveaxis(store.read("image", row), 0, -1)


def _row_of(store: TileStore, name: str) -> int:
    return next(row for row, tile in enumerate(store.tiles) if tile["id"] == name)
