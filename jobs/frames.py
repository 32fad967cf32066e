"""Frame series: from the files of a weather satellite into one frame store, block by block of time.

The same command as for scenes: `sandan ingest CONFIG.yaml`, where the run names `frames`. The store is of the settings;
which files a block is made of is part of its unit's name, so that new files, changed ones and ones that were taken away
cost the blocks they fall into and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import compress

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import Units, unfinished
from jobs.config import RunConfig
from jobs.estimate import BASE_MEMORY_BYTES, INGEST_IN_FLIGHT, Estimate
from jobs.failures import failures_of, forget
from jobs.frames_report import write_lists
from jobs.pace import Work
from jobs.plan import CONTRACTS, key_of
from jobs.preflight import check_writable
from jobs.room import crew_here
from jobs.runner import engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, FAULT, INCOMPLETE
from jobs.stages import peak_memory_bytes, prepare_worker
from jobs.time_left import Rest
from tiler.frame_forms import common_header, header_of_store, layout_of
from tiler.frame_index import FrameIndex, index_frames, made_of
from tiler.frame_source import FrameBlock, FrameSource
from tiler.frame_store import BLOCK_SLOTS, EMPTY, FrameStore, blocks_made_of, make_frame_store
from tiler.stores import is_complete, open_group

LIBRARIES_BYTES = 100 * 2**20
"""What numba, and xarray for arrays and NetCDF, add to a worker, as measured."""


@dataclass(frozen=True)
class IngestFrames:
    """Read the files of a block and write it."""

    source: FrameSource
    url: str

    def __call__(self) -> Callable[[FrameBlock], dict]:
        """Prepare a worker."""
        prepare_worker()
        group = open_group(self.url)

        def work(block: FrameBlock) -> dict:
            return {**self.source.fill(group, block), "peak_memory_bytes": peak_memory_bytes()}

        return work


@dataclass(frozen=True)
class PlannedFrames:
    """A frame series, listed and checked; nothing has been written yet."""

    config: RunConfig
    index: FrameIndex
    name: str
    """`<series>-<key>`: the store is `ingest/<name>.zarr`."""
    source: FrameSource
    blocks: tuple[FrameBlock, ...]
    """Every block that has files, or had some."""
    reopened: frozenset[str]
    """Units with a marker whose block the store has lost, or holds as made of other files."""

    @cached_property
    def storage(self) -> Storage:
        """Where the run lives."""
        return Storage(self.config.out)

    @property
    def url(self) -> str:
        """Address of the frame store."""
        return _url(self.config, self.name)

    def groups(self) -> list[Units[FrameBlock]]:
        """Return the units of work."""
        return [Units(self.name, len(self.blocks), lambda: self.blocks)]

    def _open(self) -> bytes:
        """Return a byte for each block, 1 where it is to be done."""
        mask = unfinished(markers_of(self.storage, "ingest"), self.groups())[0]
        return bytes(left or block.unit in self.reopened for block, left in zip(self.blocks, mask, strict=True))

    @property
    def is_ingested(self) -> bool:
        """Whether every block is written."""
        return not any(self._open())

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        mask, header, layout = self._open(), self.source.header, self.source.layout
        files = sum(len(block.entries) for block in compress(self.blocks, mask))
        plane = header.height_px * header.width_px * np.dtype(layout.dtype).itemsize
        frame = len(layout.bands) * layout.height_px * layout.width_px * (np.dtype(layout.dtype).itemsize + 1)
        left = sum(mask)
        rest = Rest("ingest", "blocks", self.groups(), [mask], files)
        lists = f"{len(self.index.unmatched)} files are not part of it and are listed in OUT/unmatched.csv"
        return [
            Estimate(
                stage="ingest",
                units=len(self.blocks),
                unit=f"blocks of {BLOCK_SLOTS} steps",
                done=len(self.blocks) - left,
                read_bytes=files * plane,
                write_bytes=-(-files // len(layout.bands)) * frame,
                peak_memory_bytes=self._memory,
                folder=self.config.out if self.storage.is_local else "",
                notes=(self.index.summary(), *((lists,) if self.index.unmatched else ())),
                time=rest.time(self.storage, self._work, crew_here(self.config.engine)) if left else None,
            )
        ]

    @property
    def _memory(self) -> int:
        """Expected peak of a worker: the block that it gathers, as stored and encoded, and files."""
        header, layout = self.source.header, self.source.layout
        item = np.dtype(layout.dtype).itemsize
        block = BLOCK_SLOTS * len(layout.bands) * layout.height_px * layout.width_px * (item + 1)
        times = 1 if self.source.cube is None else self.source.cube.time_chunk
        plane = header.height_px * header.width_px * (8 + times * (3 * item + 2))
        return BASE_MEMORY_BYTES + LIBRARIES_BYTES + INGEST_IN_FLIGHT * (4 * block + plane)

    @property
    def _work(self) -> Work:
        """What the time of the ingest goes with: files of one form."""
        header = self.source.header
        form = (header.height_px, header.width_px, header.dtype, self.source.layout.height_px, self.source.cube is None)
        return Work(lambda block: max(1, len(block.entries)), key_of(CONTRACTS["ingest"], form))

    def run(self) -> int:
        """Ingest on an engine of its own."""
        with engine_of(self.config.engine) as engine:
            return self.ingest(engine)

    def ingest(self, engine: Engine) -> int:
        """Ingest what is left, write the lists; return the exit code."""
        self._make_store()
        self._forget_replaced()
        stage = IngestFrames(self.source, self.url)
        outcome = run_stage(
            *(engine, self.storage, "ingest", stage, self.groups(), "blocks"),
            memory_bytes=self._memory,
            work=self._work,
            at_once=INGEST_IN_FLIGHT,
        )
        report_failures([outcome])
        if outcome.failed:
            return FAULT if len(outcome.failed) == outcome.total else INCOMPLETE
        records = markers_of(self.storage, "ingest").read_all(self.name)
        damaged: dict[str, str] = {}
        for block in self.blocks:
            damaged |= records.get(block.unit, {}).get("record", {}).get("damaged", {})
        store = FrameStore(self.url)
        write_lists(self.storage, store, self.index, damaged)
        print(f"{self.index.summary()}\n{len(store):,} frames in {self.url}")
        for file, error in damaged.items():
            print(f"quarantined: {file}: {error}", file=sys.stderr)
        return INCOMPLETE if damaged else DONE

    def _make_store(self) -> None:
        """Make the empty store, or let it grow by the blocks of new files."""
        blocks = max(block.index for block in self.blocks) + 1
        if is_complete(self.url):
            if len(blocks_made_of(self.url)) < blocks:
                make_frame_store(self.url, self.source.layout, blocks)
            return
        drawn = self.source.drawn(self.index.entries)
        facts = {
            "made_of": _made_of(self.index),
            "source": {"height_px": self.source.header.height_px, "width_px": self.source.header.width_px},
            "settings": self.index.spec.model_dump(mode="json", exclude={"files"}),
            "burned_in_px": int(np.count_nonzero(drawn)),
        }
        make_frame_store(self.url, self.source.layout, blocks, facts, drawn)

    def _forget_replaced(self) -> None:
        """Drop markers and failures of blocks as they were of other files: the store no longer holds those."""
        markers = self.storage.child("markers/ingest")
        wanted = {block.unit for block in self.blocks}
        done = markers_of(self.storage, "ingest").done(self.name)
        for unit in sorted((done - wanted) | (done & self.reopened)):
            markers.delete(f"{unit}.json")
        failed = failures_of(self.storage, "ingest")
        gone = [unit for unit in failed if unit.partition("/")[0] == self.name and unit not in wanted]
        if gone:
            forget(self.storage, "ingest", gone)


def _url(config: RunConfig, name: str) -> str:
    return f"{config.out.rstrip('/')}/ingest/{name}.zarr"


def _made_of(index: FrameIndex) -> dict[str, str]:
    """Return what the key of a store stands for, by name: digests."""
    spec = index.spec
    what = {
        "contract": CONTRACTS["ingest"],
        "settings": spec.model_dump(mode="json", exclude={"files", "series", "bands", "tolerance_minutes"}),
        "bands": index.bands,
        "sensor": index.sensor,
        "beginning": index.first_slot,
    }
    return {word: key_of(value) for word, value in what.items()}


def plan_frames(config: RunConfig) -> PlannedFrames:
    """List a frame series and check the headers of all files that are not ingested yet.

    Raises:
        ValueError: no frames, files that contradict each other, or an unknown range of numbers.
    """
    assert config.frames is not None
    storage = Storage(config.out)
    check_writable(storage)
    index = index_frames(config.frames)
    name = f"{index.series}-{key_of(_made_of(index))}"
    url = _url(config, name)
    there = storage.exists(f"ingest/{name}.zarr/zarr.json")  # to open one that is not would make its folder
    store = FrameStore(url) if there and is_complete(url) else None
    before = [] if store is None else [int(n) for n in blocks_made_of(url)]
    held = dict(enumerate(before))
    inside = index.blocks()
    lost = {at: () for at, of in held.items() if of not in (EMPTY, made_of(())) and at not in inside}
    blocks = tuple(
        FrameBlock(name, at, made_of(entries), entries) for at, entries in sorted({**inside, **lost}.items())
    )
    done = markers_of(storage, "ingest").done(name)
    stands = {block.unit: held.get(block.index) == block.made_of for block in blocks}
    reopened = frozenset(unit for unit, good in stands.items() if unit in done and not good)
    left = [block for block in blocks if block.unit not in done or block.unit in reopened]
    held_form = None if store is None else header_of_store(store)
    header = common_header(index, [entry for block in left for entry in block.entries], held_form)
    layout = store.layout if store is not None else layout_of(index, header)
    return PlannedFrames(config, index, name, FrameSource.of(index, header, layout), blocks, reopened)
