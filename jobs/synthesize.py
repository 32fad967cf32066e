"""Synthesize: scenes of a synthetic country, with labels, truth, air and a run; or weather, scratches, illustrations.

python -m jobs.synthesize runs/world --bbox 126.9 36.9 127.0 37.0 --dates 2024-05-01
sandan synthesize runs/chips --kind aihub --count 90 --zips
sandan synthesize runs/weather --kind weather --scale small
sandan synthesize runs/scratches --kind scratches --scale tiny
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from jobs import synthesize_collections
from jobs.progress import Progress
from jobs.shell import BAD_INPUT, DONE, FAULT, INTERRUPTED
from jobs.synthesize_weather import add_options, world_of, write_world
from tiler.grids import PixelGrid
from tiler.synthetic import (
    Acquisition,
    Country,
    SceneFiles,
    grid_over,
    utm_crs,
    write_aihub,
    write_air,
    write_chips,
    write_estates,
    write_scene,
)
from tiler.synthetic.acquisition import RESPONSES
from tiler.synthetic.air import MODALITIES

KINDS = ("country", "chips", "aihub", "weather", *synthesize_collections.KINDS)
CHIPS = 9
"""Unless `--count` says otherwise."""
EPILOG = """examples:
  sandan synthesize runs/world --bbox 126.9 36.9 127.0 37.0 --dates 2024-05-01,2024-10-12
  sandan synthesize runs/seam --bbox 125.9 36.9 126.1 37.0 --zones 51,52 --sensors SN10,LS30 --clouds 0.2
  sandan synthesize runs/chips --kind chips --count 45 --seed 7
  sandan synthesize runs/71805 --kind aihub --count 900 --zips
  sandan synthesize runs/weather --kind weather --scale small
  sandan synthesize runs/scratches --kind scratches --scale small --truth
  sandan synthesize runs/illustrations --kind illustrations --count 2000
  sandan ingest runs/world/map.yaml

country: one scene for each sensor, date and UTM zone over --bbox; industry covers a few percent.
chips:   512 px scenes on large estates, industry covers 0.825 +- 0.114, each eighth validates.
aihub:   the same in the folders, names and codes of AI-Hub 71805.
weather: frames of COMS and GK2A every three hours, with the weather's state. tiny: 60 days at 48 px, small: six years
         at 64 px (both PNG with KMA's names), large: 2011-02 to 2020-03 at 224 px (zarr).
scratches: photos of car panels from two sources, with masks. tiny: 60 at 128 px, small: 600 at 256 px, paper: 16,300
         at 512 px; --side and --count instead.
illustrations: twenty classes of line art; photos among five of them. tiny: 400, a quarter as large, small: 2,000,
         paper: 25,503; --count instead.

exit codes: 0 done, 1 fault, 2 bad input (nothing written), 130 interrupted"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandan synthesize",
        description="Write scenes of a synthetic country, or frames of synthetic weather, with truth and a run YAML.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write to")
    parser.add_argument("--kind", choices=KINDS, default="country")
    parser.add_argument("--seed", type=int, default=1, help="which world (default 1)")
    parser.add_argument(
        "--bbox", type=float, nargs=4, metavar=("WEST", "SOUTH", "EAST", "NORTH"), help="longitudes and latitudes"
    )
    parser.add_argument("--sensors", default="SN10", help=f"comma-separated, of {','.join(sorted(RESPONSES))}")
    parser.add_argument("--dates", default="2024-05-01", help="comma-separated, YYYY-MM-DD")
    parser.add_argument("--zones", default="auto", help="UTM zones, comma-separated; auto: that of the middle")
    parser.add_argument("--clouds", type=float, default=0.0, help="share of the sky")
    parser.add_argument("--missing", type=float, default=0.0, help="share of pixels lost in dropouts")
    parser.add_argument("--edge", type=float, default=0.0, help="share of each scene's width beyond the swath")
    parser.add_argument("--snow", type=float, default=0.0, help="share of the ground under snow")
    parser.add_argument(
        "--count", type=int, help=f"chips (kinds chips and aihub, default {CHIPS}); images (scratches, illustrations)"
    )
    parser.add_argument(
        "--float", dest="floating", action="store_true", help="float32 with NaN instead of uint16 with 0"
    )
    parser.add_argument("--no-air", action="store_true", help="without GEMS and AIR rasters")
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--workers", type=int, default=cores, help=f"processes for chips, aihub and images (here {cores})"
    )
    parser.add_argument("--zips", action="store_true", help="aihub: pack the folders")
    parser.add_argument("--spoil", type=float, default=0.0, help="aihub: share of cloud, haze, holes, another sensor")
    add_options(parser)
    synthesize_collections.add_options(parser)
    return parser


