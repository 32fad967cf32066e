"""The frames of a series, as what is curated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import Units
from jobs.config import EmbedConfig, RunConfig
from jobs.curate_facts import BYTES_PER_VALUE, Gathered, window_facts
from jobs.curate_looks import FOLDER, STAGE, WHITE, Looks, look, looks_bytes, looks_left, read_columns
from jobs.estimate import BASE_MEMORY_BYTES
from jobs.frames import PlannedFrames
from jobs.plan import key_of
from jobs.runner import report_failures, run_stage
from jobs.stages import peak_memory_bytes
from tiler.frame_rows import FrameRows
from tiler.frame_source import FrameBlock
from tiler.frame_store import BLOCK_SLOTS, FrameStore
from tiler.labels import IGNORE


def rows_of(store: FrameStore, block: int) -> np.ndarray:
    """Return the places of a block's frames in the times of a store."""
    slots = store.layout.slots_of(store.times) - store.layout.first_slot
    return np.flatnonzero(slots // BLOCK_SLOTS == block)


@dataclass(frozen=True)
class LookAtFrames:
    """Look at the frames of a block, and keep what was seen and what is known of each."""

    url: str
    """Of the frame store."""
    out: str
    """Folder of the files."""

    def __call__(self) -> Callable[[FrameBlock], dict]:
        """Prepare a worker."""
        store, storage = FrameStore(self.url), Storage(self.out)
        white_from = (store.offset + WHITE * store.scale)[:, None]  # of each band its own: kelvin are no reflectance

        def work(block: FrameBlock) -> dict:
            seen, facts = [], []
            for row in rows_of(store, block.index).tolist():
                images, known = store.take([row])
                image, valid = images[0], known[0].all(axis=0)
                seen.append(look(image, valid, white_from))
                facts.append(window_facts(image, valid, np.full(valid.shape, IGNORE, np.uint8)))
            if seen:
                columns = {name: np.stack([one[name] for one in facts]) for name in facts[0]}
                storage.put(f"{block.unit}.npz", looks_bytes(seen, columns))
            return {"frames": len(seen), "peak_memory_bytes": peak_memory_bytes()}

        return work


@dataclass(frozen=True)
class FrameSubject:
    """The frames of a run. A frame that no file of its band could be read for is none."""

    planned: PlannedFrames

    limit_is_kept = True
    empty_classes = ()

    @property
    def config(self) -> RunConfig:
        """The run's."""
        return self.planned.config

    @property
    def storage(self) -> Storage:
        """Where the run lives."""
        return self.planned.storage

    @property
    def name(self) -> str:
        """What identifies frames and content."""
        return f"{self.planned.name}-{key_of([block.made_of for block in self.planned.blocks])}"

    @property
    def limit(self) -> float:
        """That of `embed`."""
        settings = self.config.embed
        return float(EmbedConfig.model_fields["missing_limit"].default if settings is None else settings.missing_limit)

    def units(self) -> list[Units[FrameBlock]]:
        """Return the units of work."""
        return self.planned.groups()

    def ingest_left(self) -> bool:
        """Return whether blocks are not ingested yet."""
        return not self.planned.is_ingested

    def looks_left(self) -> tuple[int, int]:
        """Return how many blocks were not looked at yet, and how many there are."""
        return looks_left(self.storage, self.units())

    def look(self, engine: Engine) -> bool:
        """Ingest and look; a block that cannot be read is named, and nothing is curated without it."""
        if not self.planned.is_ingested:
            self.planned.ingest(engine)
        if not self.planned.is_ingested:
            print(f"the frames of {self.config.out} could not be ingested to their end; repeat")
            return False
        layout = self.planned.source.layout
        values = layout.height_px * layout.width_px * len(layout.bands)
        stage = LookAtFrames(self.planned.url, self.storage.child(FOLDER).url)
        memory_bytes = BASE_MEMORY_BYTES + values * BYTES_PER_VALUE
        outcome = run_stage(
            *(engine, self.storage, STAGE, stage, self.units(), "blocks of frames"), memory_bytes=memory_bytes
        )
        report_failures([outcome])
        return not outcome.failed

    def opened(self) -> tuple[FrameRows, Looks]:
        """Return the frames, and what was seen of them; small pictures lie in a file until they are asked for."""
        store, out = FrameStore(self.planned.url), self.storage.child(FOLDER)
        found = Gathered(len(store), len(store.bands), min(store.height_px, store.width_px))
        for block in self.planned.blocks:
            rows = rows_of(store, block.index)
            if len(rows):
                found.put(rows, read_columns(out.get(f"{block.unit}.npz")))
        return FrameRows(store, found.facts), found.looks
