"""Opening raster files: which drivers, where a file lies, whether it is whole, and still what it was.

A file is only ever opened with the driver its suffix names: older GDAL follows a VRT in disguise to other local files.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.hushed import hushed
from tiler.remote import reached, remote
from tiler.suspect import check_file, check_shape, check_transform, is_on_earth

# rasterio and isal are imported where a file is opened: Infer reads scene stores on machines that may have neither.
if TYPE_CHECKING:
    import rasterio

    from tiler.tiff_blocks import TiffBlocks

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG", ".img": "HFA", ".png": "PNG"}
"""Suffix to GDAL driver."""


ZIPPED = "/vsizip/"
"""What GDAL's path of a member of a zip begins with; the member's suffix names the driver all the same."""


STORES = ("s3://", "gs://")
"""Where the neighbours of a file (.aux.xml, world files) count as they do on a disk."""


CACHE_BYTES = 64 * 2**20
"""Of GDAL, in a worker: enough for the tiles under a window, and always the same memory."""
OPEN_FILES = 16
"""Files that a thread keeps open between windows."""


@contextmanager
def open_raster(path: str) -> Iterator[rasterio.DatasetReader]:
    """Open a raster file for reading.

    Raises:
        ValueError: the suffix is unknown, the file is absent, not of its kind, or not permitted.
    """
    with _open(path) as dataset:
        yield dataset


def _open(path: str) -> rasterio.DatasetReader:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    driver = DRIVERS.get(PurePosixPath(path).suffix.lower())
    if driver is None:
        raise ValueError(f"cannot tell the format of {path!r} from its suffix; known are {sorted(DRIVERS)}")
    place = path
    if "://" not in path and not path.startswith(ZIPPED):
        check_file(path)
        place = os.path.abspath(path)  # a folder may be called "http:"
    with hushed(NotGeoreferencedWarning), _alone(path):  # a missing georeference gets an error of its own
        try:
            return rasterio.open(place, driver=driver)
        except (RasterioError, OSError) as error:
            raise ValueError(f"{path} cannot be opened as {driver}: {error}; replace or remove the file") from error


def _alone(path: str) -> AbstractContextManager[object]:
    """Return in which context GDAL opens a file: a local one sends for nothing, one of a host for itself alone."""
    import rasterio

    if path.startswith(STORES):
        return rasterio.Env(**_endpoint())
    if "://" in path:
        return rasterio.Env(CPL_VSIL_CURL_ALLOWED_FILENAME=f"/vsicurl/{path}", GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")
    return rasterio.Env(CPL_VSIL_CURL_ALLOWED_FILENAME="none")


def _endpoint() -> dict[str, str]:
    """Return what GDAL calls the endpoint that the environment names for all others, unless it names GDAL's, too."""
    url = urlsplit(os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or "")
    if not url.netloc or "AWS_S3_ENDPOINT" in os.environ:
        return {}
    hosted = os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true"
    https, virtual = "YES" if url.scheme == "https" else "NO", "TRUE" if hosted else "FALSE"
    return {"AWS_S3_ENDPOINT": url.netloc, "AWS_HTTPS": https, "AWS_VIRTUAL_HOSTING": virtual}


def limit_block_cache() -> None:
    """Cap GDAL's cache of blocks in this process, unless the environment does: by default it is 5 % of the machine.

    Blocks of files that are kept open would fill all of it; memory that is used again is also faster than fresh one.
    """
    import rasterio

    if "GDAL_CACHEMAX" not in os.environ:
        rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES).__enter__()  # in bytes here; for the rest of the process


class _Kept(threading.local):
    """Files that this thread keeps open: a dataset of GDAL must not be shared."""

    def __init__(self) -> None:
        self.opened = lru_cache(maxsize=OPEN_FILES)(lambda path, version, form: _open_again(path, form))

    def file(self, path: str, form: Form | None) -> tuple[rasterio.DatasetReader, TiffBlocks | None]:
        """Return an open file, anew if it has changed since, and its blocks where these need no GDAL."""
        try:
            version = "" if "://" in path else fingerprint(path)
        except OSError:
            version = ""  # opening it says what is wrong
        return self.opened(path, version, form)


_KEPT = _Kept()


def _open_again(path: str, form: Form | None) -> tuple[rasterio.DatasetReader, TiffBlocks | None]:
    from tiler.tiff_blocks import tiff_blocks

    data = _open(path)
    found = _form(path, data)
    if form is not None and found != form:
        data.close()
        raise ValueError(f"{path} was {form} when the run was planned, and is {found} now; repeat the command")
    return data, tiff_blocks(path, data)


