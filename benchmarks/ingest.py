"""How long from the files of a granule to a store, beside decoding alone, encoding alone, and two other libraries?

    python benchmarks/ingest.py --rounds 3         10,980 px, four bands: minutes, once some more to write the files
    python benchmarks/ingest.py --side 4096        smaller
    pip install odc-stac zarrs                     for the peers; what is absent is left out

The image of a Sentinel-2 granule (four files of one band, see benchmarks/ingest_data.py) to zarr on a local disk, in
chunks of 4 x 512 x 512 and shards of 4 x 2048 x 2048 with Sandan's codec. All files lie in the page cache, everybody
has all cores, each contender is a process of its own, contenders take turns, and the table shows medians of the rounds.

    decode            floor: files to memory, blocks of the files in their order, each thread with files of its own;
                      the arrays are thrown away, by GDAL (rasterio). The faster of two sizes of window. What Sandan
                      reads them with, which leaves GDAL out where it can, is timed beside them ("sandan, ...") and
                      is not part of the floor
    encode            floor: an image in memory to Sandan's arrangement, shard by shard, without looking for empty
                      chunks; the fastest of zarr and zarrs with one and several shards at once. Sandan's own writer,
                      which flushes to the disk, is timed beside them ("sandan, ...") and is not part of the floor
    sandan serial     `sandan ingest` with the serial engine; also writes validity, histograms, quick-look and markers
    sandan ray        the same with Ray's workers (started before; `ray_start_s` says how long that took)
    rioxarray         `open_rasterio` in chunks that are the shards, stacked, `to_zarr`; dask's threads
    odc-stac          `odc.stac.load` of an item in such chunks, stacked, `to_zarr`; dask's threads
    ... as it comes   the same with what zarr takes by itself: its own pipeline and zstd

The peers have Sandan's codec, and zarrs as their pipeline, where the line does not say "as it comes".

Times begin when the libraries of a contender are imported, with those that they import at first use: zarr and its
codecs for the peers, the compiler of Sandan's loops (`--first-use` leaves that within its time). They end when the
last byte is written to the file system's cache.
Memory is the largest proportional set size of the process and its children, sampled.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from ingest_data import BANDS, FORMATS, TILE_PX, Granule, write_granule
from peak_memory import wait_for

CORES = os.cpu_count() or 1
SHARD_PX = 2048
FIRST_USE = "SANDAN_BENCHMARK_FIRST_USE"
"""Set in the processes of contenders by `--first-use`."""
AS_IT_COMES = " as it comes"
PEERS = ("rioxarray", "odc-stac")
CONTENDERS = ("decode", "encode", "sandan serial", "sandan ray", *PEERS, *(p + AS_IT_COMES for p in PEERS))
DRIVERS = {"cog": "GTiff", "jp2": "JP2OpenJPEG"}


def decode(granule: Granule, kind: str) -> dict[str, Any]:
    """Read every pixel into memory that is used again and again."""
    sides = (TILE_PX, SHARD_PX) if kind == "cog" else (SHARD_PX,)  # the size makes no difference to JPEG 2000
    found = {f"{side} px": _decode(granule, kind, side) for side in sides}
    return {"seconds": min(found.values()), **found, f"sandan, {SHARD_PX} px": _decode_ourselves(granule, kind)}


def _decode_ourselves(granule: Granule, kind: str) -> float:
    from tiler.rasters import limit_block_cache, read_window

    limit_block_cache()
    own = local()

    def work(task: tuple[Path, Any]) -> None:
        file, box = task
        if not hasattr(own, "pixels"):
            own.pixels = np.empty(SHARD_PX**2, np.uint16)
        pixels = own.pixels[: box.height * box.width].reshape(1, box.height, box.width)
        read_window(str(file), [1], box.y0, box.x0, box.height, box.width, pixels)

    tasks = [(file, box) for box in granule.boxes(SHARD_PX) for file in granule.files(kind).values()]
    work(tasks[0])  # its compiled loop is loaded
    began = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(work, tasks))
    return time.monotonic() - began


def _decode(granule: Granule, kind: str, side_px: int) -> float:
    import rasterio
    from rasterio.windows import Window

    from tiler.rasters import CACHE_BYTES

    own = local()
    rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES).__enter__()  # a tenth faster than the default, 5 % of the machine

    def work(task: tuple[Path, Any]) -> None:
        file, box = task
        if not hasattr(own, "files"):
            own.files = {f: rasterio.open(f, driver=DRIVERS[kind]) for f in granule.files(kind).values()}
            own.pixels = np.empty(side_px**2, np.uint16)
        pixels = own.pixels[: box.height * box.width].reshape(1, box.height, box.width)
        own.files[file].read([1], window=Window(box.x0, box.y0, box.width, box.height), out=pixels)

    tasks = [(file, box) for box in granule.boxes(side_px) for file in granule.files(kind).values()]
    began = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(work, tasks))
    return time.monotonic() - began


def empty_array(granule: Granule, target: Path) -> Any:
    """Make the array of the image as Sandan does."""
    import zarr

    from tiler.stores import add_array

    bands, side = len(BANDS), granule.side_px
    group = zarr.create_group(str(target), overwrite=True, zarr_format=3)
    chunks, shards = (bands, 512, 512), (bands, SHARD_PX, SHARD_PX)
    shape = (bands, side, side)
    return add_array(group, "image", ("band", "y", "x"), shape, chunks, shards, "uint16", 0)


def encode(granule: Granule, kind: str, target: Path) -> dict[str, Any]:
    """Write every pixel out of memory, where each shard lies as one piece."""
    import rasterio
    import zarr
    from rasterio.windows import Window

    from tiler.stores import write_shard

    boxes = granule.boxes(SHARD_PX)
    shards = [((slice(None), *b.slices), np.empty((len(BANDS), b.height, b.width), np.uint16)) for b in boxes]
    for place, file in enumerate(granule.files("cog").values()):
        with rasterio.open(file, driver="GTiff") as data:
            for box, (_, image) in zip(boxes, shards, strict=True):
                data.read(1, window=Window(box.x0, box.y0, box.width, box.height), out=image[place])
    found = {}
    for pipeline in ("zarr", "zarrs"):
        if pipeline == "zarrs" and not use_zarrs():
            break
        for at_once in dict.fromkeys((1, CORES)):
            array = empty_array(granule, target).with_config({"write_empty_chunks": True})  # without looking for them
            began = time.monotonic()
            with (
                zarr.config.set({"threading.max_workers": CORES, "async.concurrency": CORES}),
                ThreadPoolExecutor(at_once) as pool,
            ):
                list(pool.map(lambda shard, array=array: array.__setitem__(*shard), shards))
            found[f"{pipeline}, {at_once} shards at once"] = time.monotonic() - began
    seconds, array = min(found.values()), empty_array(granule, target)
    began = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda shard: write_shard(array, *shard, past_cache=True), shards))
    found[f"sandan, {CORES} shards at once"] = time.monotonic() - began
    return {"seconds": seconds, **found}


def use_zarrs() -> bool:
    """Let zarr encode in Rust, on all cores; return whether zarrs is there."""
    import zarr

    there = importlib.util.find_spec("zarrs") is not None
    if there:
        pools = {"threading.max_workers": CORES, "async.concurrency": CORES}
        zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", **pools})
    return there


def sandan(granule: Granule, kind: str, target: Path, engine_kind: str) -> dict[str, Any]:
    """Run the job, from the headers to the last marker."""
    import rasterio

    from jobs.config import RunConfig
    from jobs.ingest import ingest
    from jobs.plan import plan_run
    from jobs.runner import engine_of, stage_facts
    from tiler import counts, kernels

    assert kernels is not None
    assert rasterio is not None  # imported like everybody's libraries; Ray's workers do so within the time
    if not os.environ.get(FIRST_USE):  # the first loop of a process imports numba's compiler and parts of scipy
        pixel = np.zeros((1, 1, 1), np.uint16)
        counts.count_integers(pixel, np.zeros((1, 1), bool), 0, np.zeros((1, 1), np.uint32))
    files = granule.files(kind)
    names = {band: file.name for band, file in files.items()}
    scene = {"id": "granule", "files": [str(f) for f in files.values()], "bands": names, "acquired": "2024-05-01"}
    config = RunConfig.model_validate({"out": str(target), "scenes": [scene], "engine": {"kind": engine_kind}})
    asked = time.monotonic()
    with engine_of(config.engine) as engine:
        engine.facts()  # starts Ray
        began = time.monotonic()
        run = plan_run(config)
        outcomes = ingest(run, engine)
        seconds = time.monotonic() - began
    assert not any(outcome.failed for outcome in outcomes), outcomes
    facts = stage_facts(run.storage, ["ingest"])["ingest"]
    steps = {key: facts[key] for key in ("read_s", "write_s", "seconds")}
    return {"seconds": seconds, "ray_start_s": began - asked, "shards": steps}


def write_lazy(image: Any, target: Path, own_codec: bool) -> None:
    """Write an xarray of dask chunks in Sandan's arrangement, with Sandan's codec and pipeline or the defaults."""
    import dask

    from tiler.stores import COMPRESSOR

    bands = len(BANDS)
    image = image.chunk({"band": bands, "y": SHARD_PX, "x": SHARD_PX}).drop_attrs()
    image.encoding = {}
    shape = {"chunks": (bands, 512, 512), "shards": (bands, SHARD_PX, SHARD_PX)}
    encoding = {"image": shape if own_codec else {**shape, "compressors": [COMPRESSOR]}}
    with dask.config.set(scheduler="threads", num_workers=CORES):
        image.to_dataset(name="image").to_zarr(target, mode="w", encoding=encoding, zarr_format=3, consolidated=False)


def import_zarr(own_codec: bool) -> None:
    """Import what `write_lazy` uses, and choose the pipeline of zarr."""
    import dask.array
    import xarray.backends.zarr
    import zarr.storage

    assert dask.array is not None
    assert xarray.backends.zarr is not None
    assert zarr.storage is not None
    if not own_codec:
        use_zarrs()


def run_rioxarray(granule: Granule, kind: str, target: Path, own_codec: bool = False) -> dict[str, Any]:
    """Open the files lazily, stack them, write."""
    import rioxarray
    import xarray as xr

    import_zarr(own_codec)
    began = time.monotonic()
    chunks = {"band": 1, "y": SHARD_PX, "x": SHARD_PX}
    files = granule.files(kind).values()
    parts = [rioxarray.open_rasterio(f, chunks=chunks, lock=False, driver=DRIVERS[kind]) for f in files]
    write_lazy(xr.concat(parts, "band", coords="minimal", compat="override", join="override"), target, own_codec)
    return {"seconds": time.monotonic() - began}


def run_odc(granule: Granule, kind: str, target: Path, own_codec: bool = False) -> dict[str, Any]:
    """Load an item lazily on its own pixels, stack its bands, write."""
    import odc.stac
    import pystac
    from odc.geo.geobox import GeoBox

    import_zarr(own_codec)
    grid = granule.grid
    place = {"type": "Polygon", "coordinates": [[[126.7, 36], [128, 36], [128, 37.1], [126.7, 37.1], [126.7, 36]]]}
    box, when = [126.7, 36.0, 128.0, 37.1], datetime(2024, 5, 1, tzinfo=UTC)
    projection = {"proj:epsg": 32652, "proj:shape": [grid.height, grid.width], "proj:transform": list(grid.transform)}
    item = pystac.Item("granule", place, box, when, projection)
    for band, file in granule.files(kind).items():
        item.add_asset(band, pystac.Asset(str(file), roles=["data"], media_type=MEDIA[kind]))
    began = time.monotonic()
    box_of_pixels = GeoBox((grid.height, grid.width), grid.affine, grid.crs)
    chunks = {"y": SHARD_PX, "x": SHARD_PX}
    how = {"bands": list(BANDS), "geobox": box_of_pixels, "chunks": chunks, "dtype": "uint16", "nodata": 0}
    loaded = odc.stac.load([item], **how).isel(time=0, drop=True).drop_vars("spatial_ref", errors="ignore")
    write_lazy(loaded.to_dataarray("band"), target, own_codec)
    return {"seconds": time.monotonic() - began}


MEDIA = {"cog": "image/tiff; application=geotiff; profile=cloud-optimized", "jp2": "image/jp2"}
RUNS: dict[str, Callable[[Granule, str, Path], dict[str, Any]]] = {
    "decode": lambda granule, kind, target: decode(granule, kind),
    "encode": encode,
    "sandan serial": lambda granule, kind, target: sandan(granule, kind, target, "serial"),
    "sandan ray": lambda granule, kind, target: sandan(granule, kind, target, "ray"),
    "rioxarray": run_rioxarray,
    "odc-stac": run_odc,
    "rioxarray as it comes": partial(run_rioxarray, own_codec=True),
    "odc-stac as it comes": partial(run_odc, own_codec=True),
}


def run_one(name: str, granule: Granule, kind: str, target: Path) -> dict[str, Any]:
    """Run one contender; its processor time leaves out what the workers of Ray took."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    found = RUNS[name](granule, kind, target)
    after = resource.getrusage(resource.RUSAGE_SELF)
    found["cpu_s"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found


def checksum(target: Path) -> tuple[int, int]:
    """Return the sum of the pixels that a contender wrote, and the bytes of its files."""
    import zarr

    image = next(p for p in sorted(target.rglob("image")) if p.is_dir())
    array = zarr.open_array(str(image), mode="r")
    rows = range(0, array.shape[1], SHARD_PX)
    total = sum(int(np.asarray(array[:, y : y + SHARD_PX]).sum(dtype=np.uint64)) for y in rows)
    return total, sum(f.stat().st_size for f in image.rglob("*") if f.is_file())


def start(name: str, granule: Granule, kind: str) -> dict[str, Any]:
    """Run one contender in a process of its own, and look at what it wrote."""
    target = granule.folder / "target"
    shutil.rmtree(target, ignore_errors=True)
    words = [sys.executable, __file__, "--one", name, "--kinds", kind, "--side", str(granule.side_px)]
    process = subprocess.Popen([*words, "--out", str(granule.folder.parent)], stdout=subprocess.PIPE, text=True)
    peak = wait_for(process)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    assert process.stdout is not None
    found = {**json.loads(process.stdout.read().strip().splitlines()[-1]), "peak_bytes": peak}
    if target.is_dir():
        found["pixel_sum"], found["stored_bytes"] = checksum(target)
        shutil.rmtree(target)
    return found


def main() -> None:
    """Run everybody, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=10_980, help="of the granule, pixels")
    parser.add_argument("--kinds", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-ingest"))
    parser.add_argument("--first-use", action="store_true", help="leave what Sandan's first loop imports in its time")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.first_use:
        os.environ[FIRST_USE] = "1"
    granule = Granule(arguments.out.resolve() / str(arguments.side), arguments.side)
    if arguments.one:
        print(json.dumps(run_one(arguments.one, granule, arguments.kinds[0], granule.folder / "target")))
        return
    write_granule(granule, CORES)
    absent = importlib.util.find_spec("odc") is None
    present = [c for c in arguments.contenders if not (absent and c.startswith("odc-stac"))]
    file = Path(__file__).with_suffix(".json")
    told = json.loads(file.read_text()) if file.is_file() else {}
    for kind in arguments.kinds:
        rounds: dict[str, list[dict]] = {name: [] for name in present}
        for _ in range(arguments.rounds):
            for name in present:
                rounds[name].append(start(name, granule, kind))
                print(kind, name, rounds[name][-1], flush=True)
        sums = {found["pixel_sum"] for each in rounds.values() for found in each if "pixel_sum" in found}
        assert len(sums) <= 1, f"contenders wrote different pixels: {sums}"
        print_table(granule, kind, rounds)
        told[kind] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cores": CORES, "rounds": rounds}
    if len(present) == len(CONTENDERS) and not arguments.first_use:  # a look at some does not replace the table
        file.write_text(json.dumps(told, indent=1))


def print_table(granule: Granule, kind: str, rounds: dict[str, list[dict]]) -> None:
    """Print medians, and ratios to the floor and to the fastest peer."""
    medians = {name: statistics.median(found["seconds"] for found in each) for name, each in rounds.items()}
    floor = sum(medians[name] for name in ("decode", "encode")) if {"decode", "encode"} <= medians.keys() else np.nan
    print(f"\n{kind}: {granule.side_px:,} px a side, {len(BANDS)} bands, {CORES} cores\n")
    print("| contender | s | million pixels/s | times decode + encode | peak memory, GB |")
    print("| --- | --- | --- | --- | --- |")
    for name, seconds in medians.items():
        peak = max(found["peak_bytes"] for found in rounds[name]) / 1e9
        rate = granule.side_px**2 / seconds / 1e6
        print(f"| {name} | {seconds:.2f} | {rate:.1f} | {seconds / floor:.3f} | {peak:.2f} |")


if __name__ == "__main__":
    main()
