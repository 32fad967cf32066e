"""What a map of a country, of a region and of the planet takes: hours, workers, storage, money, from measured figures.

    python benchmarks/planet_figures.py    measures what a network and what a pixel take; writes benchmarks/planet.json
    python benchmarks/planet.py            computes the tables of docs/planet.md anew from that file

The formulas are those of docs/planet.md, and so are the symbols in the comments. Nothing here is measured or drawn.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES, PAGE = ROOT / "benchmarks/planet.json", ROOT / "docs/planet.md"
BEGIN, END = "<!-- computed by benchmarks/planet.py: begin -->", "<!-- computed by benchmarks/planet.py: end -->"

PIXEL_M = 10.0
TILE_PX, OVERLAP_PX, VIEWS = 512, 64, 4
SHARD_WINDOWS = 16
REGIONS = {"Korea": 1.0e5, "East Asia": 1.156e7, "the planet": 1.4894e8}
"""Land, square kilometres (A)."""
MULTIPLY_PER_S, BYTES_PER_S = 790e12, 4.3e12
"""C and B: what a GPU of 2024 (H200) reaches in bf16 and from its memory."""
OVERHEAD = 1.07
"""q: time of a whole run of Infer to that of its bare networks, as measured on CPUs with a small network."""
PRICES = {"gpu_hour": 2.50, "core_hour": 0.05, "terabyte_month": 23.0}
"""Assumed, US dollars."""
WORKERS = (1, 8, 64)
KEPT = ("scene store", "window logits", "map", "products")


@dataclass(frozen=True)
class Worker:
    """Something that runs the networks."""

    name: str
    seconds_per_window: float
    """t: both networks in all views, before overhead."""
    measured: bool


def windows_of(land_km2: float, dates: int = 1) -> float:
    """Return N = D A / p^2 / (T - o)^2: windows that advance by tile minus overlap."""
    return dates * pixels_of(land_km2) / (TILE_PX - OVERLAP_PX) ** 2


def pixels_of(land_km2: float) -> float:
    """Return A / p^2."""
    return land_km2 * 1e6 / PIXEL_M**2


def roofline_s(flop: float, traffic_bytes: float) -> tuple[float, float]:
    """Return the seconds of arithmetic, F / C, and of memory traffic, M / B; together they are the estimate of t."""
    return flop / MULTIPLY_PER_S, traffic_bytes / BYTES_PER_S


def hours(windows: float, worker: Worker, workers: int) -> float:
    """Return H = N t q / (3600 G)."""
    return windows * worker.seconds_per_window * OVERHEAD / (3600 * workers)


def core_hours(pixels: float, core_nanoseconds: Mapping[str, float]) -> float:
    """Return the hours of one core for the stages without networks, from core-nanoseconds a pixel."""
    return pixels * sum(core_nanoseconds.values()) * 1e-9 / 3600


def fed_workers(units_per_s: float, worker: Worker) -> float:
    """Return how many workers one driver keeps busy: u n^2 t q."""
    return units_per_s * SHARD_WINDOWS * worker.seconds_per_window * OVERHEAD


def workers_of(figures: Mapping[str, Any]) -> list[Worker]:
    """Return the machine that was measured, and a GPU: measured if it was, else estimated by its roofline."""
    cpu = Worker("2 cores (measured)", 1 / figures["cpu"]["windows_per_s"], True)
    if "gpu" in figures:
        return [cpu, Worker(f"{figures['gpu']['name']} (measured)", 1 / figures["gpu"]["windows_per_s"], True)]
    flop, traffic = (VIEWS * sum(n[what] for n in figures["networks"].values()) for what in ("flop", "traffic_bytes"))
    return [cpu, Worker("GPU (estimate)", sum(roofline_s(flop, traffic)), False)]


def tables(figures: Mapping[str, Any]) -> str:
    """Return the computed part of the page."""
    networks = figures["networks"]
    flop, traffic = (VIEWS * sum(n[what] for n in networks.values()) for what in ("flop", "traffic_bytes"))
    arithmetic_s, traffic_s = roofline_s(flop, traffic)
    workers = workers_of(figures)
    gpu, sizes, nanoseconds = workers[-1], figures["bytes_per_px"], figures["core_nanoseconds_per_px"]
    driver = fed_workers(figures["driver_units_per_s"], gpu)
    lines = [
        "| of one window | GFLOP a pass | memory traffic a pass, GB |",
        "| --- | --- | --- |",
        *(f"| {name} | {n['flop'] / 1e9:.1f} | {n['traffic_bytes'] / 1e9:.2f} |" for name, n in networks.items()),
        f"| **all {VIEWS * len(networks)} passes** | **{flop / 1e9:.0f}** | **{traffic / 1e9:.1f}** |",
        "",
        f"F / C = {arithmetic_s * 1e3:.2f} ms and M / B = {traffic_s * 1e3:.2f} ms a window.",
        "",
        "| worker | windows/s | workers that one driver keeps busy |",
        "| --- | --- | --- |",
        *(
            f"| {w.name} | {1 / w.seconds_per_window:{'.3f' if w.seconds_per_window > 1 else '.0f'}} "
            f"| {fed_workers(figures['driver_units_per_s'], w):,.0f} |"
            for w in workers
        ),
        "",
        "| of one pixel | bytes kept | | core-nanoseconds |",
        "| --- | --- | --- | --- |",
        *(
            f"| {stage} | {sizes[stage]:.2f} | {name} | {value} |"
            for stage, (name, value) in zip(KEPT, [*_written(nanoseconds), ("", "")], strict=True)
        ),
        "",
        "| | " + " | ".join(REGIONS) + " |",
        "| --- |" + " --- |" * len(REGIONS),
    ]
    rows: dict[str, list[str]] = {}
    for land_km2 in REGIONS.values():
        windows, pixels = windows_of(land_km2), pixels_of(land_km2)
        rows.setdefault("land, million km²", []).append(f"{land_km2 / 1e6:.3g}")
        rows.setdefault("pixels, thousand million", []).append(f"{pixels / 1e9:,.0f}")
        rows.setdefault("windows", []).append(f"{windows:,.0f}")
        rows.setdefault("units of Infer", []).append(f"{windows / SHARD_WINDOWS:,.0f}")
        for worker in workers:
            for count in WORKERS:
                value = hours(windows, worker, count)
                rows.setdefault(f"hours of Infer, {count} x {worker.name}", []).append(_number(value))
        rows.setdefault("core-hours of ingest, mosaic and publish", []).append(_number(core_hours(pixels, nanoseconds)))
        for stage in KEPT:
            rows.setdefault(f"{stage}, TB", []).append(_number(pixels * sizes[stage] / 1e12))
        gpu_cost = hours(windows, gpu, 1) * PRICES["gpu_hour"]
        core_cost = core_hours(pixels, nanoseconds) * PRICES["core_hour"]
        kept = pixels * sum(sizes[stage] for stage in KEPT) / 1e12 * PRICES["terabyte_month"]
        rows.setdefault(f"Infer on {gpu.name}, USD", []).append(_number(gpu_cost))
        rows.setdefault("the other stages, USD", []).append(_number(core_cost))
        rows.setdefault("keeping all of it for a month, USD", []).append(_number(kept))
    lines += [f"| {name} | " + " | ".join(values) + " |" for name, values in rows.items()]
    if driver < max(WORKERS):
        lines += ["", f"Above {driver:.0f} such workers the driver, not the workers, sets the pace."]
    return "\n".join(lines)


def _written(numbers: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, f"{value:.0f}") for name, value in numbers.items()]


def _number(value: float) -> str:
    """Write a number with three digits, and without any below a tenth of a thousand."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def with_tables(page: str, computed: str) -> str:
    """Return a page with its computed part replaced.

    Raises:
        ValueError: the page has no such part.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page lacks {BEGIN!r} or {END!r}; put them around the computed part")
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{computed}\n{END}", page, flags=re.DOTALL)


def main() -> None:
    """Compute the page anew."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    computed = tables(json.loads(FIGURES.read_text()))
    PAGE.write_text(with_tables(PAGE.read_text(), computed))
    print(computed)


if __name__ == "__main__":
    main()
