"""What does a map in an object store ask of it: how many requests, and how many bytes?

    python -m benchmarks.store_requests                    a scene of 4,200 px a side: minutes
    python -m benchmarks.store_requests --side 2048

moto's server behind a proxy that counts (`tests/store_proxy.py`), a drawn scene of four bands of 16 bits on a disk,
windows of 512 px every 448, and a function of single pixels in place of networks; the serial engine. All requests of a
command are counted, those that it asks once, too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.storage import Storage
from tests.jobs.worlds import INFER, answering, image, world
from tests.store_proxy import store_proxy

STAGES = ("ingest", "infer", "mosaic", "publish")
KINDS = {"GET": ("GET",), "HEAD, LIST": ("HEAD", "LIST"), "PUT": ("PUT", "COPY"), "POST, DELETE": ("POST", "DELETE")}


def measure(side_px: int) -> list[dict[str, Any]]:
    """Run the stages of a map one after the other, and return what each asked."""
    rows = []
    with store_proxy("maps") as store, tempfile.TemporaryDirectory() as folder, answering():
        here = world(Path(folder), infer={**INFER, "tile_px": 512, "overlap_px": 64})
        here.scene("drawn-20240101", image(side_px, side_px))
        out = f"{store.url}/run"
        for name in STAGES:
            store.counts()
            code = importlib.import_module(f"jobs.{name}").main(here.command(f"out={out}"))
            assert code == 0, f"{name} ended with {code}"
            counts = store.counts()
            marked = [key for key in Storage(out).list(f"markers/{name}") if "_quality" not in key]
            found = {title: sum(_of(counts, kind, "requests") for kind in kinds) for title, kinds in KINDS.items()}
            read = sum(_of(counts, kind, "bytes") for kind in ("GET", "LIST")) / 1e6
            written = sum(_of(counts, kind, "bytes") for kind in ("PUT", "POST")) / 1e6
            rows.append({"stage": name, "units": len(marked), **found, "MB read": read, "MB written": written})
    return rows


def _of(counts: Mapping[str, Mapping[str, int]], kind: str, what: str) -> int:
    return counts.get(kind, {}).get(what, 0)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head)]
    lines += [[f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4200, help="of the scene, in pixels")
    side_px = parser.parse_args().side
    rows = measure(side_px)
    Path(__file__).with_suffix(".json").write_text(json.dumps({"side_px": side_px, "stages": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
