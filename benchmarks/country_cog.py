"""Does a product of a whole country need more memory than that of a county? Written, validated, and read back.

    python benchmarks/country_cog.py                               class and probability of 20,000 px a side: minutes
    python benchmarks/country_cog.py --sides 100000 --products class       a country at 10 m: 1,000 km a side

What is written is what Publish writes, by the same function (`tiler.cog.write_cog`), from blocks of one map cell. The
pixels are made up on the way: a map store of that size would be 140 GB. Land is an ellipse (cells of sea come from
nowhere, as in a map), the class is blobs of some hectares, the probability has noise in its last bits, as sums have.

Writing and checking are processes of their own. Peak: the largest resident memory of the process (VmHWM). Checking is
rio-cogeo's validation in strict mode (blocks, overviews, order in the file), `driver="GTiff"`, and windows at random
places that must hold, bit for bit, what the blocks held; and the coarsest overview, which must know land from sea.

Disk: the raster uncompressed where there is land, and the product beside it: at 100,000 px a side about 10 GB for the
class and 50 GB for the probability.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter

from jobs.products import written_parts
from jobs.stages import peak_memory_bytes, prepare_worker
from tiler.classes import NO_CLASS
from tiler.cog import write_cog
from tiler.grids import CELL_PX, Box
from tiler.product_specs import specs_of

SIDES, PRODUCTS = (20_000,), ("class", "probability")
CRS, ORIGIN = "EPSG:5179", Affine(10.0, 0.0, 700_000.0, 0.0, -10.0, 2_100_000.0)
WINDOWS = 40
"""That are compared."""
RESULT = Path(__file__).with_suffix(".json")


class Country:
    """Pixels that are a function of their place."""

    def __init__(self, side_px: int, product: str) -> None:
        random = np.random.default_rng(5)
        smooth = gaussian_filter(random.standard_normal((CELL_PX, CELL_PX)), 12, mode="wrap")
        self._smooth = (smooth / smooth.std()).astype(np.float32)
        self._noise = random.standard_normal((CELL_PX, CELL_PX)).astype(np.float32) * np.float32(0.01)
        self.side_px, self.product = side_px, product

    def block(self, box: Box) -> np.ndarray | None:
        """Return the pixels of a part of one cell, or None where all is sea."""
        half = self.side_px / 2
        y = (np.arange(box.y0, box.y1, dtype=np.float32)[:, None] - half) / (0.98 * half)
        x = (np.arange(box.x0, box.x1, dtype=np.float32)[None, :] - half) / (0.75 * half)
        land = y * y + x * x < 1
        if not land.any():
            return None
        shift = (box.y0 // CELL_PX * 331, box.x0 // CELL_PX * 577)  # no cell is that beside it
        rows, cols = (slice(a % CELL_PX, a % CELL_PX + n) for a, n in ((box.y0, box.height), (box.x0, box.width)))
        logit = np.roll(self._smooth, shift, (0, 1))[rows, cols] * 3 - 4 + self._noise[rows, cols]
        if self.product == "class":
            return np.where(land, (logit >= 0).astype(np.uint8), np.uint8(NO_CLASS))
        return np.where(land, 1 / (1 + np.exp(-logit)), np.float32("nan"))

    def blocks(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield what `write_cog` takes, cell by cell."""
        for box in written_parts(Box(0, 0, self.side_px, self.side_px)):
            block = self.block(box)
            if block is not None:
                yield box.y0, box.x0, block


def write(path: Path, side_px: int, product: str) -> dict[str, float]:
    """Write a product and return what it took."""
    prepare_worker()
    started, country = time.monotonic(), Country(side_px, product)
    spec = replace(specs_of(("industrial",))[product], tags={})
    threads, side = os.cpu_count() or 1, {"height": side_px, "width": side_px}
    write_cog(path, spec, **side, crs=CRS, transform=ORIGIN, blocks=country.blocks(), threads=threads)
    return {"seconds": time.monotonic() - started, "peak_bytes": peak_memory_bytes(), "file_bytes": path.stat().st_size}


def check(path: Path, side_px: int, product: str) -> dict[str, float]:
    """Validate a product, compare it with what was written, and return what that took.

    Raises:
        SystemExit: it is not valid, or holds anything else.
    """
    from rio_cogeo.cogeo import cog_validate

    prepare_worker()
    started, country, random = time.monotonic(), Country(side_px, product), np.random.default_rng(1)
    valid, errors, warnings = cog_validate(str(path), strict=True, quiet=True)
    if not valid or errors or warnings:
        raise SystemExit(f"{path} is no valid COG: {errors} {warnings}")
    with rasterio.open(path, driver="GTiff") as data:
        if (data.height, data.width, data.crs.to_epsg(), data.transform) != (side_px, side_px, 5179, ORIGIN):
            raise SystemExit(f"{path} lies elsewhere: {data.profile}")
        for corner in random.integers(0, side_px - 300, (WINDOWS, 2)).tolist():
            cell = [at // CELL_PX * CELL_PX for at in corner]
            end = [min(at + 300, c + CELL_PX, side_px) for at, c in zip(corner, cell, strict=True)]
            box = Box(*corner, *end)
            expected = country.block(box)
            found = data.read(1, window=Window(box.x0, box.y0, box.width, box.height))
            nothing = np.full(found.shape, data.nodata, found.dtype)
            if not np.array_equal(found, nothing if expected is None else expected, equal_nan=product != "class"):
                raise SystemExit(f"{path} holds something else at {box}")
        factors = data.overviews(1)
        coarse = data.read_masks(1, out_shape=(64, 64))
        if abs((coarse > 0).mean() - math.pi / 4 * 0.98 * 0.75) > 0.03:
            raise SystemExit(f"the overviews of {path} do not show the country: {(coarse > 0).mean():.3f} is land")
    return {
        "seconds": time.monotonic() - started,
        "peak_bytes": peak_memory_bytes(),
        "overviews": len(factors),
        "windows": WINDOWS,
    }


def measure(folder: Path, side_px: int, product: str) -> dict[str, object]:
    """Write and check one product, each in a process of its own; its file is removed."""
    path = folder / f"{product}-{side_px}.tif"
    row: dict[str, object] = {"product": product, "side_px": side_px}
    try:
        for step in ("write", "check"):
            command = [sys.executable, __file__, "--step", step, str(path), str(side_px), product]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            row[step] = json.loads(done.stdout)
    finally:
        path.unlink(missing_ok=True)
    return row


def table(rows: list[dict]) -> str:
    """Return the rows for people."""
    lines = ["| product | side, px | written in, s | peak, GB | file, GB | overviews | checked in, s | peak, GB |"]
    lines.append("| --- |" + " --- |" * 7)
    for row in rows:
        made, seen = row["write"], row["check"]
        lines.append(
            f"| {row['product']} | {row['side_px']:,} | {made['seconds']:.0f} | {made['peak_bytes'] / 1e9:.2f} | "
            f"{made['file_bytes'] / 1e9:.2f} | {seen['overviews']} | {seen['seconds']:.0f} | "
            f"{seen['peak_bytes'] / 1e9:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="pixels a side")
    parser.add_argument("--products", nargs="+", choices=PRODUCTS, default=PRODUCTS)
    parser.add_argument("--folder", type=Path, default=Path("runs/country_cog"), help="where there is room on a disk")
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step, path, side, product = arguments.step
        print(json.dumps({"write": write, "check": check}[step](Path(path), int(side), product)))
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows = [measure(arguments.folder, side, product) for side in arguments.sides for product in arguments.products]
    print(table(rows))
    facts = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(), "rows": rows}
    RESULT.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
