"""Placing files: where a raster lies on the Earth, and where on the pixels of its scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from tiler.grids import Box, PixelGrid, same_crs
from tiler.landsat import landsat_metadata_grid
from tiler.rasters import Header, read_header
from tiler.suspect import is_on_earth


def locate(
    scene: str, header: Header, crs: str | None, georeference: str | None, georeferenced: Sequence[Header]
) -> PixelGrid:
    """Return where a file lies: its own georeference, the setting, a sidecar, or a label of the same shape.

    Args:
        scene: id of the scene, for errors.
        header: of the file.
        crs: the user's CRS for files that have a transform but no CRS.
        georeference: the user's raster of the same size whose place the file takes.
        georeferenced: headers of labels: one of the same stem and size, or the only one if it has the same size.

    Raises:
        ValueError: the file lies nowhere, or `georeference` does not fit it.
    """
    if header.grid is not None and crs is None and georeference is None:
        return header.grid
    if crs is not None and not is_on_earth(crs):
        raise ValueError(
            f"scene {scene}: its `crs` {crs[:200]!r} is unknown, or local, and says not where on the Earth it lies; "
            f"give one like EPSG:32652"
        )
    if georeference is not None:
        other = read_header(georeference)
        if other.grid is None or (other.height, other.width) != (header.height, header.width):
            raise ValueError(
                f"scene {scene}: georeference {georeference} is {other.height} x {other.width} px, CRS "
                f"{'present' if other.grid else 'absent'}; {header.path} is "
                f"{header.height} x {header.width}: give one that fits"
            )
        return other.grid
    if header.transform is not None and crs is not None:
        return PixelGrid(crs, header.transform, header.height, header.width)
    sidecar = landsat_metadata_grid(header.path, header.height, header.width)
    if sidecar is not None:
        return sidecar
    stem = PurePosixPath(header.path).stem
    fitting = [g for g in georeferenced if g.grid is not None and (g.height, g.width) == (header.height, header.width)]
    named = [g for g in fitting if PurePosixPath(g.path).stem == stem] or (fitting if len(georeferenced) == 1 else [])
    if named and named[0].grid is not None:
        return named[0].grid
    raise ValueError(
        f"scene {scene}: {header.path} has no CRS and no transform that say where on the Earth it lies, and neither a "
        f"sidecar (world file with .aux.xml, *_MTL.txt) nor a label of its name and size has one; set `crs` or "
        f"`georeference` of the scene"
    )


def box_on(scene: str, path: str, first: PixelGrid, grid: PixelGrid) -> Box:
    """Return the place of a piece on the pixels of the first one.

    Raises:
        ValueError: it has another CRS or resolution, or lies between their pixels.
    """
    row, col = first.offset_of(grid)
    linear = max(abs(p - q) for p, q in zip(_linear(first), _linear(grid), strict=True))
    apart = max(abs(row - round(row)), abs(col - round(col)))
    extent = max(grid.height, grid.width)
    if not same_crs(first.crs, grid.crs) or linear * extent > 0.01 * max(first.resolution) or apart > 0.01:
        raise ValueError(
            f"scene {scene}: {path} does not lie on the pixels of its other files (its origin is at row {row:.3f}, "
            f"column {col:.3f} of theirs, resolution {grid.resolution} against {first.resolution}); resample it, or "
            f"make it a scene of its own"
        )
    return Box(round(row), round(col), round(row) + grid.height, round(col) + grid.width)


def _linear(grid: PixelGrid) -> tuple[float, ...]:
    return grid.transform[:2] + grid.transform[3:5]
