"""Landsat's metadata: where a product lies whose files do not say it themselves."""

from __future__ import annotations

import re
from pathlib import Path

from tiler.grids import PixelGrid

METADATA_BYTES = 2**20
"""Of a metadata file, at most."""


def landsat_metadata_grid(path: str, height: int, width: int) -> PixelGrid | None:
    """Return the grid that a Landsat `*_MTL.txt` beside `path` gives, or None where none fits the file's size.

    Collection 1 and 2 metadata name the map coordinates of the corner pixels' centres and the grid cell size. Where
    several scenes lie in one folder, the metadata of the file's own product counts.
    """
    found = sorted(p for p in Path(path).parent.glob("*MTL.txt") if p.is_file()) if "://" not in path else []
    own = [p for p in found if Path(path).name.startswith(p.name.removesuffix("MTL.txt"))]
    for candidate in own or found:
        with candidate.open(encoding="utf-8", errors="replace") as file:
            text = file.read(METADATA_BYTES)
        values = dict(re.findall(r"^\s*(\w+) = \"?([^\"\n]*)\"?\s*$", text, re.MULTILINE))
        try:
            cell = float(values.get("GRID_CELL_SIZE_REFLECTIVE") or values["GRID_CELL_SIZE"])
            x, y = (float(values[f"CORNER_UL_PROJECTION_{axis}_PRODUCT"]) for axis in "XY")
            lines, samples = int(values["REFLECTIVE_LINES"]), int(values["REFLECTIVE_SAMPLES"])
            zone = int(values["UTM_ZONE"])
        except (KeyError, ValueError):
            continue
        if (lines, samples) == (height, width):
            # Landsat places scenes of both hemispheres in northern zones (negative northings in the south).
            crs = f"EPSG:{32600 + zone}"
            return PixelGrid(crs, (cell, 0.0, x - cell / 2, 0.0, -cell, y + cell / 2), height, width)
    return None
