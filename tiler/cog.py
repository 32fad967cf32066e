"""Map products as Cloud-Optimized GeoTIFFs, written block by block, however large the country is.

A COG cannot be written as a stream: its overviews lie before the full-size pixels. So the blocks go to a plain
tiled GeoTIFF in a scratch folder beside the product, GDAL's COG driver turns that into the product, and a
rename makes it visible. A reader sees the whole product or none of it.

Memory stays at one block plus GDAL's cache (`CACHE_MB`); the disk holds the raster uncompressed for a while.
"""

import contextlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import DatasetWriter
from rasterio.windows import Window

BLOCK_PX = 512
CACHE_MB = 256  # GDAL's default is 5 % of the machine, which is too much where sixty workers share one
RESAMPLINGS = ("average", "nearest", "mode")

Block = tuple[int, int, NDArray]
Color = tuple[int, int, int, int]
CLASS_COLORS: dict[int, Color] = {0: (228, 228, 224, 255), 1: (190, 24, 93, 255)}


@dataclass(frozen=True)
class CogSpec:
    """What one product holds. See `PRODUCTS`; `dataclasses.replace` makes a variant (more classes, more tags)."""

    name: str
    dtype: str
    """numpy name of the pixel type."""
    nodata: float
    """The value of a pixel of which nothing is known; NaN for floats. Never a value that means something."""
    resampling: str
    """How overviews are made: one of `RESAMPLINGS`."""
    colors: Mapping[int, Color] | None = None
    """Red, green, blue, alpha (0-255) for each value; a block with a value outside this table is refused."""
    description: str = ""
    """One sentence for people; becomes the band's description."""
    unit: str = ""
    """Unit of the pixel values, empty for pure numbers."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Further metadata of the file."""

    def __post_init__(self) -> None:
        """Refuse a specification that could not be written faithfully."""
        if self.resampling not in RESAMPLINGS:
            known = ", ".join(RESAMPLINGS)
            raise ValueError(f"product {self.name!r}: overviews by {self.resampling!r} asked, known are {known}")
        limits = np.iinfo(self.dtype) if np.issubdtype(self.dtype, np.integer) else np.finfo(self.dtype)
        if not (np.isnan(self.nodata) or limits.min <= self.nodata <= limits.max):
            raise ValueError(f"product {self.name!r}: nodata {self.nodata} is no {self.dtype}; choose another one")
        if self.colors is not None and self.dtype != "uint8":
            raise ValueError(f"product {self.name!r}: colour table on {self.dtype} asked; store its codes as uint8")


PRODUCTS: dict[str, CogSpec] = {
    "probability": CogSpec(
        "probability", "float32", math.nan, "average", description="Probability of the class, 0 to 1"
    ),
    "class": CogSpec(
        "class", "uint8", 255, "mode", CLASS_COLORS, description="Class of the pixel: 0 background, 1 the class"
    ),
    "spread": CogSpec(
        "spread",
        "float32",
        math.nan,
        "average",
        None,
        "Standard deviation of logits over networks and views",
        "logit",
    ),
    # 0 is an answer of `count` ("no scene saw this pixel"), so "outside the map" needs a value of its own.
    "count": CogSpec(
        "count", "uint16", 65535, "nearest", None, "Scenes that saw the pixel: 0 none, 65535 outside the map", "scenes"
    ),
}


@dataclass(frozen=True)
class BandStatistics:
    """Count, mean, spread and range of pixels, in float64; two of them merge into that of both sets."""

    count: int = 0
    """Valid pixels."""
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""
    minimum: float = float("inf")
    maximum: float = float("-inf")

    @classmethod
    def of(cls, values: NDArray) -> "BandStatistics":
        """Statistics of `values`, any shape, all of them valid."""
        if values.size == 0:
            return cls()
        wide = values.astype(np.float64)
        mean = float(wide.mean())
        return cls(values.size, mean, float(((wide - mean) ** 2).sum()), float(wide.min()), float(wide.max()))

    def merge(self, other: "BandStatistics") -> "BandStatistics":
        """Statistics of both sets of pixels together (Chan, Golub and LeVeque 1979: no cancellation)."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        count = self.count + other.count
        step = other.mean - self.mean
        return BandStatistics(
            count=count,
            mean=self.mean + step * other.count / count,
            squares=self.squares + other.squares + step**2 * self.count * other.count / count,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
        )

    @property
    def stddev(self) -> float:
        """Standard deviation of the pixels (of the population, as GDAL's), 0 where there are none."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0

    def tags(self, total_px: int) -> dict[str, str]:
        """GDAL's metadata items, for a raster of `total_px` pixels.

        Nine digits: enough for anyone, and the order in which blocks arrived (the last bits of a float64 sum)
        does not show in the file.
        """
        share = {"STATISTICS_VALID_PERCENT": f"{100 * self.count / total_px:.4g}"}
        if self.count == 0:
            return share
        numbers = {"MINIMUM": self.minimum, "MAXIMUM": self.maximum, "MEAN": self.mean, "STDDEV": self.stddev}
        return {f"STATISTICS_{key}": f"{value:.9g}" for key, value in numbers.items()} | share


def write_cog(
    path: Path,
    spec: CogSpec,
    *,
    height: int,
    width: int,
    crs: str,
    transform: Affine,
    blocks: Iterable[Block],
    threads: int = 1,
) -> BandStatistics:
    """Write one product to `path` (a local file) from blocks in any order; return the statistics of its pixels.

    `height` and `width` are in pixels; `crs` is WKT (or anything rasterio understands). A block is
    `(y0_px, x0_px, array (y, x))` of a type that casts safely to `spec.dtype`. Blocks must not overlap; where none
    comes, the product says nodata. Same pixels, same bytes: neither cut nor order of the blocks leaves a trace.
    `threads` is for compression. Raises ValueError for a block that does not fit; then, as after any other error,
    `path` is as it was before.
    """
    if height < 1 or width < 1:
        raise ValueError(f"{path}: asked for {height} x {width} px; both sides must be at least 1 px")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"height": height, "width": width, "crs": CRS.from_user_input(crs), "transform": transform}
    with _scratch_folder(path) as scratch, rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
        plain, cog = scratch / "plain.tif", scratch / "cog.tif"
        statistics = _write_plain(plain, spec, profile, blocks)
        _convert(plain, cog, spec, _overview_count(height, width), threads)
        _publish(cog, path)
    return statistics


