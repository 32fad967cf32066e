"""Draw docs/weather.png: one moment in each month of a year, and six days of a typhoon without and with its sensor.

sandan synthesize runs/year --kind weather --days 365 --side 144 --start 2018-01-01
python benchmarks/weather_picture.py runs/year docs/weather.png
"""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import zarr
from PIL import Image

GAP_PX, ACROSS = 2, 6
LOW, HIGH = 40, 235
"""Grey values that become black and white."""


def colours(image: np.ndarray) -> np.ndarray:
    """Return infrared, shortwave infrared and water vapour (3, y, x) as red, green and blue (y, x, 3)."""
    stretched = np.clip((image.astype(float) - LOW) / (HIGH - LOW), 0, 1)
    return (255 * stretched).astype(np.uint8).transpose(1, 2, 0)


def sheet(pictures: list[np.ndarray]) -> Image.Image:
    """Return pictures of one size in rows of six, with a wider gap behind every second row."""
    side = pictures[0].shape[0]
    rows = -(-len(pictures) // ACROSS)
    height = rows * (side + GAP_PX) + (rows - 1) // 2 * 3 * GAP_PX
    page = Image.new("RGB", (ACROSS * (side + GAP_PX) - GAP_PX, height - GAP_PX), "white")
    for number, picture in enumerate(pictures):
        row, col = divmod(number, ACROSS)
        page.paste(Image.fromarray(picture), (col * (side + GAP_PX), row * (side + GAP_PX) + row // 2 * 3 * GAP_PX))
    return page


def main(folder: Path, out: Path) -> None:
    """Draw what a folder of `sandan synthesize --kind weather` holds."""
    clean = zarr.open_group(str(folder / "clean.zarr"), mode="r")
    with open(folder / "states.csv", newline="") as table:
        states = list(csv.DictReader(table))
    times = [datetime.fromisoformat(row["time"]) for row in states]
    months = [times.index(datetime(times[0].year, month, 15, 3 * (month % 8))) for month in range(1, 13)]
    by_strength = sorted(range(24, len(states) - 16), key=lambda i: -float(states[i]["typhoon_intensity"] or 0))
    storms = ([place + 8 * day for day in range(-3, 3)] for place in by_strength)
    storm = next(days for days in storms if all(_frames(folder / "frames", times[place]) for place in days))

    def seen(place: int) -> np.ndarray:
        return np.stack([np.asarray(Image.open(path)) for path in _frames(folder / "frames", times[place])])

    pictures = [colours(np.asarray(clean["image"][place])) for place in (*months, *storm)]
    sheet([*pictures, *(colours(seen(place)) for place in storm)]).save(out, optimize=True)
    print(f"{out}: the storm from {times[storm[0]]:%Y-%m-%d %H:%M} on, a day apart")


def _frames(frames: Path, time: datetime) -> list[Path]:
    """Return the pictures of COMS at a time, infrared first; none where one of them is missing."""
    found = [
        path for band in ("ir1", "swir", "wv") for path in frames.glob(f"coms_mi_le1b_{band}_ea_{time:%Y%m%d%H%M}.png")
    ]
    return found if len(found) == 3 else []


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