def _acquisitions(arguments: argparse.Namespace) -> list[Acquisition]:
    """Return each sensor on each date.

    Raises:
        ValueError: a date is none, a sensor is unknown, or a share lies outside its range.
    """
    try:
        days = [date.fromisoformat(text.strip()) for text in arguments.dates.split(",")]
    except ValueError as error:
        raise ValueError(f"--dates {arguments.dates!r}: {error}; write YYYY-MM-DD, separated by commas") from error
    rest = (arguments.clouds, arguments.missing, arguments.edge, arguments.snow)
    return [Acquisition(sensor.strip(), day, *rest) for sensor in arguments.sensors.split(",") for day in days]


def _zones(arguments: argparse.Namespace) -> list[str]:
    west, _, east, _ = arguments.bbox
    if arguments.zones == "auto":
        return [utm_crs((west + east) / 2)]
    zones = arguments.zones.split(",")
    if not all(z.strip().isdecimal() and 1 <= int(z) <= 60 for z in zones):
        raise ValueError(f"--zones {arguments.zones!r}: give UTM zones of 1 to 60, separated by commas, or auto")
    return [f"EPSG:{32600 + int(zone)}" for zone in zones]


Work = tuple[str, PixelGrid, Acquisition]


def _country_work(arguments: argparse.Namespace) -> list[Work]:
    if arguments.bbox is None:
        raise ValueError("--bbox is missing; give west, south, east, north, for example --bbox 126.9 36.9 127.0 37.0")
    west, south, east, north = arguments.bbox
    if not (110 <= west < east <= 145 and 20 <= south < north <= 50):
        raise ValueError(
            f"--bbox {arguments.bbox}: wants west < east within 110 to 145 and south < north within 20 to 50 degrees"
        )
    work = []
    for how in _acquisitions(arguments):
        for crs in _zones(arguments):
            grid = grid_over((west, south, east, north), how.sensor, crs)
            work.append((f"{how.sensor}_Z{crs[-2:]}_{how.day:%Y%m%d}", grid, how))
    return work


def run_file(out: Path, sensor: str, scenes: Sequence[SceneFiles], air: bool) -> dict[str, Any]:
    """Return the values of a run YAML over the scenes of one sensor, with their GEMS and AIR rasters if there are."""
    listed = [{"id": s.id, "files": str(s.image), "acquired": s.day} for s in scenes]
    values = {
        "out": str(out / "run" / sensor),
        "scenes": listed,
        "sensor": sensor,
        "labels": {"files": [str(s.layers["label"]) for s in scenes], "codes": {1: 1}},
    }
    if air:
        values["modalities"] = [{"sensor": m, "files": str(_air_file(out, m, "{id}"))} for m in MODALITIES]
    return values


def _air_file(out: Path, modality: str, scene_id: str) -> Path:
    return out / modality.lower() / f"{scene_id}.tif"


def _has_air(arguments: argparse.Namespace, sensor: str) -> bool:
    return sensor == "SN10" and not arguments.no_air


