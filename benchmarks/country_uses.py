"""Do the commands on a finished map stand the map of a whole country? Change, sample, statistics, polygons, the page.

    python benchmarks/country_uses.py --sides 8192 32768 --prepare    two maps of each size: 3 GB of disk, 8 for a while
    python benchmarks/country_uses.py --sides 8192 32768              everything on them: ten minutes
    python benchmarks/country_uses.py --sides 32768 --steps change    one of the steps
    python benchmarks/country_uses.py --table                         the table of what was measured so far

The maps are those of `country_uses_data.py`: half of the raster is land, a hundred thousand sites lie on the larger
one, and what came and went between the two is known to the pixel. Every answer is compared with that, or it stops.

Each step is a process of its own that runs the command as a user does. Peak: its largest resident memory (VmHWM), which
counts pages of files that it maps. `serve` is measured from outside (`country_uses_serve.py`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import rasterio
from country_uses_data import NAMES, prepare, run_of
from country_uses_serve import serve

from jobs.stages import peak_memory_bytes, prepare_worker
from tiler.change import GAINED, LOST, PERHAPS_GAINED, PERHAPS_LOST, STABLE
from tiler.change import NAMES as KINDS
from tiler.map_store import MapStore

RESULT = Path(__file__).with_suffix(".json")
FAR_ZOOM = 11
"""Last zoom of the export of all layers."""


def cli(*words: str) -> None:
    """Run a command as its console script does.

    Raises:
        SystemExit: it did not end well.
    """
    from jobs.cli import main

    code = main(list(words))
    if code:
        raise SystemExit(f"sandan {' '.join(words)} ended with {code}")


def must(what: str, found: Any, wanted: Any) -> None:
    """Stop where an answer is another one than was planted.

    Raises:
        SystemExit: it is.
    """
    if found != wanted:
        raise SystemExit(f"{what}: found {found}, planted were {wanted}")


def change(folder: Path, out: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Compare both maps, by district, too."""
    cli("change", *(str(folder / name) for name in NAMES), "--out", str(out))
    sites = pq.read_table(out / "change.parquet", columns=["change", "pixels", "area_m2", "region"]).to_pydict()
    kinds, pixels, areas = (np.array(sites[name]) for name in ("change", "pixels", "area_m2"))
    with (out / "change.csv").open() as file:
        rows = list(csv.DictReader(file))
    for kind in (GAINED, LOST):
        mine = kinds == KINDS[kind]
        must(f"polygons {KINDS[kind]}", int(mine.sum()), told["sites"][str(kind)])
        must(f"pixels of polygons {KINDS[kind]}", int(pixels[mine].sum()), told["pixels"][str(kind)])
        whole = float(rows[0][f"{KINDS[kind]}_m2"])
        for name, area in (
            ("the polygons", areas[mine].sum()),
            ("the districts", sum(float(r[f"{KINDS[kind]}_m2"]) for r in rows[1:])),
        ):
            must(
                f"square metres {KINDS[kind]} of {name} are those of the map",
                bool(np.isclose(whole, area, rtol=1e-9)),
                True,
            )
    counts = np.zeros(256, np.int64)
    with rasterio.open(out / "change.tif", driver="GTiff") as data:
        for _, window in data.block_windows(1):
            counts += np.bincount(data.read(1, window=window).ravel(), minlength=256)
    for kind in (STABLE, GAINED, LOST, PERHAPS_GAINED, PERHAPS_LOST):
        must(f"pixels {KINDS[kind]}", int(counts[kind]), told["pixels"][str(kind)])
    must("pixels of sea", int(counts[255]), int(counts.sum()) - told["land_px"])
    return {"polygons": len(kinds), "files_bytes": bytes_below(out)}


