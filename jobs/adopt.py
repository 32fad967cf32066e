"""What earlier runs of a product made and a new run needs again: taken over into its folder, instead of computed again.

Stores are named by what they are made of, so that one of the same name in an earlier run is the same. On a disk they
become further names of the same files, which never change (shards are replaced, not written into); in an object store
they are copied there. So each run's folder is whole: earlier runs can be removed, and a later one harms none.

Markers come last: whatever a kill leaves half taken over is taken over, or made, again. Earlier maps are taken over
whole for `jobs.inherit`, which finds their unchanged cells; a sweep of the run removes what is left of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cluster.markers import Markers
from cluster.storage import Storage
from cluster.units import THREADS, unfinished
from jobs.decisions import decide
from jobs.half_written import PARTIAL
from jobs.infer import complete
from jobs.plan import Run
from jobs.published import POINTER
from jobs.stages import QUALITY

KEPT = ("decisions", "stages")
"""Folders whose objects are taken over one by one: how `auto` was decided, and what stages cost."""


@dataclass(frozen=True)
class Adopted:
    """How much was taken over."""

    scenes: int = 0
    logits: int = 0
    maps: int = 0
    embedded: int = 0


def adopt(product: Storage, run: Run, here: str, earlier: Sequence[str]) -> Adopted:
    """Take over into the folder of a run what earlier runs have of it and it has not.

    Args:
        product: the folder that holds all of them.
        run: planned, with its folder as `out`.
        here: that folder, in the product's.
        earlier: folders of earlier runs, the first ones first asked.
    """
    with ThreadPoolExecutor(THREADS, "adopt") as pool:
        taker = _Taker(product, here, pool)
        for base in earlier:
            for folder in KEPT:
                taker.missing(base, folder)
        scenes = sum(taker.scenes(base, run) for base in earlier)
        logits = sum(taker.logits(base, run) for base in earlier)
        embedded = 0 if run.config.embed is None else sum(taker.embeddings(base, run) for base in earlier)
        made = product.exists(f"{here}/{POINTER}")  # then its cells are its own by now
        maps = 0 if made else next(filter(None, map(taker.maps, earlier)), 0)
        return Adopted(scenes, logits, maps, embedded)


@dataclass(frozen=True)
class _Taker:
    product: Storage
    here: str
    pool: ThreadPoolExecutor

    def _markers(self, folder: str, stage: str) -> Markers:
        return Markers(self.product.child(f"{folder}/markers/{stage}"))

    def _copy(self, base: str, keys: Iterable[str]) -> None:
        """Copy objects, named in the base's folder, all at once."""

        def copy(key: str) -> None:
            self.product.copy(f"{base}/{key}", f"{self.here}/{key}")

        list(self.pool.map(copy, keys))

    def _listed(self, base: str, folder: str) -> Iterator[str]:
        keys = (key.removeprefix(f"{base}/") for key in self.product.list(f"{base}/{folder}"))
        return (key for key in keys if not PARTIAL.search(key))

    def missing(self, base: str, folder: str) -> None:
        """Copy the objects of a folder that are not here."""
        there = set(self._listed(self.here, folder))
        self._copy(base, [key for key in self._listed(base, folder) if key not in there])

    def _store(self, base: str, store: str, markers: Sequence[str]) -> None:
        """Copy a store and then its markers: first arrays, then the group that says that they are there."""
        group = f"{store}/zarr.json"
        self._copy(base, [key for key in self._listed(base, store) if key != group])
        self._copy(base, [group])
        self._copy(base, markers)

    def scenes(self, base: str, run: Run) -> int:
        """Take over ingested scenes."""
        theirs, ours = (self._markers(folder, "ingest").done() for folder in (base, self.here))
        names = [plan.name for plan in run.scenes if plan.name + QUALITY in theirs - ours]
        for name in names:
            units = list(self._listed(base, f"markers/ingest/{name}"))
            self._store(base, f"ingest/{name}.zarr", units)
            self._copy(base, [f"markers/ingest/{name}{QUALITY}.json"])
        return len(names)

    def logits(self, base: str, run: Run) -> int:
        """Take over the logits of whole scenes; which these are depends on decisions, which are here by now."""
        precision = decide(run, None)
        if precision is None:
            return 0
        plans = run.logits(precision)
        done = {plan.name for plan in complete(run, plans)}
        left = [plan for plan in plans if plan.name not in done]
        masks = unfinished(self._markers(base, "infer"), [plan.shards() for plan in left])
        names = [plan.name for plan, mask in zip(left, masks, strict=True) if not any(mask)]
        for name in names:
            self._store(base, f"infer/{name}.zarr", list(self._listed(base, f"markers/infer/{name}")))
        return len(names)

    def embeddings(self, base: str, run: Run) -> int:
        """Take over the embeddings of whole scenes."""
        from jobs.embedding import FOLDER, embedding_of  # loads torch, which taking over a map does not need

        todo = embedding_of(run, None)
        if todo is None:
            return 0
        left = [plan for plan, mask in zip(todo.plans, todo.left(), strict=True) if any(mask)]
        masks = unfinished(self._markers(base, FOLDER), [plan.units() for plan in left])
        names = [plan.name for plan, mask in zip(left, masks, strict=True) if not any(mask)]
        for name in names:
            self._store(base, f"{FOLDER}/{name}.zarr", list(self._listed(base, f"markers/{FOLDER}/{name}")))
        return len(names)

    def maps(self, base: str) -> int:
        """Take over the maps of a run, with the cells that they have."""
        rows: dict[str, list[str]] = {}
        for row in self.product.folders(f"{base}/markers/mosaic"):
            rows.setdefault(row.rpartition("_r")[0], []).append(row)
        done = {row.rpartition("_r")[0] for row in self.product.folders(f"{self.here}/markers/mosaic")}
        names = {folder.removesuffix(".zarr") for folder in self.product.folders(f"{base}/mosaic")} - done
        for name in sorted(names):
            markers = [key for row in rows.get(name, ()) for key in self._listed(base, f"markers/mosaic/{row}")]
            self._store(base, f"mosaic/{name}.zarr", markers)
        return len(names)
