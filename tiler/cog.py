"""Map products as Cloud-Optimized GeoTIFFs, written block by block, however large the country is.

A COG cannot be written as a stream: its overviews lie before the full-size pixels. So the blocks go to a plain
tiled GeoTIFF in a scratch folder beside the product, GDAL's COG driver turns that into the product, and a
rename makes it visible. A reader sees the whole product or none of it.

Memory stays at one block plus GDAL's cache, which is limited; the disk holds the raster uncompressed for a while.
"""

import contextlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from tiler.classes import Color
from tiler.rasters import limit_block_cache

BLOCK_PX = 512
RESAMPLINGS = ("average", "nearest", "mode")

Block = tuple[int, int, NDArray]


@dataclass(frozen=True)
class CogSpec:
    """What one product holds. `tiler.product_specs` has the table of them."""

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
    """One sentence for people; becomes the band's description where `bands` are not named."""
    unit: str | Sequence[str] = ""
    """Unit of the pixel values, empty for pure numbers; one for each of `bands`, where they differ."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Further metadata of the file."""
    bands: Sequence[str] = ()
    """Names of the bands, where there are several; blocks are (band, y, x) then."""

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
        if self.colors is not None and self.bands:
            raise ValueError(f"product {self.name!r}: colour table on {len(self.bands)} bands asked; colours need one")
        if not isinstance(self.unit, str) and len(self.unit) != len(self.bands):
            raise ValueError(f"product {self.name!r}: {len(self.bands)} bands have {len(self.unit)} units; name each")

    @property
    def band_names(self) -> Sequence[str]:
        """The description of each band."""
        return self.bands or (self.description or self.name,)

    @property
    def band_units(self) -> Sequence[str]:
        """The unit of each band."""
        return [self.unit] * len(self.band_names) if isinstance(self.unit, str) else self.unit


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
    def of(cls, values: NDArray, nodata: float = math.nan) -> "BandStatistics":
        """Statistics of `values`, any shape, but for those that are NaN or `nodata`."""
        from tiler.counts import moments

        flat = np.ascontiguousarray(values).ravel()
        count, mean, squares = moments(flat, float(nodata))
        if not count:
            return cls()
        limits = np.iinfo(flat.dtype) if np.issubdtype(flat.dtype, np.integer) else np.finfo(flat.dtype)
        there: dict[str, Any] = {} if math.isnan(nodata) else {"where": flat != nodata}
        low = np.fmin.reduce(flat, initial=limits.max, **there)
        return cls(count, mean, squares, float(low), float(np.fmax.reduce(flat, initial=limits.min, **there)))

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

    def to_json(self) -> dict[str, float | None]:
        """Return plain numbers that are read back exactly; no pixels have no range."""
        return asdict(self) | ({} if self.count else {"minimum": None, "maximum": None})

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "BandStatistics":
        """Read back what `to_json` gave."""
        return cls(**facts) if facts["count"] else cls()

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
) -> tuple[BandStatistics, ...]:
    """Write one product to `path` (a local file) from blocks in any order; return the statistics of each band's pixels.

    `height` and `width` are in pixels; `crs` is WKT (or anything rasterio understands). A block is
    `(y0_px, x0_px, array (y, x))`, or `(band, y, x)` where the product names its bands, of a type that casts safely
    to `spec.dtype`. Blocks must not overlap; where none comes, the product says nodata. Same pixels, same bytes:
    neither cut nor order of the blocks leaves a trace. `threads` is for compression. Raises ValueError for a block
    that does not fit; then, as after any other error, `path` is as it was before.
    """
    if height < 1 or width < 1:
        raise ValueError(f"{path}: asked for {height} x {width} px; both sides must be at least 1 px")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"height": height, "width": width, "crs": CRS.from_user_input(crs), "transform": transform}
    limit_block_cache()  # not within an Env of our own: leaving it would lift the limit for products on other threads
    with _scratch_folder(path) as scratch:
        plain, cog = scratch / "plain.tif", scratch / "cog.tif"
        statistics = _write_plain(plain, spec, profile, blocks)
        _convert(plain, cog, spec, overview_count(height, width), threads)
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