def sample(folder: Path, out: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Draw a sample of the later map."""
    cli("sample", str(folder / NAMES[1]), "--out", str(out))
    design = json.loads((out / "sample.json").read_text())
    units = {one["name"]: one["units"] for one in design["strata"]}
    inside = later_px(told)
    must("pixels of strata", units, {"background": told["land_px"] - inside, "industrial": inside})
    return {"points": len(design["points"])}


def later_px(told: dict[str, Any]) -> int:
    """Return how many pixels of the later map are of the class."""
    return sum(told["pixels"][str(kind)] for kind in (STABLE, GAINED, PERHAPS_GAINED))


def statistics(folder: Path, out: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Sum the later map by district, as Publish does."""
    from jobs.region_statistics import write_statistics

    prepare_worker()
    run, _, mosaic = run_of(folder, NAMES[1], told["side_px"])
    out.mkdir(parents=True)
    write_statistics(run, MapStore(run.url("mosaic", mosaic.name)), out)
    facts = json.loads((out / "statistics.json").read_text())
    whole, outside = facts["whole"], facts["outside"]
    must(
        "the map's true area is about that of its pixels",
        abs(whole["industrial_m2"] / later_px(told) / 100 - 1) < 2e-3,
        True,
    )
    must("land outside of all districts", round(outside["industrial_m2"], 3), 0.0)
    must(
        "all of it is in districts",
        bool(np.isclose(facts["in_regions"]["industrial_m2"], whole["industrial_m2"], rtol=1e-9)),
        True,
    )
    return {"regions": facts["regions"], "files_bytes": bytes_below(out)}


def polygons(folder: Path, out: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Draw the sites of the later map, as Publish does."""
    from jobs.polygons import write_run_polygons

    prepare_worker()
    run, _, mosaic = run_of(folder, NAMES[1], told["side_px"])
    out.mkdir(parents=True)
    write_run_polygons(run, MapStore(run.url("mosaic", mosaic.name)), out)
    sites = pq.read_table(out / "polygons.parquet", columns=["pixels"])["pixels"].to_numpy()
    must("sites", len(sites), sum(told["sites"][str(kind)] for kind in (STABLE, GAINED, PERHAPS_GAINED)))
    must("pixels of sites", int(sites.sum()), later_px(told))
    return {"polygons": len(sites), "files_bytes": bytes_below(out)}


def export(folder: Path, out: Path, told: dict[str, Any], *words: str) -> dict[str, Any]:
    """Write the page of the later map as a folder."""
    del told
    cli("export-page", str(folder / NAMES[1]), "--out", str(out), *words)
    sizes: dict[str, list[int]] = {}
    for path in out.rglob("*"):
        if path.is_file():
            what = "sites" if path.is_relative_to(out / "sites") else path.suffix
            what = "regions" if path.name.startswith("regions") or path.is_relative_to(out / "regions") else what
            sizes.setdefault(what, []).append(path.stat().st_size)
    tiles = sizes.pop(".png")
    index = json.loads((out / "tiles.json").read_text())
    return {
        "tiles": len(tiles),
        "tile_bytes": sum(tiles),
        "zooms": sorted({int(zoom) for layer in index.values() for zoom in layer}),
        "other_files": {
            what: {"files": len(found), "bytes": sum(found), "largest": max(found)} for what, found in sizes.items()
        },
    }


def bytes_below(folder: Path) -> int:
    """Return how many bytes the files of a folder have."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


Step = Callable[[Path, Path, dict[str, Any]], dict[str, Any]]
STEPS: dict[str, Step] = {
    "change": change,
    "sample": sample,
    "statistics": statistics,
    "polygons": polygons,
    "export, class": lambda *at: export(*at, "--layers", "class"),
    f"export, all layers to zoom {FAR_ZOOM}": lambda *at: export(*at, "--zoom", str(FAR_ZOOM)),
}
"""What is measured in a process of its own; `serve` is, from outside."""


def one_step(name: str, folder: Path, side_px: int) -> dict[str, Any]:
    """Do one step in this process, and return what it took."""
    told, out = prepare(folder, side_px), folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    started, cpu = time.monotonic(), time.process_time()
    found = STEPS[name](folder, out, told)
    return {
        "seconds": time.monotonic() - started,
        "cpu_s": time.process_time() - cpu,
        "peak_bytes": peak_memory_bytes(),
    } | found


def measure(name: str, folder: Path, side_px: int) -> dict[str, Any]:
    """Do one step in a process of its own."""
    if name == "serve":
        found = serve(folder / NAMES[1], folder)
    else:
        command = [sys.executable, __file__, "--one", name, "--sides", str(side_px), "--folder", str(folder.parent)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(folder / "out", ignore_errors=True)
    return {"side_px": side_px, "step": name, **found}


def answer_of(row: dict[str, Any]) -> str:
    """Return what a command made, for people."""
    if "tiles" not in row:
        counts = [f"{row[name]:,} {name}" for name in ("polygons", "points", "regions") if name in row]
        return ", ".join([*counts, *([f"{row['files_bytes'] / 1e6:,.0f} MB"] if "files_bytes" in row else [])])
    sites = row["other_files"]["sites"]
    return (
        f"{row['tiles']:,} tiles of zooms {row['zooms'][0]} to {row['zooms'][-1]}, {row['tile_bytes'] / 1e6:,.0f} MB; "
        f"{sites['files']:,} files of sites, {sites['bytes'] / 1e6:,.0f} MB"
    )


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows for people: commands, and then the server."""
    rows = sorted(rows, key=lambda row: (row["step"] == "serve", row["step"], row["side_px"]))
    lines = ["| command | side, px | s | of processors, s | peak, GB | what it made |", "| --- |" + " --- |" * 5]
    for row in (row for row in rows if row["step"] != "serve"):
        figures = f"{row['seconds']:.0f} | {row['cpu_s']:.0f} | {row['peak_bytes'] / 1e9:.2f} | {answer_of(row)} |"
        lines.append(f"| {row['step']} | {row['side_px']:,} | {figures}")
    lines += ["", "| `sandan serve` | side, px | median, ms | 95 %, ms | kB | the largest |", "| --- |" + " --- |" * 5]
    for row in (row for row in rows if row["step"] == "serve"):
        side = f"{row['side_px']:,}"
        lines.append(f"| first answer | {side} | {1000 * row['start_s']:,.0f} | | | |")
        for name, found in row.items():
            if isinstance(found, dict) and "median_ms" in found:
                sizes = f"{found['bytes'] / 1e3:.1f} | {found['most_bytes'] / 1e3:.1f} |"
                lines.append(f"| {name} | {side} | {found['median_ms']:.0f} | {found['p95_ms']:.0f} | {sizes}")
    for row in (row for row in rows if row["step"] == "serve"):
        held = ", ".join(f"{name} {row[name]['resident_bytes'] / 1e9:.2f}" for name in ("start", "before", "after"))
        lines.append(f"\nMemory of the server, {row['side_px']:,} px, GB: {held} (`before` and `after` many at once)")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[8192], help="of the map, pixels")
    parser.add_argument("--steps", nargs="+", choices=[*STEPS, "serve"], default=[*STEPS, "serve"])
    parser.add_argument("--folder", type=Path, default=Path("runs/country_uses"), help="where there is room on a disk")
    parser.add_argument("--prepare", action="store_true", help="only make the maps")
    parser.add_argument("--table", action="store_true", help="only print what was measured so far")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        side = arguments.sides[0]
        print(json.dumps(one_step(arguments.one, arguments.folder / str(side), side)))
        return
    facts = json.loads(RESULT.read_text()) if RESULT.is_file() else {"rows": []}
    for side in () if arguments.table else arguments.sides:
        folder = arguments.folder / str(side)
        if arguments.prepare:
            print(json.dumps(prepare(folder, side)))
            continue
        for name in arguments.steps:
            row = measure(name, folder, side)
            print(json.dumps(row), flush=True)
            facts["rows"] = [old for old in facts["rows"] if (old["side_px"], old["step"]) != (side, name)] + [row]
            facts |= {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count()}
            RESULT.write_text(json.dumps(facts, indent=1) + "\n")
    print(table(facts["rows"]))


if __name__ == "__main__":
    main()
