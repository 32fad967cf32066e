"""Synthesize, kind weather: frames of two imagers, the clean pictures, the states behind them, and runs over them."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from jobs.progress import Progress
from tiler.synthetic.weather import BANDS, SCALES, WeatherFiles, WeatherWorld, write_weather
from tiler.synthetic.weather.domain import STEP_HOURS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only this kind understands."""
    group = parser.add_argument_group("weather")
    names = [*SCALES, "paper"]
    group.add_argument(
        "--scale",
        choices=names,
        default="tiny",
        help="how long and large (default tiny); paper: of scratches, illustrations",
    )
    group.add_argument("--days", type=int, help="instead of the scale's")
    group.add_argument(
        "--side", type=int, metavar="PX", help="of frames; longest side of photos (scratches); instead of the scale's"
    )
    group.add_argument("--start", help="first day, YYYY-MM-DD, instead of the scale's")


def world_of(arguments: argparse.Namespace) -> WeatherWorld:
    """Return the world that is asked for.

    Raises:
        ValueError: a number is out of range, the scale is none of weather, or `--start` is no day.
    """
    if arguments.scale not in SCALES:
        raise ValueError(f"--scale {arguments.scale}: weather comes as {', '.join(SCALES)}")
    scale = SCALES[arguments.scale]
    try:
        start = scale.start if arguments.start is None else date.fromisoformat(arguments.start)
    except ValueError as error:
        raise ValueError(f"--start {arguments.start!r}: {error}; write YYYY-MM-DD") from error
    days = scale.days if arguments.days is None else arguments.days
    side = scale.side_px if arguments.side is None else arguments.side
    if not 1970 <= start.year <= 2200 or not 1 <= days <= 100_000:
        raise ValueError(f"--start {start} --days {days}: wants a start within 1970 to 2200 and 1 to 100000 days")
    # the day on which GK2A took over is one of the archive's own time; other times have their share of both
    archive = (start, days) == (scale.start, scale.days)
    handover = scale.handover if archive else SCALES["tiny"].handover
    return WeatherWorld(arguments.seed, start, days, side, handover)


def write_world(arguments: argparse.Namespace, world: WeatherWorld) -> None:
    """Write a world and a run for each sensor, and say what is there."""
    out: Path = arguments.out
    with Progress(len(world), "synthesize", unit="frames") as progress:
        files = write_weather(world, out, pictures=SCALES[arguments.scale].pictures, on_frame=progress.advance)
    present = files.states.columns["typhoon_present"].mean()
    counts = ", ".join(f"{count} of {name}" for name, (_, count) in files.frames.items())
    print(f"{len(world)} steps; frames: {counts}; a typhoon is in view in {present:.1%} of the steps")
    for number, (name, (_, count)) in enumerate(files.frames.items()):
        if count:
            path = out / ("weather.yaml" if number == 0 else f"weather-{name}.yaml")
            title = f"# Synthetic weather as {name} sees it, seed {world.seed}.\n"
            path.write_text(title + yaml.safe_dump(run_values(out, name, files, world), sort_keys=False))
            print(f"sandan ingest {path}")


def run_values(out: Path, sensor: str, files: WeatherFiles, world: WeatherWorld) -> dict[str, Any]:
    """Return the values of a run YAML over the frames of one sensor."""
    return {
        "out": str(out / "run" / sensor),
        "frames": {
            "files": files.frames[sensor][0],
            "series": sensor,
            "bands": list(BANDS),
            "step_minutes": STEP_HOURS * 60,
            "side_px": world.side_px,
        },
    }