def _write_plain(path: Path, spec: CogSpec, profile: dict, blocks: Iterable[Block]) -> tuple[BandStatistics, ...]:
    """Write the blocks into a sparse tiled GeoTIFF; a tile that no block touches takes no disk and reads nodata."""
    profile |= {"count": len(spec.band_names), "dtype": spec.dtype, "nodata": spec.nodata, "bigtiff": "IF_SAFER"}
    profile |= {"sparse_ok": True, "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX}
    height, width = profile["height"], profile["width"]
    statistics = [BandStatistics() for _ in spec.band_names]
    with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
        _describe(dataset, spec)
        for y0, x0, block in blocks:
            found = _checked(spec, y0, x0, block, height, width)
            planes = block if spec.bands else block[None]
            statistics = [before.merge(here) for before, here in zip(statistics, found, strict=True)]
            window = Window(x0, y0, planes.shape[2], planes.shape[1])
            dataset.write(planes.astype(spec.dtype, copy=False), window=window)
        for band, whole in enumerate(statistics, start=1):
            dataset.update_tags(band, **whole.tags(height * width))
    return tuple(statistics)


def _describe(dataset: DatasetWriter, spec: CogSpec) -> None:
    """Names, units and colours; before the first pixel, because the colour table is part of the layout."""
    if spec.colors is not None:
        dataset.write_colormap(1, dict(spec.colors))
    for band, (name, unit) in enumerate(zip(spec.band_names, spec.band_units, strict=True), start=1):
        dataset.set_band_description(band, name)
        dataset.set_band_unit(band, unit)
    about = {"TIFFTAG_IMAGEDESCRIPTION": spec.description} if spec.bands else {}
    dataset.update_tags(AREA_OR_POINT="Area", PRODUCT=spec.name, **about, **spec.tags)


def _checked(spec: CogSpec, y0: int, x0: int, block: NDArray, height: int, width: int) -> list[BandStatistics]:
    """Statistics of each plane of a block; ValueError where the block cannot be part of this product."""
    where = f"product {spec.name!r}, block at row {y0}, column {x0}"
    lead = (len(spec.bands),) if spec.bands else ()
    if block.ndim != len(lead) + 2 or block.shape[:-2] != lead or not np.can_cast(block.dtype, spec.dtype, "safe"):
        asked = f"a {'(band, y, x)' if lead else '(y, x)'} array that casts safely to {spec.dtype}"
        count = f", one plane for each of {list(spec.bands)}" if lead else ""
        found = f"{block.ndim} dimensions {block.shape} of {block.dtype}"
        raise ValueError(f"{where}: asked for {asked}{count}; found {found}; convert it before writing")
    if y0 < 0 or x0 < 0 or y0 + block.shape[-2] > height or x0 + block.shape[-1] > width:
        raise ValueError(f"{where}: {block.shape[-2:]} px reach outside the raster of {height} x {width} px; crop it")
    block = block.astype(spec.dtype, copy=False)
    statistics = [BandStatistics.of(plane, spec.nodata) for plane in (block if spec.bands else block[None])]
    if any(one.count and not np.isfinite([one.minimum, one.maximum]).all() for one in statistics):
        raise ValueError(f"{where}: found infinite values; mark missing pixels as {spec.nodata}")
    if spec.colors is not None:
        known, values = sorted(spec.colors), np.flatnonzero(np.bincount(block.ravel(), minlength=256))
        strangers = np.setdiff1d(values, [*known, spec.nodata])[:5].tolist()
        if strangers:
            raise ValueError(f"{where}: found {strangers}, but the colour table knows {known}; add colours to the spec")
    return statistics


def overview_count(height: int, width: int) -> int:
    """Return how often a raster is halved until one block holds it.

    No oftener than the width can be, from which readers tell levels.
    """
    return min(max(0, math.ceil(math.log2(max(height, width) / BLOCK_PX))), width.bit_length() - 1)


def _convert(plain: Path, cog: Path, spec: CogSpec, overview_count: int, threads: int) -> None:
    """Let GDAL's COG driver lay out tiles, overviews and header."""
    rasterio.shutil.copy(
        plain,
        cog,
        driver="COG",
        blocksize=BLOCK_PX,
        compress="DEFLATE",  # every GeoTIFF reader has it; zstd is a little smaller and unknown to many
        # Noise in the last bits leaves little to find: more effort takes 1.7 times as long for 2 % of the size.
        level="1" if np.issubdtype(spec.dtype, np.floating) else "6",
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
