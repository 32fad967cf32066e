"""How long `sandan serve` lets a browser wait on the map of a country, and what it holds: measured from outside."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from jobs.map_page.xyz import Bounds

TILES, CLICKS, AT_ONCE = 60, 60, 8
LAYERS = ("probability", "class")


@contextmanager
def served(run: Path) -> Iterator[tuple[subprocess.Popen, str, float]]:
    """Run `sandan serve` as a user does; yields the process, host and port, and the seconds until its first answer."""
    command = [sys.executable, "-u", "-m", "jobs.cli", "serve", str(run), "--port", "0"]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            place = urlsplit(process.stdout.readline().split()[2]).netloc
            asked(place, "/page.json")
            yield process, place, time.monotonic() - started
        finally:
            process.terminate()
            process.wait(20)


def asked(place: str, address: str) -> tuple[float, int, bytes]:
    """Ask as a browser does; return the seconds, the bytes that travelled, and what was answered.

    Raises:
        SystemExit: the server did not answer well.
    """
    started = time.monotonic()
    line = HTTPConnection(place, timeout=120)
    line.request("GET", address, headers={"Accept-Encoding": "gzip"})
    answer = line.getresponse()
    data = answer.read()
    seconds = time.monotonic() - started
    line.close()
    if answer.status != 200:
        raise SystemExit(f"{address}: {answer.status} {data[:200]!r}")
    return seconds, len(data), gzip.decompress(data) if answer.getheader("Content-Encoding") == "gzip" else data


def told(answers: list[tuple[float, int, bytes]]) -> dict[str, float]:
    """Return latency and size of some answers."""
    seconds, sizes = (np.array([one[k] for one in answers]) for k in (0, 1))
    ms = 1000 * np.percentile(seconds, (50, 95))
    found = {"median_ms": ms[0], "p95_ms": ms[1], "bytes": float(np.mean(sizes)), "most_bytes": float(sizes.max())}
    return {name: round(float(value), 1) for name, value in found.items()}


def memory_of(process: subprocess.Popen) -> dict[str, int]:
    """Return what a process holds now, and held at most."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return {
        name: int(status.split(f"{key}:")[1].split()[0]) * 1024
        for name, key in (("resident_bytes", "VmRSS"), ("peak_bytes", "VmHWM"))
    }


def tiles_of(bounds: Bounds, zoom: int, count: int, random: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return tiles in the middle of the map, where land is; as many as there are, and some again."""
    inner = Bounds(
        *(
            a + (b - a) * share
            for a, b, share in (
                (bounds.west, bounds.east, 0.3),
                (bounds.south, bounds.north, 0.2),
                (bounds.west, bounds.east, 0.7),
                (bounds.south, bounds.north, 0.8),
            )
        )
    )
    there = list(inner.tiles(zoom))
    return [(zoom, *there[place]) for place in random.integers(0, len(there), count).tolist()]


def serve(run: Path, folder: Path) -> dict[str, Any]:
    """Ask the server of a map for what a browser asks for."""
    del folder
    random = np.random.default_rng(2)
    found: dict[str, Any] = {}
    with served(run) as (process, place, started_s):
        page = json.loads(asked(place, "/page.json")[2])
        found |= {"start_s": round(started_s, 2), "start": memory_of(process)}
        layers = {one["id"]: one for one in page["runs"][0]["layers"]}
        bounds, native = Bounds(*page["bounds"]), layers["class"]["zoom"]
        low = max(zoom for zoom in range(22) if bounds.tile_count(zoom) <= 4 or zoom == 0)
        zooms = {"low": low, "middle": (low + native + 1) // 2, "native": native}
        found["first_tile_s"] = round(
            asked(place, f"/tiles/a/probability/{low}/{'/'.join(map(str, next(bounds.tiles(low))))}.png")[0], 2
        )
        for name, zoom in zooms.items():
            for layer in LAYERS:
                at = tiles_of(bounds, zoom, TILES, random)
                found[f"{layer}, {name} zoom {zoom}"] = told(
                    [asked(place, f"/tiles/a/{layer}/{z}/{x}/{y}.png") for z, x, y in at]
                )
        at = [place_in(bounds, random) for _ in range(CLICKS)]
        found["click"] = told([asked(place, f"/place?lon={lon}&lat={lat}") for lon, lat in at])
        found["click"]["scenes"] = clicked_scenes(place, at)
        found["regions"] = told([asked(place, "/regions.json") for _ in range(5)])
        rows = json.loads(asked(place, "/regions.json")[2])["regions"]
        outlines = [one["outline"] for one in rows if isinstance(one["outline"], str)][:TILES]
        if outlines:
            found["outline of a region"] = told([asked(place, f"/{outline}") for outline in outlines])
        if page["sites"]:
            zoom = page["sites"]["zoom"]
            at_sites = tiles_of(bounds, zoom, TILES, random)
            found[f"sites of a tile of zoom {zoom}"] = told(
                [asked(place, f"/sites/{x}/{y}.json") for _, x, y in at_sites]
            )
        found["before"] = memory_of(process)
        many = [
            f"/tiles/a/{LAYERS[k % 2]}/{z}/{x}/{y}.png"
            for k, (z, x, y) in enumerate(tiles_of(bounds, native, 25 * AT_ONCE, random))
        ]
        started = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            together = told(list(pool.map(lambda one: asked(place, one), many)))
        found[f"{AT_ONCE} at once"] = together | {"tiles_per_s": round(len(many) / (time.monotonic() - started), 1)}
        found["after"] = memory_of(process)
    return found | {"peak_bytes": found["after"]["peak_bytes"]}


def clicked_scenes(place: str, at: list[tuple[float, float]]) -> float:
    """Return how many scenes a click names, on average."""
    answers = [json.loads(asked(place, f"/place?lon={lon}&lat={lat}")[2]) for lon, lat in at]
    return float(np.mean([len(one["runs"][0]["scenes"]) for one in answers]))


def place_in(bounds: Bounds, random: np.random.Generator) -> tuple[float, float]:
    """Return longitude and latitude of a place in the middle of a map."""
    lon, lat = random.uniform((0.3, 0.2), (0.7, 0.8))
    return bounds.west + (bounds.east - bounds.west) * lon, bounds.south + (bounds.north - bounds.south) * lat
