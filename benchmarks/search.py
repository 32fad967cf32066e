"""How long does a search of a million vectors take, beside faiss and a plain matrix product?

    python -m benchmarks.search                     1,000,000 x 768 and 250,000 x 768: some minutes, 6 GB of disk

Vectors of length 1 around 2,000 centres, so that near ties are common. Everybody has the same threads and gives the
best 20 of one query, or of 100 at once; each contender is a process of its own. The table shows the best of the
repeated calls, in seconds and in processor seconds, which another process on the machine disturbs less; `equal` is the
share of the 100 queries whose best 20 are those of exact arithmetic, in order.

    sandan, in memory   `models.search.best_of` over float16 in memory: rough scores in float32, the best again exactly
    sandan, from disk   the same, blocks read from an embedding store (lz4 chunks of 256 vectors) and dropped
    faiss fp16          `IndexScalarQuantizer(QT_fp16, inner product)`: the same stored type
    faiss flat          `IndexFlatIP`: float32, twice the memory, nothing to convert
    product fp32        `matrix @ query` and `argpartition` of numpy, float32 in memory
    product fp16        the same with the conversion from stored float16

Memory is the peak resident set of the process less that of one which has only imported the same packages.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

DIMENSION, TOP, CENTRES, MANY = 768, 20, 2000, 100
CONTENDERS = (
    "sandan, in memory",
    "sandan, from disk",
    "faiss fp16",
    "faiss flat",
    "product fp32",
    "product fp16",
    "imports alone",
)
MAKE_ROWS = 25_600


def threads() -> int:
    """Return the threads that everybody has."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def prepare(folder: Path, count: int) -> Path:
    """Write a store of so many vectors, and the same as one array; return the folder."""
    from tiler.embedding_store import Embedded, EmbeddingStore, create_frame_embeddings

    place = folder / str(count)
    if (place / "done").exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    centres = random.normal(size=(CENTRES, DIMENSION)).astype(np.float32)
    url = f"{place}/vectors.zarr"
    times = np.arange(count).astype("datetime64[s]")
    what = Embedded("bench", "bench", "NONE", "none", "sha256:0", DIMENSION, 0.9)
    create_frame_embeddings(url, what, times, (224, 224))
    store = EmbeddingStore(url)
    rows = np.lib.format.open_memmap(place / "vectors.npy", "w+", np.float16, (count, DIMENSION))
    for first in range(0, count, MAKE_ROWS):
        last = min(first + MAKE_ROWS, count)
        some = centres[random.integers(0, CENTRES, last - first)]
        some = some + 0.7 * random.standard_normal((last - first, DIMENSION), np.float32)
        for index in range(first // store.unit_items, -(-last // store.unit_items)):
            a, b = store.unit_span(index)
            store.write(index, some[a - first : b - first], np.zeros(b - a), np.ones(b - a, bool))
        rows[first:last] = store.read(first, last)[0]
    rows.flush()
    (place / "done").touch()
    return place


def contender(name: str, place: Path) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return what answers queries (float16 (q, dimension)) with the ids of the best, loaded and ready."""
    from models.search import BLOCK_ROWS, best_of
    from tiler.embedding_store import EmbeddingStore

    if name == "sandan, from disk":
        store = EmbeddingStore(f"{place}/vectors.zarr")

        def from_disk() -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
            for first, last in store.blocks(BLOCK_ROWS):
                rows, norm, _ = store.read(first, last)
                yield rows, norm > 0, first

        return lambda queries: [best.ids for best in best_of(from_disk(), queries, TOP)]
    rows = np.load(place / "vectors.npy")
    if name == "sandan, in memory":
        every = np.ones(len(rows), bool)

        def blocks() -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
            for first in range(0, len(rows), BLOCK_ROWS):
                yield rows[first : first + BLOCK_ROWS], every[first : first + BLOCK_ROWS], first

        return lambda queries: [best.ids for best in best_of(blocks(), queries, TOP)]
    if name.startswith("faiss"):
        return _faiss(name, rows)
    wide = rows if name == "product fp16" else _float32(rows)

    def product(queries: np.ndarray) -> list[np.ndarray]:
        scores = wide.astype(np.float32, copy=False) @ queries.astype(np.float32).T
        found = []
        for column in scores.T:
            best = np.argpartition(column, -TOP)[-TOP:]
            found.append(best[np.argsort(-column[best], kind="stable")])
        return found

    return product


def _float32(rows: np.ndarray) -> np.ndarray:
    wide = np.empty(rows.shape, np.float32)
    for first in range(0, len(rows), 65_536):
        wide[first : first + 65_536] = rows[first : first + 65_536]
    return wide


def _faiss(name: str, rows: np.ndarray) -> Callable[[np.ndarray], list[np.ndarray]]:
    import faiss

    faiss.omp_set_num_threads(threads())
    index: Any = faiss.IndexFlatIP(DIMENSION)
    if name == "faiss fp16":
        index = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.train(rows[:1000].astype(np.float32))
    for first in range(0, len(rows), 65_536):
        index.add(rows[first : first + 65_536].astype(np.float32))
    return lambda queries: list(index.search(queries.astype(np.float32), TOP)[1])


def measure(name: str, place: Path, repeats: int) -> dict[str, Any]:
    """Measure one contender in this process."""
    import faiss  # noqa: F401 - everybody imports everything: memory is compared
    import torch

    import models.search
    import tiler.embedding_store
    from jobs.stages import peak_memory_bytes, prepare_worker

    del models, tiler
    torch.set_num_threads(threads())
    prepare_worker()
    if name == "imports alone":
        return {"contender": name, "peak_bytes": peak_memory_bytes()}
    ask = contender(name, place)
    queries = np.load(place / "vectors.npy", mmap_mode="r")[:: max(1, _count(place) // MANY)][:MANY].copy()
    out: dict[str, Any] = {"contender": name}
    for many, times in ((1, repeats), (MANY, max(2, repeats // 3))):
        some, seconds, processor = queries[:many], [], []
        ids = ask(some)
        for _ in range(times):
            began, busy = time.perf_counter(), time.process_time()
            ids = ask(some)
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - busy)
        out[f"seconds_{many}"], out[f"best_seconds_{many}"] = statistics.median(seconds), min(seconds)
        out[f"processor_s_{many}"] = min(processor)
        out[f"ids_{many}"] = [one.tolist() for one in ids]
    return {**out, "peak_bytes": peak_memory_bytes()}


def _count(place: Path) -> int:
    return int(place.name)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a table in Markdown."""
    lines = [
        "| vectors | contender | one query, s | processor s | 100 queries, s | processor s | memory, GB | equal |",
        "|" + " --- |" * 8,
    ]
    for row in rows:
        lines.append(
            f"| {row['vectors']:,} | {row['contender']} | {row['best_seconds_1']:.3f} | {row['processor_s_1']:.2f} | "
            f"{row['best_seconds_100']:.2f} | {row['processor_s_100']:.1f} | "
            f"{row['memory_bytes'] / 1e9:.2f} | {row['equal']:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-search"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--only", help="one contender, in this process (for the benchmark itself)")
    parser.add_argument("--prepare", action="store_true", help="write the vectors and end")
    arguments = parser.parse_args()
    places = [prepare(arguments.folder, count) for count in arguments.counts]
    if arguments.prepare:
        return
    if arguments.only:
        print(json.dumps(measure(arguments.only, places[0], arguments.repeats)))
        return
    rows = []
    for place in places:
        found = {}
        for name in CONTENDERS:
            words = [sys.executable, "-m", "benchmarks.search", "--only", name, "--counts", place.name]
            words += ["--repeats", str(arguments.repeats), "--folder", str(arguments.folder)]
            said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            found[name] = json.loads(said.splitlines()[-1])
            print(place.name, name, found[name].get("seconds_1"), flush=True)
        base, truth = found.pop("imports alone")["peak_bytes"], found["sandan, in memory"]
        for name, row in found.items():
            pairs = zip(row[f"ids_{MANY}"], truth[f"ids_{MANY}"], strict=True)
            row |= {
                "vectors": _count(place),
                "memory_bytes": row.pop("peak_bytes") - base,
                "equal": float(np.mean([a == b for a, b in pairs])),
            }
            rows.append({key: value for key, value in row.items() if not key.startswith("ids")} | {"contender": name})
    facts = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "threads": threads(), "on": platform.machine()}
    arguments.out.write_text(json.dumps({**facts, "dimension": DIMENSION, "top": TOP, "rows": rows}, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
