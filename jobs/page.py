"""The report page of a run: gathers pictures and tables from what the run left in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jobs.estimate import format_bytes
from jobs.evaluation.files import evaluation_pictures, evaluation_tables, read_evaluation
from jobs.last_map import last_map_table
from jobs.page_figures import page_figures
from jobs.plan import Run
from jobs.published import current
from jobs.region_table import region_table
from jobs.report import ReportFacts, Table, render_report
from jobs.seams import seam_table
from jobs.window_faults import remarks
from tiler.classes import value_names
from tiler.scene_store import SceneStore

AVERAGED = {"logit": "logits", "probability": "probabilities"}
GROUND = {"held_back": "held-back blocks", "all": "all labelled ground"}


def write_page(run: Run, record: Mapping[str, Any]) -> None:
    """Write `OUT/report.html` from `run.json`, the map's files, the scenes' quality and the evaluation, if any."""
    evaluation = read_evaluation(run.storage, record["map"]["key"], record["config"]["fuse"]["threshold"])
    stores = {s["id"]: SceneStore(run.url("ingest", s["store"])) for s in record["scenes"]}
    facts = ReportFacts(
        title=f"Map of {', '.join(value_names(run.classes)[1:])} areas",
        run_id=Path(run.config.out).name or run.config.out,
        created=str(record["created"]),
        description=(
            "Each window of each scene was seen by every network in every view; their "
            f"{AVERAGED[record['config']['infer']['average']]} were averaged, blended on the "
            "scene's own pixels, warped to the map grid and fused. Missing pixels are missing in the map, never zero."
        ),
        summary=_summary(record, evaluation),
        warnings=[
            *(f"{unit}: {error}" for unit, error in record["quarantined"].items()),
            *_differences(record),
            *remarks(record["windows"], record["affected_cells"]),
        ],
        figures=page_figures(run, record, stores),
        changes=last_map_table(record["products"]),
        classes=[] if len(run.classes) == 1 else [_classes(record)],
        regions=_regions(run, record),
        trust=seam_table(record["products"]["numbers"]["seams"]),
        quality=[_quality(stores), _bands(stores)],
        evaluation=[] if evaluation is None else evaluation_tables(evaluation),
        evaluation_figures=[] if evaluation is None else evaluation_pictures(run.storage, evaluation),
        models=[_models(record)],
        timings=[_timings(record), _ledger(record)],
        config_yaml=yaml.safe_dump(record["config"], sort_keys=False, allow_unicode=True),
        provenance={
            "map": record["map"]["key"],
            "code": record["git_commit"] or "unknown",
            **record["versions"],
            **{f"bundle {m['name']}": m["digest"] for m in record["models"]},
            **{f"scene {s['id']}": s["fingerprint"] for s in record["scenes"]},
        },
    )
    run.storage.put("report.html", render_report(facts).encode())


def _regions(run: Run, record: Mapping[str, Any]) -> list[Table]:
    """Return the table of the published statistics, if there are any."""
    file = record["products"]["files"].get("statistics")
    if file is None:
        return []
    table = run.storage.get(f"{current(run.storage)['folder']}/{file['href']}")
    return region_table(table, value_names(run.classes))


def _differences(record: Mapping[str, Any]) -> list[str]:
    found = record.get("differences", {})  # a record of an earlier version has none
    return [f"{unit}: done twice with different answers: {one['facts']}" for unit, one in found.items()]


def _summary(record: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> list[tuple[str, object]]:
    numbers = record["products"]["numbers"]
    found = "the class" if len(numbers["class_px"]) == 2 else "all classes"
    rows: list[tuple[str, object]] = [("scenes", len(record["scenes"])), ("networks", len(record["models"]))]
    if numbers["pixel_area_m2"]:
        rows.append(("mapped, km²", numbers["seen_px"] * numbers["pixel_area_m2"] / 1e6))
        rows.append((f"of {found}, km²", numbers["positive_px"] * numbers["pixel_area_m2"] / 1e6))
    if numbers["seen_px"]:
        rows.append((f"share of {found}", numbers["positive_px"] / numbers["seen_px"]))
    if numbers["seams"]["window"]:
        rows.append(("seam index (1: no seams)", numbers["seams"]["window"]["index"]))
    if evaluation is not None:
        rows.append((f"mIoU on {GROUND[evaluation['settings']['where']]}", evaluation["rows"][0]["mIoU"]))
    return rows


def _classes(record: Mapping[str, Any]) -> Table:
    numbers = record["products"]["numbers"]
    areas, seen = numbers["class_area_m2"], numbers["seen_px"]
    rows = [
        (value, name, px, None if areas is None else areas[name] / 1e6, px / seen if seen else None)
        for value, (name, px) in enumerate(numbers["class_px"].items())
    ]
    caption = "Each mapped pixel is of its most probable class. Value: that of the class map."
    return Table("Pixels of each class", caption, ("value", "class", "pixels", "km²", "share"), rows)


def _quality(stores: Mapping[str, SceneStore]) -> Table:
    rows = []
    for name, store in sorted(stores.items()):
        q, coverage = store.quality, store.quality["coverage"] or {}
        rows.append(
            (
                name,
                store.acquired.date().isoformat() if store.acquired else None,
                f"{store.grid.height} × {store.grid.width}",
                q["missing_ratio"],
                q["missing_ratio_3_patches"],
                coverage.get("ratio"),
            )
        )
    header = ("scene", "acquired", "pixels", "missing ratio", "3-patch estimate", "label coverage")
    caption = "Missing pixels over all pixels, exact and estimated from three patches; labelled pixels of the class."
    return Table("Scenes", caption, header, rows)


def _bands(stores: Mapping[str, SceneStore]) -> Table:
    rows = [
        (name, band["name"], band["minimum"], band["median"], band["mean"], band["standard_deviation"], band["maximum"])
        for name, store in sorted(stores.items())
        for band in store.quality["bands"]
    ]
    header = ("scene", "band", "minimum", "median", "mean", "standard deviation", "maximum")
    return Table("Bands", "Digital numbers of valid pixels.", header, rows)


def _models(record: Mapping[str, Any]) -> Table:
    rows = [
        (
            *(m["name"], m["architecture"], m["encoder"] or "none"),
            *(", ".join(m["channels"]), m["weights"], m["metrics"].get("mIoU")),
        )
        for m in record["models"]
    ]
    header = ("name", "architecture", "encoder", "channels", "started from", "own mIoU")
    return Table("Bundles", "Own mIoU: of the single network and one view, on held-back tiles.", header, rows)


def _ledger(record: Mapping[str, Any]) -> Table:
    rows = [
        (
            name,
            one.get("windows_per_s"),
            one.get("km2_per_s"),
            one.get("refined_share"),
            one.get("busy_share"),
            ", ".join(f"{step} {share:.0%}" for step, share in one.get("share_of_steps", {}).items()),
            one["gpu_seconds"],
            one.get("cost"),
        )
        for name, one in record["ledger"].items()
    ]
    caption = (
        "Rates are of the whole stage, workers' start included. Refined: the share of windows that all networks saw in "
        "all views. Busy: the share of the workers' time in which they had work. Cost: by "
        "engine.price_per_worker_hour, in its currency."
    )
    header = ("stage", "windows/s", "km²/s", "refined", "busy", "time by step", "GPU seconds", "cost")
    return Table("Throughput", caption, header, rows)


MEMORY = ("peak_memory_bytes", "expected_memory_bytes")


def _timings(record: Mapping[str, Any]) -> Table:
    rows = [
        (
            name,
            facts["seconds"],
            facts.get("units"),
            format_bytes(facts["bytes_written"]) if "bytes_written" in facts else None,
            *(format_bytes(facts[key]) if facts.get(key) else None for key in MEMORY),
        )
        for name, facts in record["stages"].items()
    ]
    caption = "When the stage last had work to do; peak memory: of its largest worker, as it was and as planned."
    return Table("Stages", caption, ("stage", "seconds", "units", "written", "peak memory", "expected"), rows)