@contextlib.contextmanager
def _scratch_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path`: the same file system, so the last step is a rename; always removed."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_plain(path: Path, spec: CogSpec, profile: dict, blocks: Iterable[Block]) -> BandStatistics:
    """Write the blocks into a sparse tiled GeoTIFF; a tile that no block touches takes no disk and reads nodata."""
    profile |= {"count": 1, "dtype": spec.dtype, "nodata": spec.nodata, "sparse_ok": True, "bigtiff": "IF_SAFER"}
    profile |= {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX}
    height, width = profile["height"], profile["width"]
    statistics = BandStatistics()
    with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
        _describe(dataset, spec)
        for y0, x0, block in blocks:
            valid = block[_checked(spec, y0, x0, block, height, width)]
            statistics = statistics.merge(BandStatistics.of(valid))
            window = Window(x0, y0, block.shape[1], block.shape[0])
            dataset.write(block.astype(spec.dtype, copy=False), 1, window=window)
        dataset.update_tags(1, **statistics.tags(height * width))
    return statistics


def _describe(dataset: DatasetWriter, spec: CogSpec) -> None:
    """Names, units and colours; before the first pixel, because the colour table is part of the layout."""
    if spec.colors is not None:
        dataset.write_colormap(1, dict(spec.colors))
    dataset.set_band_description(1, spec.description or spec.name)
    dataset.set_band_unit(1, spec.unit)
    dataset.update_tags(AREA_OR_POINT="Area", PRODUCT=spec.name, **spec.tags)


def _checked(spec: CogSpec, y0: int, x0: int, block: NDArray, height: int, width: int) -> NDArray[np.bool_]:
    """Where the block is valid, (y, x) bool; ValueError where the block cannot be part of this product."""
    where = f"product {spec.name!r}, block at row {y0}, column {x0}"
    if block.ndim != 2 or not np.can_cast(block.dtype, spec.dtype, "safe"):
        asked, found = f"a (y, x) array that casts safely to {spec.dtype}", f"{block.ndim} dimensions of {block.dtype}"
        raise ValueError(f"{where}: asked for {asked}; found {found}; convert it before writing")
    if y0 < 0 or x0 < 0 or y0 + block.shape[0] > height or x0 + block.shape[1] > width:
        raise ValueError(f"{where}: {block.shape} px reach outside the raster of {height} x {width} px; crop it")
    valid = ~np.isnan(block) if np.isnan(spec.nodata) else block != spec.nodata
    if np.issubdtype(block.dtype, np.floating) and np.isinf(block).any():
        raise ValueError(f"{where}: found infinite values; mark missing pixels as {spec.nodata}")
    if spec.colors is not None and not np.isin(block[valid], list(spec.colors)).all():
        strangers, known = sorted(set(np.unique(block[valid]).tolist()) - set(spec.colors))[:5], sorted(spec.colors)
        raise ValueError(f"{where}: found {strangers}, but the colour table knows {known}; add colours to the spec")
    return valid


def _overview_count(height: int, width: int) -> int:
    """Halve until one block holds the raster; no oftener than the width can be, from which readers tell levels."""
    return min(max(0, math.ceil(math.log2(max(height, width) / BLOCK_PX))), width.bit_length() - 1)


def _convert(plain: Path, cog: Path, spec: CogSpec, overview_count: int, threads: int) -> None:
    """Let GDAL's COG driver lay out tiles, overviews and header."""
    rasterio.shutil.copy(
        plain,
        cog,
        driver="COG",
        blocksize=BLOCK_PX,
        compress="DEFLATE",  # every GeoTIFF reader has it; zstd is a little smaller and unknown to many
        predictor="YES",
        resampling=spec.resampling.upper(),
        **({"overview_count": str(overview_count)} if overview_count else {"overviews": "NONE"}),
        bigtiff="IF_SAFER",
        num_threads=str(threads),
    )


def _publish(cog: Path, path: Path) -> None:
    """Make the file durable, then visible under its name."""
    with open(cog, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(cog, path)