def _write(arguments: argparse.Namespace, country: Country, work: Sequence[Work]) -> None:
    out = arguments.out
    written = _write_chips(arguments) if arguments.kind == "chips" else _write_scenes(arguments, country, work)
    for number, sensor in enumerate(dict.fromkeys(s for s, _ in written)):
        values = run_file(out, sensor, [f for s, f in written if s == sensor], _has_air(arguments, sensor))
        name = "map.yaml" if number == 0 else f"map-{sensor}.yaml"
        (out / name).write_text(
            f"# A synthetic country, seed {arguments.seed}.\n" + yaml.safe_dump(values, sort_keys=False)
        )
        print(f"sandan ingest {out / name}")


Written = list[tuple[str, SceneFiles]]


def _write_chips(arguments: argparse.Namespace) -> Written:
    with Progress(arguments.count, "synthesize", unit="chips") as progress:
        found = write_chips(
            arguments.out,
            arguments.count,
            _acquisitions(arguments)[0],
            seed=arguments.seed,
            floating=arguments.floating,
            air=not arguments.no_air,
            workers=arguments.workers,
            on_chip=lambda files: progress.advance(),
        )
    return [("SN10", files) for files in found]


def _write_scenes(arguments: argparse.Namespace, country: Country, work: Sequence[Work]) -> Written:
    out, written = arguments.out, []
    pixels = sum(grid.height * grid.width for _, grid, _ in work)
    with Progress(pixels, "synthesize", unit="pixels") as progress:
        for scene_id, grid, how in work:
            files = write_scene(
                country, grid, how, out, scene_id, floating=arguments.floating, on_block=progress.advance
            )
            written.append((how.sensor, files))
            if _has_air(arguments, how.sensor):
                for modality in MODALITIES:
                    write_air(country, grid, how.day, modality, _air_file(out, modality, scene_id))
    return written


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.count is not None and arguments.count < 1:
            raise ValueError(f"--count {arguments.count}: at least one chip or image must be asked for")
        if not 0 <= arguments.spoil <= 1:
            raise ValueError(f"--spoil {arguments.spoil:g}: a share of 0 to 1 of the chips is needed")
        if arguments.workers < 1:
            raise ValueError(f"--workers {arguments.workers}: at least one process must be asked for")
        weather = world_of(arguments) if arguments.kind == "weather" else None
        images = synthesize_collections.world_of(arguments) if arguments.kind in synthesize_collections.KINDS else None
        if arguments.count is None:
            arguments.count = CHIPS
        country = Country(arguments.seed)
        work = _country_work(arguments) if arguments.kind == "country" else []
        _acquisitions(arguments)
        arguments.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"sandan synthesize: {error}", file=sys.stderr)
        return BAD_INPUT
    try:
        if weather is not None:
            write_world(arguments, weather)
            return DONE
        if images is not None:
            synthesize_collections.write_collection(arguments, images)
            return DONE
        if arguments.kind == "aihub":
            _write_aihub(arguments)
            return DONE
        _write(arguments, country, work)
        if arguments.kind == "country":
            count = write_estates(country, tuple(arguments.bbox), arguments.out / "estates.geojson")
            print(f"{count} industrial sites in {arguments.out / 'estates.geojson'}")
        return DONE
    except KeyboardInterrupt:
        print("sandan synthesize: interrupted; repeat the command to write everything again", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        print(f"sandan synthesize: {error}", file=sys.stderr)
        return FAULT


def _write_aihub(arguments: argparse.Namespace) -> None:
    with Progress(arguments.count + arguments.count // 2, "synthesize", unit="images") as progress:
        found = write_aihub(
            arguments.out,
            arguments.count,
            seed=arguments.seed,
            zips=arguments.zips,
            spoil=arguments.spoil,
            workers=arguments.workers,
            on_image=progress.advance,
        )
    mean = sum(found.coverage) / len(found.coverage)
    print(f"{found.sn10} + {found.ls30} images in {found.folder}; industry covers {mean:.3f} on the average")


if __name__ == "__main__":
    sys.exit(main())