def fingerprint(path: str) -> str:
    """Return what identifies a file's content without reading it: ETag, or size and time of the last change."""
    if "://" in path:
        scheme, rest = path.split("://", 1)
        bucket, _, key = rest.partition("/")
        with reached(path):
            meta = remote(f"{scheme}://{bucket}").head(key)
        return f"{path}|{meta['size']}|{meta['e_tag']}"
    stat = _container(path).stat()
    return f"{Path(path).name}|{stat.st_size}|{stat.st_mtime_ns}"


def _container(path: str) -> Path:
    """Return the local file that holds a raster: itself, or the zip that it is a member of."""
    place = Path(path)
    if path.startswith(ZIPPED):
        inner = Path(path.removeprefix(ZIPPED))
        place = next((p for p in inner.parents if p.suffix.lower() == ".zip"), inner)
    return place


def digest(texts: Sequence[str]) -> str:
    """Return one sha256 of several texts, in order."""
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode() + b"\0")
    return whole.hexdigest()


@dataclass(frozen=True)
class Form:
    """What a raster file is like: GDAL would stretch and clip what another one holds into the place of the first."""

    height: int
    width: int
    bands: int
    dtype: str
    size_bytes: int
    """0 where it is not known."""

    def __str__(self) -> str:
        return f"{self.bands} x {self.height} x {self.width} {self.dtype} in {self.size_bytes} bytes"


def _form(path: str, data: rasterio.DatasetReader) -> Form:
    size = 0 if "://" in path or path.startswith(ZIPPED) else Path(path).stat().st_size
    return Form(data.height, data.width, data.count, data.dtypes[0], size)


@dataclass(frozen=True)
class Header:
    """What the header of a raster file says."""

    path: str
    grid: PixelGrid | None
    """None where the file has no transform, or no CRS that says where on the Earth it lies."""
    transform: tuple[float, float, float, float, float, float] | None
    """None where the file has none."""
    height: int
    width: int
    bands: int
    dtype: str
    nodata: float | None
    size_bytes: int

    @property
    def form(self) -> Form:
        """What the file must still be like when it is read."""
        return Form(self.height, self.width, self.bands, self.dtype, self.size_bytes)

    def read(self, bands: Sequence[int], at: Box) -> np.ndarray:
        """Read bands of a rectangle of the file, which must be of the same form still; see `read_window`."""
        return read_window(self.path, bands, at.y0, at.x0, at.height, at.width, form=self.form)


def read_header(path: str) -> Header:
    """Read a file's header, and its first and last block, so that a truncated file is found before any work starts.

    Raises:
        ValueError: the file cannot be opened or its blocks cannot be read.
    """
    with open_raster(path) as data:
        form = _form(path, data)
        check_shape(path, data, form.size_bytes)
        _probe(path, data)
        transform = None if data.transform.is_identity else tuple(data.transform)[:6]
        grid = None
        if transform is not None:
            check_transform(path, transform)
        if data.crs is not None and transform is not None and is_on_earth(data.crs.to_wkt()):
            grid = PixelGrid(data.crs.to_wkt(), transform, data.height, data.width)
        return Header(
            path, grid, transform, form.height, form.width, form.bands, form.dtype, data.nodata, form.size_bytes
        )


def _probe(path: str, data: rasterio.DatasetReader) -> None:
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    block_h, block_w = data.block_shapes[0]
    last_row, last_col = (data.height - 1) // block_h * block_h, (data.width - 1) // block_w * block_w
    for row, col in {(0, 0), (last_row, last_col)}:
        window = Window(col, row, min(block_w, data.width - col), min(block_h, data.height - row))
        try:
            data.read(window=window)
        except RasterioError as error:
            raise ValueError(
                f"{path} is damaged: its block at row {row}, column {col} cannot be read ({error}); replace the file"
            ) from error


def read_window(
    path: str,
    bands: Sequence[int],
    row: int,
    col: int,
    height: int,
    width: int,
    out: np.ndarray | None = None,
    *,
    form: Form | None = None,
) -> np.ndarray:
    """Read bands (counted from 1) of a pixel window, as (band, y, x) in the file's own dtype, or into `out`.

    Args:
        path: of the file.
        bands: their numbers.
        row: first of the window.
        col: first of the window.
        height: of the window, which lies inside the file.
        width: of the window.
        out: where the pixels go; none: fresh memory.
        form: what the file was like when its header was read; none: not compared.

    Raises:
        ValueError: the file cannot be read there, or is of another form by now.
    """
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    data, blocks = _KEPT.file(path, form)
    if blocks is not None:
        pixels = np.empty((len(bands), height, width), data.dtypes[0]) if out is None else out
        if blocks.read(bands, Box(row, col, row + height, col + width), pixels):
            return pixels
    try:
        return np.asarray(data.read(list(bands), window=Window(col, row, width, height), out=out))
    except RasterioError as error:
        raise ValueError(f"{path} cannot be read at row {row}, column {col}: {error}; replace the file") from error
