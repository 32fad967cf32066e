"""Publish: the map as Cloud-Optimized GeoTIFFs, a STAC catalogue, `run.json` and an HTML report.

python -m jobs.publish examples/aberystwyth/map.yaml
sandan publish map.yaml --set fuse.threshold=0.4
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, compress
from pathlib import Path
from typing import Any

from cluster.redact import redacted
from cluster.units import unfinished
from jobs.catalog import catalog_facts
from jobs.cells import MosaicPlan
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.earlier_map import check_earlier, polygons_facts
from jobs.estimate import (
    REGIONS_MEMORY_BYTES,
    Estimate,
    Expected,
    polygons_memory,
    publish_memory,
    statistics_memory,
)
from jobs.infer import require_ingested
from jobs.last_map import changed_since, last_map
from jobs.map_files import write_config, write_map_files, write_styles
from jobs.mosaic import planned_map
from jobs.pace import UNKNOWN
from jobs.page import write_page
from jobs.plan import CONTRACTS, LogitPlan, Run, key_of, plan_run
from jobs.products import map_numbers, products_of, sha256_of
from jobs.progress_file import shown
from jobs.published import current, new_folder, show, switch
from jobs.rasters import FinishedRasters, count_finished
from jobs.record import differences, run_record
from jobs.regions import check_regions, region_facts
from jobs.runner import Outcome, held_already, markers_of, quarantine, report_failures, say_memory, stage_facts
from jobs.seams import measured_seams
from jobs.sheets import Written, in_sheets, raster_count, write_rasters
from jobs.shell import DONE, INCOMPLETE, Job, run_job
from jobs.stages import peak_memory_bytes, prepare_worker
from tiler.catalog import write_catalog
from tiler.grids import CELL_PX
from tiler.map_store import MapStore
from tiler.product_specs import UNCERTAINTY


def publish_key(run: Run, plan: MosaicPlan, quarantined: Iterable[str] = ()) -> str:
    """Return what identifies the published files; a map with holes where units failed is another one."""
    settings: list[Any] = [{"threshold": run.config.fuse.threshold}, sorted(run.config.outputs)]
    regions = region_facts(run.config)
    settings += [] if regions is None else [regions]
    settings += [polygons_facts(run)] if "polygons" in run.config.outputs else []
    if in_sheets(plan.extent, run.config.publish):
        settings.append(run.config.publish.sheet_cells)
    return key_of(CONTRACTS["publish"], plan.name, *settings, sorted(quarantined))


def is_published(run: Run, plan: MosaicPlan, quarantined: Iterable[str] = ()) -> bool:
    """Whether the current map is that of this plan."""
    return current(run.storage).get("key") == publish_key(run, plan, quarantined)


def _is_recorded(
    run: Run, products: Mapping[str, Any], quarantined: Mapping[str, str], differing: Mapping[str, Any]
) -> bool:
    """Whether `run.json` says already what it would say now, and what is written after it is there, too."""
    last = "report.html" if "report" in run.config.outputs else "run.json"
    if not run.storage.exists("run.json") or not run.storage.exists(last):
        return False
    record = json.loads(run.storage.get("run.json"))
    now = redacted((products, run.config.model_dump(mode="json"), quarantined, differing))
    return [record["products"], record["config"], record["quarantined"], record.get("differences", {})] == now


def publish(run: Run, plans: Sequence[LogitPlan], plan: MosaicPlan, quarantined: Mapping[str, str]) -> None:
    """Write the products of a map, unless they lie there already, and then its record and its report."""
    if not is_published(run, plan, quarantined):
        started, key = time.monotonic(), publish_key(run, plan, quarantined)
        wanted = raster_count(plan.extent, run.config.publish, len(_products(run)))
        expected = memory(run, wanted) + held_already()
        products, rasters = _write_files(run, plans, plan, key)
        cost: dict[str, Any] = {
            "seconds": round(time.monotonic() - started, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "expected_memory_bytes": expected,
        }
        say_memory("publish", cost["peak_memory_bytes"], expected)
        parts = [sheet["files"] for sheet in products.get("sheets", {}).values()]
        of_all = sum(p["size_bytes"] for files in (products["files"], *parts) for p in files.values())
        cost["bytes_written"] = of_all - rasters.kept_bytes
        pixels = plan.extent.height * plan.extent.width
        cost |= {"pixels": round(pixels * rasters.share_written), "like": _like(run)}
        run.storage.put("stages/publish.json", json.dumps(cost).encode())
        switch(run.storage, key, products)
    show(run.storage)
    products = current(run.storage)
    if _is_recorded(run, products, quarantined, differences(run, plans, plan)):
        return
    record = run_record(run, list(plans), plan, quarantined, products)
    run.storage.put("run.json", json.dumps(record, indent=1, default=str).encode())
    if "report" in run.config.outputs:
        write_page(run, record)


def _write_files(run: Run, plans: Sequence[LogitPlan], plan: MosaicPlan, key: str) -> tuple[dict[str, Any], Written]:
    prepare_worker()
    store = MapStore(run.url("mosaic", plan.name))
    threshold = run.config.fuse.threshold
    with new_folder(run.storage, key) as folder:
        rasters = Written({})
        if "cog" in run.config.outputs:
            finished, tags = FinishedRasters.open(run.storage, key, folder), {"SANDAN_MAP": plan.name}
            rasters = write_rasters(store, finished, threshold, tags, run.config.publish, os.cpu_count() or 1)
        with shown(run.storage, 3, "publish", unit="steps") as progress:
            described = {name: file.facts() for name, file in rasters.products.items()}
            sheets = {s: {name: file.facts() for name, file in files.items()} for s, files in rasters.sheets.items()}
            styles = write_styles(folder, rasters.products, run.classes)
            for file in (*styles, *write_map_files(run, store, folder), write_config(run, folder)):
                described |= {file.name: _described(folder, file.path) | file.facts()}
            progress.advance()
            numbers = map_numbers(store, threshold).to_json() | {"seams": measured_seams(store, plans, plan.tasks)}
            progress.advance()
            last = last_map(current(run.storage), key)
            if "stac" in run.config.outputs:
                before, found = None if last is None else last["key"], rasters.statistics
                write_catalog(folder, facts=catalog_facts(run, plans, plan, described, found, key, before, sheets))
            progress.advance()
    told = {sheet.name: {"box": list(vars(sheet.box).values()), "files": files} for sheet, files in sheets.items()}
    products = {
        "files": described,
        "numbers": numbers,
        "map": plan.name,
        "threshold": threshold,
        "published": datetime.now(UTC).isoformat(timespec="seconds"),
        "last": last,
        "change": changed_since(run, last, plan.name),
        **({"sheets": told} if told else {}),
    }
    return products, rasters


def _described(folder: Path, path: Path) -> dict[str, Any]:
    """Return address in the folder, size and digest of a file."""
    return {
        "href": path.relative_to(folder).as_posix(),
        "size_bytes": path.stat().st_size,
        "sha256": sha256_of(path),
    }


def _like(run: Run) -> str:
    """Return a digest of what publishing a pixel may take another time for."""
    return key_of(CONTRACTS["publish"], len(run.classes), _products(run), sorted(run.config.outputs), os.cpu_count())


def _products(run: Run) -> list[str]:
    return products_of(run.config.infer.uncertainty)


def _time(run: Run, pixels: int) -> Expected:
    """Return how long so many pixels will take: as they did before in this folder, on as many cores."""
    facts = stage_facts(run.storage, ["publish"]).get("publish", {})
    if facts.get("like") != _like(run) or not facts.get("pixels"):
        return UNKNOWN
    told = f"as measured on the {facts['pixels'] / 1e6:.1f} million pixels of an earlier map here"
    return Expected(facts["seconds"] * pixels / facts["pixels"], told)


def estimate(run: Run) -> Estimate:
    """Return what Publish has to do."""
    precision = decide(run, None)
    plan = None if precision is None else run.mosaic(run.logits(precision))
    rasters, done = len(_products(run)), 0
    if plan is not None:
        rasters = raster_count(plan.extent, run.config.publish, rasters)
        done = rasters if is_published(run, plan) else _finished(run, plan, rasters)
    pixels = 0 if plan is None else plan.extent.height * plan.extent.width * (rasters - done) // rasters
    read = out = 2 * len(run.classes)  # float32: logits and spread in, probability and spread out
    if run.config.infer.uncertainty:
        read, out = read + 2 * len(run.classes) + 1, out + len(UNCERTAINTY.bands)
    return Estimate(
        stage="publish",
        units=rasters,
        unit="rasters",
        done=done,
        read_bytes=pixels * (read * 4 + 6),
        write_bytes=pixels * (out * 4 + 7) * 4 // 3,  # overviews add a third
        peak_memory_bytes=memory(run, rasters),
        folder=run.config.out if run.storage.is_local else "",
        workers_at_most=1,
        time=None if done == rasters else _time(run, pixels) if plan is not None else UNKNOWN,
    )


def _finished(run: Run, plan: MosaicPlan, rasters: int) -> int:
    """Return how many rasters of a map that is not published are finished; never all: work is left."""
    return min(count_finished(run.storage, publish_key(run, plan), len(_products(run))), rasters - 1)


def memory(run: Run, rasters: int) -> int:
    """Return the expected peak of the process that publishes so many rasters, in bytes."""
    bands = max(len(run.classes), len(UNCERTAINTY.bands) if run.config.infer.uncertainty else 0)
    cores = os.cpu_count() or 1
    wanted, classes = run.config.outputs, len(run.classes)
    regions = REGIONS_MEMORY_BYTES if run.config.regions is not None else 0
    return max(
        publish_memory(CELL_PX, bands, cores, rasters),
        statistics_memory(CELL_PX, classes, cores) + regions if "statistics" in wanted else 0,
        polygons_memory(CELL_PX, classes) + regions if "polygons" in wanted else 0,
    )


@dataclass(frozen=True)
class PlannedPublish:
    """The job, checked."""

    planned: Run
    plans: list[LogitPlan]
    map: MosaicPlan

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        return [estimate(self.planned)]

    def run(self) -> int:
        """Publish."""
        left_out = Outcome("infer", 0, 0, partly=self.map.faults.quarantined())
        publish(self.planned, self.plans, self.map, quarantine([left_out]))
        report_failures([left_out])
        print_paths(self.planned)
        return INCOMPLETE if left_out.partly else DONE


def print_paths(run: Run) -> None:
    """Say where the results lie."""
    folder, out = show(run.storage), run.config.out.rstrip("/")
    inside, classes = current(run.storage)["folder"], current(run.storage)["files"].get("class", {})
    for label, name in (("map", classes.get("href", "class.tif")), ("catalogue", "catalog.json")):
        if run.storage.exists(f"{inside}/{name}"):
            print(f"{label:10} {folder.replace(run.storage.url, out, 1)}/{name}")
    if run.storage.exists("report.html"):
        print(f"{'report':10} {out}/report.html")


def plan_publish(config: RunConfig) -> PlannedPublish:
    """Check a run whose map is made.

    Raises:
        ValueError: bad input, or cells that are missing.
    """
    run = plan_run(config)
    _ = run.cards, run.rule
    check_regions(run)
    check_earlier(run)
    require_ingested(run)
    plans, plan = planned_map(run)
    masks = unfinished(markers_of(run.storage, "mosaic"), plan.tasks.by_row())
    missing = sum(map(sum, masks))
    if missing:
        first = next(compress(plan.tasks, chain(*masks)))
        raise ValueError(
            f"{missing} of {len(plan.tasks)} cells of the map are not made (the first is {first.cell}); "
            f"run `sandan mosaic` first"
        )
    return PlannedPublish(run, plans, plan)


JOB = Job(
    name="publish",
    summary="Write the map as Cloud-Optimized GeoTIFFs with a STAC catalogue, run.json and a report.",
    example="  sandan publish examples/aberystwyth/map.yaml\n  sandan publish map.yaml --set fuse.threshold=0.4",
    kind=RunConfig,
    plan=plan_publish,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
