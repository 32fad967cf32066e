"""A raster that is many files: GDAL's virtual format, written as text. Readers see one product over its parts.

GDAL itself is not asked: its own VRT builder opens every file, and rasterio has none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from affine import Affine

from tiler.classes import Color
from tiler.cog import BLOCK_PX, BandStatistics, CogSpec, overview_count
from tiler.grids import Box

TYPES = {"uint8": "Byte", "uint16": "UInt16", "int32": "Int32", "float32": "Float32"}
"""numpy's name of a pixel type to GDAL's."""


SUFFIX = ".vrt"


def driver_of(path: Path) -> str:
    """Return GDAL's name of what a product is, by the name of its file: one GeoTIFF, or virtual.

    It is named at every open: left to guess, GDAL follows whatever a file says it is.
    """
    return "VRT" if path.suffix == SUFFIX else "GTiff"


@dataclass(frozen=True)
class VrtPart:
    """One file of a virtual raster."""

    href: str
    """Seen from the folder of the virtual raster."""
    box: Box
    """Its pixels in the whole."""


def write_vrt(
    path: Path,
    spec: CogSpec,
    *,
    height: int,
    width: int,
    crs: str,
    transform: Affine,
    parts: Sequence[VrtPart],
    statistics: Sequence[BandStatistics],
) -> None:
    """Write a product whose pixels lie in other files; where none is, it says nodata.

    Args:
        path: where; it appears whole or not at all.
        spec: of the product, as its parts were written.
        height: of the whole, in pixels.
        width: of the whole, in pixels.
        crs: WKT.
        transform: of the whole.
        parts: its files, which do not overlap.
        statistics: of each band, over all parts.
    """
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    _text(root, "SRS", crs)  # without a word on axes x comes first, as in every GeoTIFF
    _text(root, "GeoTransform", ", ".join(f"{value:.17g}" for value in transform.to_gdal()))
    about = {"TIFFTAG_IMAGEDESCRIPTION": spec.description} if spec.bands else {}
    _metadata(root, {"AREA_OR_POINT": "Area", "PRODUCT": spec.name, **about, **spec.tags})
    for number, found in enumerate(statistics, start=1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType=TYPES[spec.dtype], band=str(number))
        _metadata(band, found.tags(height * width))
        _text(band, "Description", spec.band_names[number - 1])
        _text(band, "UnitType", spec.band_units[number - 1])
        _text(band, "NoDataValue", "nan" if math.isnan(spec.nodata) else str(int(spec.nodata)))
        _text(band, "ColorInterp", "Palette" if spec.colors else "Gray" if number == 1 else "Undefined")
        if spec.colors:
            _colors(band, spec.colors)
        for part in parts:
            _source(band, part, number, TYPES[spec.dtype])
    levels = [str(2**level) for level in range(1, overview_count(height, width) + 1)]
    if levels:  # nothing is stored: GDAL reads the overviews of the parts
        _text(root, "OverviewList", " ".join(levels), resampling=spec.resampling)
    beside = path.with_name(f".{path.name}")
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(beside, encoding="UTF-8")
    os.replace(beside, path)


def _text(parent: ElementTree.Element, name: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, name, attributes).text = text


def _metadata(parent: ElementTree.Element, items: Mapping[str, str]) -> None:
    found = ElementTree.SubElement(parent, "Metadata")
    for key, value in items.items():
        _text(found, "MDI", value, key=key)


def _colors(band: ElementTree.Element, colors: Mapping[int, Color]) -> None:
    table = ElementTree.SubElement(band, "ColorTable")
    for value in range(max(colors) + 1):
        channels = zip(("c1", "c2", "c3", "c4"), colors.get(value, (0, 0, 0, 0)), strict=True)
        ElementTree.SubElement(table, "Entry", {name: str(channel) for name, channel in channels})


def _source(band: ElementTree.Element, part: VrtPart, number: int, kind: str) -> None:
    source, box = ElementTree.SubElement(band, "SimpleSource"), part.box
    _text(source, "SourceFilename", part.href, relativeToVRT="1")
    _text(source, "SourceBand", str(number))
    size = {"RasterXSize": str(box.width), "RasterYSize": str(box.height)}
    block = {"BlockXSize": str(BLOCK_PX), "BlockYSize": str(BLOCK_PX)}
    ElementTree.SubElement(source, "SourceProperties", size | {"DataType": kind} | block)
    for name, x, y in (("SrcRect", 0, 0), ("DstRect", box.x0, box.y0)):
        sides = {"xOff": x, "yOff": y, "xSize": box.width, "ySize": box.height}
        ElementTree.SubElement(source, name, {key: str(value) for key, value in sides.items()})
