"""How long does a frame of the weather world take, and how fast does it change?

    python benchmarks/weather_world.py             a minute on an idle core

Processor time of this process (not the clock), of the generator with one imager, without files: for each size the first
frames, which compile, are left out. Pace: mean PSNR of pairs of clean frames, that many steps of three hours apart.
"""

from __future__ import annotations

import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from tiler.synthetic.weather import COMS, SCALES, Sensor, WeatherWorld, encoded, moments

SIDES_PX = (48, 64, 224)
DAYS = 15
STARTS = (date(2017, 1, 10), date(2017, 6, 10), date(2017, 9, 20))
"""Of a quiet season, the front, and the typhoons."""
STEPS = (1, 2, 4, 16, 40)


def measured(side_px: int) -> dict[str, Any]:
    """Return milliseconds a frame and mean PSNR by steps apart."""
    spent_s, count = 0.0, 0
    psnr: list[list[float]] = []
    for start in STARTS:
        world = WeatherWorld(3, start, DAYS, side_px)
        sensor, (rows, cols) = Sensor(COMS, world), world.plane.view
        frames, begun_s = [], 0.0
        for moment in moments(world):
            frames.append(encoded(moment.values[:, rows, cols]))
            sensor.observe(moment.values, moment.step)
            if moment.step == 0:
                begun_s = time.process_time()
        spent_s += time.process_time() - begun_s
        count += len(world) - 1
        grey = np.stack(frames).astype(np.float32) / 255
        psnr.append([float((-10 * np.log10(((grey[s:] - grey[:-s]) ** 2).mean((1, 2, 3)))).mean()) for s in STEPS])
    return {
        "side_px": side_px,
        "ms_a_frame": round(1e3 * spent_s / count, 1),
        "psnr_db": dict(zip(map(str, STEPS), np.round(np.mean(psnr, 0), 1).tolist(), strict=True)),
    }


def main() -> None:
    """Measure, print and write."""
    found = [measured(side) for side in SIDES_PX]
    for one in found:
        print(one)
    for name, scale in SCALES.items():
        pace = next(one["ms_a_frame"] for one in found if one["side_px"] == scale.side_px)
        print(f"{name}: {scale.days * 8:,} steps, {scale.days * 8 * pace / 6e4:.1f} minutes of one core without files")
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
