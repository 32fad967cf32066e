"""The stage that runs networks: reading under windows, forward passes, writing logits. No Ray, no rasterio."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jobs.bundles import read_bundles
from jobs.clock import Clock
from jobs.config import VIEWS
from jobs.plan import Precision
from jobs.stages import opener_of, peak_memory_bytes, prepare_worker
from jobs.teams import Teams
from jobs.window_faults import flags_of, reason, window_name
from models.adaptive_rule import Rule
from tiler.grids import Box
from tiler.lattice import Lattice
from tiler.logit_store import QUARANTINED, Flag, LogitStore, WindowShard
from tiler.scene_store import SceneStore

if TYPE_CHECKING:
    from models.adaptive import Adaptive
    from models.imagery import Imagery
    from models.launched import Answer
    from models.predict import Ensemble


@dataclass(frozen=True)
class Infer:
    """Run every network in every view on each window of a shard; keep what they say of the whole window on average."""

    stores: dict[str, tuple[str, str]]
    """Logit store name to the addresses of the scene store and of the logit store."""
    bundles: tuple[str, ...]
    channels: tuple[str, ...]
    """What is read: bands, missing mask, then `coarse`. Each network picks its own."""
    coarse: tuple[str, ...]
    """The channels of coarse modalities among them."""
    tta: str
    average: str
    precision: Precision
    rule: Rule | None = None
    """Of adaptive inference."""
    uncertainty: bool = False
    """Whether mean probability and mean entropy are kept, too."""
    teams: Teams | None = None
    """How networks share the cores of a worker; None lets the worker say, by the threads that its engine gave it."""

    def __call__(self) -> Callable[[WindowShard], dict]:
        """Prepare a worker: load the networks once.

        The function it returns may run on several threads at once: reading and writing of some shards go on while
        the teams compute others. All teams run the same networks.
        """
        prepare_worker()
        import torch  # which must find the worker prepared

        from models.imagery import Imagery
        from models.launched import joined

        opened = opener_of(self.stores)
        how = self.precision
        teams = (self.teams or Teams.of(torch.get_num_threads(), how.device, how.compile)).start()
        ensemble, adaptive = teams.submit(self._load).result()
        # Of adaptive inference the first pass takes as many windows as other passes have tiles.
        one_pass = how.batch * (1 if adaptive is None else VIEWS[self.tta])

        def launch(imagery: Imagery, corners: list[tuple[int, int]], tile_px: int) -> tuple[Callable[[], Answer], int]:
            if adaptive is None:
                return ensemble.launch(imagery, corners, tile_px).result, len(corners)
            answer, refined = adaptive.answer(imagery, corners, tile_px)
            return lambda: answer, refined

        def ask(imagery: Imagery, corners: list[tuple[int, int]], tile_px: int, clock: Clock) -> tuple[Answer, int]:
            asked = time.monotonic()
            # A pass each, so that all teams have work until the last window; a single team queues them all at once.
            size = len(corners) if teams.count == 1 else one_pass
            parts = [corners[start : start + size] for start in range(0, len(corners), size)]
            launched = [one.result() for one in [teams.submit(launch, imagery, part, tile_px) for part in parts]]
            answer = joined([arrive() for arrive, _ in launched])  # a GPU is given the next windows meanwhile
            forward_s = answer.seconds / teams.count  # of the whole worker: each team is its share of it
            clock.add("forward", forward_s)
            clock.add("wait", max(0.0, time.monotonic() - asked - forward_s))
            return answer, sum(refined for _, refined in launched)

        def work(shard: WindowShard) -> dict:
            scene, logits = opened(shard.scene)
            lattice, clock = logits.lattice, Clock()
            with clock.step("read"):
                under = read_under(scene, logits, shard, self.coarse)
            windows = np.empty((0, logits.layers, lattice.tile_px, lattice.tile_px), np.float16)
            refined, clamped, flags = 0, 0, {}
            if under.places:
                imagery = Imagery.of(under.bands, under.valid, under.fill, under.coarse, self.precision.device)
                corners = under.corners(lattice)
                answer, refined = ask(imagery, corners, lattice.tile_px, clock)
                broken = np.flatnonzero(answer.broken).tolist()
                if broken:  # once more: a fault of the machine passes, one of the window does not
                    again, _ = ask(imagery, [corners[place] for place in broken], lattice.tile_px, clock)
                    answer = answer.replaced(broken, again)
                windows, clamped, flags = answer.windows, int(answer.clamped.sum()), flags_of(answer, under.places)
            with clock.step("write"):
                written = logits.write(shard, under.places, windows, flags)
            return {
                "windows": len(under.places),
                "refined": refined,
                "quarantined": {
                    window_name(*place): reason(flag, lattice.window(*place), self.precision.precision)
                    for place, flag in flags.items()
                    if flag & QUARANTINED
                },
                "digest": digest_of(windows, [flags.get(place, 0) for place in under.places]),
                "clamped": clamped,
                "batch_halved": int(any(flag & Flag.SMALLER_BATCH for flag in flags.values())),
                "bytes_read": under.nbytes,
                "bytes_written": written,
                "ground_km2": sum(scene.grid.area_km2(lattice.own(*place)) for place in under.places),
                **clock.facts,
                "peak_memory_bytes": peak_memory_bytes(),
            }

        return work

    def _load(self) -> tuple[Ensemble, Adaptive | None]:
        from models.adaptive import load_adaptive
        from models.predict import load_ensemble

        files = read_bundles(self.bundles)
        ensemble = load_ensemble(
            files,
            channels=self.channels,
            tta=self.tta,
            average=self.average,
            precision=self.precision.precision,
            device=self.precision.device,
            batch=self.precision.batch,
            compile=self.precision.compile,
            uncertainty=self.uncertainty,
        )
        if self.rule is None:
            return ensemble, None
        return ensemble, load_adaptive(files, ensemble, self.rule, self.precision.compile)


def digest_of(windows: np.ndarray, flags: Sequence[int]) -> str:
    """Return what tells apart two answers to one shard: a CRC-32 of all windows that are not quarantined.

    It shows work that is not deterministic, not an attack; of what a network did not answer no bit means anything.

    Args:
        windows: float16 (window, layer, y, x).
        flags: of each window.
    """
    whole = 0
    for values, flag in zip(windows, flags, strict=True):
        if not flag & QUARANTINED:
            whole = zlib.crc32(np.ascontiguousarray(values).data, whole)
    return f"crc32:{whole:08x}"


@dataclass(frozen=True)
class Under:
    """What a scene holds under some windows."""

    places: list[tuple[int, int]]
    """`(row, col)` of the windows."""
    box: Box
    """The scene pixels that they cover; all arrays are of this rectangle."""
    bands: np.ndarray
    """(band, y, x), as stored."""
    valid: np.ndarray
    """bool (y, x)."""
    fill: np.ndarray
    """float32 (band,): the scene's medians."""
    coarse: np.ndarray
    """float32 (channel, y, x), NaN where missing."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.bands.nbytes + self.valid.nbytes + self.coarse.nbytes

    def corners(self, lattice: Lattice) -> list[tuple[int, int]]:
        """Return where the windows begin, in pixels of the rectangle."""
        boxes = [lattice.window(*place) for place in self.places]
        return [(b.y0 - self.box.y0, b.x0 - self.box.x0) for b in boxes]


def read_under(scene: SceneStore, logits: LogitStore, shard: WindowShard, coarse: Sequence[str] = ()) -> Under:
    """Read what lies under the wanted windows of a shard, each chunk once; as `read_windows`."""
    return read_windows(scene, logits.lattice, logits.windows_of(shard), coarse)


def read_windows(
    scene: SceneStore, lattice: Lattice, wanted: Sequence[tuple[int, int]], coarse: Sequence[str] = ()
) -> Under:
    """Read what lies under those windows that hold any valid pixel.

    A window without any valid pixel costs nothing, not even its image: Mosaic never looks at it.

    Args:
        scene: where to read.
        lattice: its windows.
        wanted: `(row, col)` of windows that lie together.
        coarse: channels of coarse modalities.
    """
    boxes = [lattice.window(*place) for place in wanted]
    whole = _around(boxes)
    valid = scene.read("valid", whole, False)
    some = [bool(valid[box.shift(-whole.y0, -whole.x0).slices].any()) for box in boxes]
    places = [place for place, seen in zip(wanted, some, strict=True) if seen]
    box = _around([b for b, seen in zip(boxes, some, strict=True) if seen])
    valid = valid[box.shift(-whole.y0, -whole.x0).slices] if places else valid[:0, :0]
    return Under(places, box, scene.read("image", box, 0), valid, scene.medians, scene.coarse_input(box, coarse))


def _around(boxes: Sequence[Box]) -> Box:
    """Return the smallest rectangle that holds all boxes; without any, one of no pixels."""
    if not boxes:
        return Box(0, 0, 0, 0)
    return Box(min(b.y0 for b in boxes), min(b.x0 for b in boxes), max(b.y1 for b in boxes), max(b.x1 for b in boxes))
